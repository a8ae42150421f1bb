/**
 * The files that TLS needs: read and held against each other before anything listens, and again
 * when they have changed, without a restart: connections that are open go on, each new handshake
 * gets what is in the files. Like etcd, which reads its files at each handshake, we look at them
 * then, but read only what has changed (`stat` of five files takes 10 µs, a handshake 500). New
 * files that cannot be used leave the old ones in force, and a line in the log names them; the
 * others of the new ones hold all the same.
 */

import { readFileSync, statSync } from "node:fs";
import { nodeCrypto } from "../base/builtin.ts";
import { AetherError } from "../base/errors.ts";
import type { Clock, Log } from "../base/ports.ts";
import { requireCertificates, requirePair } from "../net/pem.ts";
import { type Revocations, readRevocations } from "../net/revocation.ts";
import type { ClientTls, ServerTls, TlsLimits, TlsSource } from "../net/tls.ts";
import type { Config } from "./config/config.ts";
import type { TlsFiles } from "./config/tls-files.ts";

/** Both sides of what one table of settings says. */
interface LoadedTls {
  readonly server: ServerTls;
  /** For calling other members. */
  readonly client: ClientTls;
}

/** A file that is younger may change again without that being seen in its times. */
const SETTLED_MS = 2_000;

const MS_PER_DAY = 86_400_000;
/** A certificate that ends sooner is spoken of when it is read. */
const SOON_MS = 7 * MS_PER_DAY;

export interface World {
  readonly clock: Clock;
  readonly log: Log;
}

interface Keeping extends World {
  /** Whose addresses the files are for, in log lines. */
  readonly addresses: "clients" | "members";
}

/** What the files of one table of settings hold now. */
export class LiveTls {
  readonly #files: TlsFiles;
  readonly #world: Keeping;
  #loaded: LoadedTls;
  /** What #loaded was made of. */
  #good: Contents;
  /** What was read last, be it good or not, and how the files looked then. */
  #contents: Contents;
  #look: Look;
  #readAtMs: number;
  #reading: Promise<LoadedTls> | undefined;

  /** Rejects with AetherError invalid_argument with the file's name for one that is of no use. */
  static async load(files: TlsFiles, world: Keeping): Promise<LiveTls> {
    const [look, contents] = [lookAt(files), contentsOf(files)];
    return new LiveTls(files, world, look, contents, await loadTls(files, contents, world));
  }

  private constructor(
    files: TlsFiles,
    world: Keeping,
    look: Look,
    contents: Contents,
    loaded: LoadedTls,
  ) {
    this.#files = files;
    this.#world = world;
    this.#look = look;
    this.#contents = contents;
    this.#good = contents;
    this.#loaded = loaded;
    this.#readAtMs = world.clock.wallMs();
  }

  /** For the next handshake of a listener. */
  readonly server: TlsSource<ServerTls> = () => {
    const current = this.#current();
    return current instanceof Promise ? current.then(({ server }) => server) : current.server;
  };

  /** For the next handshake of a dialer. */
  readonly client: TlsSource<ClientTls> = () => {
    const current = this.#current();
    return current instanceof Promise ? current.then(({ client }) => client) : current.client;
  };

  #current(): LoadedTls | Promise<LoadedTls> {
    if (this.#reading !== undefined) return this.#reading;
    const look = lookAt(this.#files);
    const isSettled = look.newestMs < this.#readAtMs - SETTLED_MS;
    if (isSettled && look.stamp === this.#look.stamp) return this.#loaded;
    this.#look = look;
    this.#readAtMs = this.#world.clock.wallMs();
    const contents = contentsOf(this.#files);
    if (isSame(contents, this.#contents)) return this.#loaded;
    this.#contents = contents;
    this.#reading = this.#load(contents).finally(() => {
      this.#reading = undefined;
    });
    return this.#reading;
  }

  /** What the new contents say, as far as they can be used. */
  async #load(contents: Contents): Promise<LoadedTls> {
    const { log, addresses } = this.#world;
    const broken = await this.#take(contents, namesOf(this.#files));
    if (broken === undefined) return this.#loaded;
    const fields = { addresses, reason: broken.detail };
    log.error("TLS files have changed and cannot be used: the old ones stay", fields);
    // A list of revoked certificates must not wait for a key that was copied by half.
    for (const files of partsOf(this.#files)) {
      const part = new Map([...contents].filter(([file]) => files.includes(file)));
      if (isSame(part, this.#good)) continue;
      await this.#take(new Map([...this.#good, ...part]), files);
    }
    return this.#loaded;
  }

  /** From now on these hold, unless they cannot be used: then it resolves with the reason. */
  async #take(contents: Contents, files: readonly string[]): Promise<AetherError | undefined> {
    try {
      this.#loaded = await loadTls(this.#files, contents, this.#world);
    } catch (error) {
      if (error instanceof AetherError) return error;
      throw error;
    }
    this.#good = contents;
    const { log, addresses } = this.#world;
    log.info("TLS files have changed: they hold from the next handshake on", { addresses, files });
    return undefined;
  }
}

/** Of a node: for the addresses of clients, and for members both ways. */
export interface NodeTls {
  readonly clients: LiveTls | undefined;
  readonly peers: LiveTls | undefined;
}

/** Rejects with AetherError invalid_argument. */
export async function loadNodeTls({ clientTls, peerTls }: Config, world: World): Promise<NodeTls> {
  return {
    clients: clientTls && (await LiveTls.load(clientTls, { ...world, addresses: "clients" })),
    peers: peerTls && (await LiveTls.load(peerTls, { ...world, addresses: "members" })),
  };
}

/** What is in each file, or the system's code for why it cannot be read. */
type Contents = ReadonlyMap<string, Buffer | string>;

/** How the files look from outside, and when the newest was written. */
interface Look {
  readonly stamp: string;
  readonly newestMs: number;
}

function namesOf(files: TlsFiles): string[] {
  const { certFile, keyFile, caFile, crlFile, callerCertFile, callerKeyFile } = files;
  const all = [certFile, keyFile, caFile, crlFile, callerCertFile, callerKeyFile];
  return all.filter((file) => file !== undefined);
}

/** Files that are good or not whatever the others are; those that go together come first. */
function partsOf({ certFile, keyFile, caFile, crlFile, ...files }: TlsFiles): string[][] {
  const { callerCertFile, callerKeyFile } = files;
  const trusted = [[caFile, crlFile], [crlFile], [caFile]];
  const parts = [...trusted, [certFile, keyFile], [callerCertFile, callerKeyFile]];
  return parts.map((part) => part.filter((file) => file !== undefined));
}

function lookAt(files: TlsFiles): Look {
  const parts: string[] = [];
  let newestMs = 0;
  for (const file of namesOf(files)) {
    const found = statSync(file, { throwIfNoEntry: false });
    if (found === undefined) parts.push("-");
    else {
      parts.push(`${found.dev}:${found.ino}:${found.size}:${found.mtimeMs}`);
      newestMs = Math.max(newestMs, found.mtimeMs, found.ctimeMs);
    }
  }
  return { stamp: parts.join(" "), newestMs };
}

function contentsOf(files: TlsFiles): Contents {
  return new Map(namesOf(files).map((file) => [file, contentOf(file)]));
}

function contentOf(file: string): Buffer | string {
  try {
    return readFileSync(file);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error);
  }
}

function isSame(a: Contents, b: Contents): boolean {
  return [...a].every(([file, content]) => {
    const other = b.get(file);
    if (typeof content === "string" || typeof other === "string") return content === other;
    return other !== undefined && content.equals(other);
  });
}

/** Rejects with AetherError invalid_argument with the file's name for one that cannot be used. */
async function loadTls(files: TlsFiles, contents: Contents, world: World): Promise<LoadedTls> {
  const { certFile, keyFile, caFile, crlFile, callerCertFile, callerKeyFile } = files;
  const limits: TlsLimits = {
    versionMin: files.versions.min,
    versionMax: files.versions.max,
    ciphers: files.ciphers,
  };
  const own = pairOf(certFile, keyFile, contents);
  const caller =
    callerCertFile === undefined ? own : pairOf(callerCertFile, callerKeyFile ?? keyFile, contents);
  const authority = caFile === undefined ? {} : { ca: certificatesOf(caFile, contents) };
  const { clientCertRequired, addressesChecked: callerNamed } = files;
  const revocations = await revocationsOf(crlFile, caFile, contents, world);
  const { allowedCommonNames, allowedHostnames } = files;
  const shared = { ...authority, ...limits, revocations, allowedCommonNames, allowedHostnames };
  for (const file of new Set([certFile, callerCertFile ?? certFile])) {
    tellEnd(file, contents, world);
  }
  return {
    server: { ...own, ...shared, clientCertRequired, callerNamed },
    client: { ...caller, ...shared, insecureSkipVerify: files.calledUnverified },
  };
}

async function revocationsOf(
  crlFile: string | undefined,
  caFile: string | undefined,
  contents: Contents,
  { clock, log }: World,
): Promise<Revocations | undefined> {
  if (crlFile === undefined) return undefined;
  if (caFile === undefined) {
    throw unusable(crlFile, "no authority is given that could have signed the list");
  }
  const authorities = textOf(caFile, contents);
  try {
    const found = await readRevocations(bytesOf(crlFile, contents), authorities, clock.wallMs());
    for (const { issuer, since } of found.overdue) {
      const fields = { file: crlFile, issuer, since: since.toISOString() };
      log.warn("the list of revoked certificates is late, and goes on to be used", fields);
    }
    return found;
  } catch (error) {
    if (error instanceof AetherError) throw unusable(crlFile, error.detail, error);
    throw error;
  }
}

/** Who looks into the log shall know before nobody comes in any more. */
function tellEnd(file: string, contents: Contents, { clock, log }: World): void {
  const { validTo } = new (nodeCrypto().X509Certificate)(textOf(file, contents));
  const leftMs = Date.parse(validTo) - clock.wallMs();
  const until = new Date(validTo).toISOString();
  if (leftMs < 0) log.error("the certificate has expired", { file, until });
  else if (leftMs < SOON_MS) log.warn("the certificate expires soon", { file, until });
}

function pairOf(
  certFile: string,
  keyFile: string,
  contents: Contents,
): { cert: string; key: string } {
  const [cert, key] = [textOf(certFile, contents), textOf(keyFile, contents)];
  requirePair({ file: certFile, text: cert }, { file: keyFile, text: key });
  return { cert, key };
}

function certificatesOf(file: string, contents: Contents): string {
  const text = textOf(file, contents);
  requireCertificates({ file, text });
  return text;
}

function textOf(file: string, contents: Contents): string {
  return bytesOf(file, contents).toString("utf8");
}

function bytesOf(file: string, contents: Contents): Buffer {
  const content = contents.get(file) ?? "ENOENT";
  if (typeof content !== "string") return content;
  throw unusable(file, content === "ENOENT" ? "no such file" : `cannot be read (${content})`);
}

function unusable(file: string, why: string, cause?: unknown): AetherError {
  return new AetherError("invalid_argument", `${file}: ${why}`, { cause });
}
