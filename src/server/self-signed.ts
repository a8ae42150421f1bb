/**
 * Certificates that a node makes for itself (tls.auto, peer_tls.auto; etcd's --auto-tls) and keeps
 * in its data directory, so that whoever has its fingerprint or its file knows it after a restart.
 * It is made anew when it is about to end, when it misses a name by which the node is called now,
 * or when it is no pair. Names that are no longer used do not change it.
 *
 * It may sign nothing (CA:FALSE): what trusts the file trusts this key for these names alone.
 * etcd's may sign for every name.
 */
import type { X509Certificate } from "node:crypto";
import { mkdirSync, readFileSync } from "node:fs";
import { hostname, networkInterfaces } from "node:os";
import { join } from "node:path";
import { net, nodeCrypto } from "../base/builtin.ts";
import { AetherError } from "../base/errors.ts";
import type { Clock, Log } from "../base/ports.ts";
import { x509 } from "../net/x509.ts";
import { writeDurably } from "../storage/durable-file.ts";
import { DIRECTORY_MODE } from "../storage/private-file.ts";
import { isLoopback, isWildcard } from "./config/addresses.ts";
import type { SelfSigned, TlsFiles } from "./config/tls-files.ts";

const DAY_MS = 86_400_000;

/** As etcd counts; a leap day more or less matters to nobody. */
const YEAR_MS = 365 * DAY_MS;

/** One that ends sooner is made anew. */
const RENEWED_MS_BEFORE_END = 30 * DAY_MS;

/** Clocks of clients that are slow by less take it at once. */
const CLOCK_SLACK_MS = 5 * 60_000;

/** Too many to be drawn twice (RFC 5280 §4.1.2.2 allows 20). */
const SERIAL_BYTES = 16;

export interface Keeping {
  /** Whose addresses it is for, in log lines. */
  readonly addresses: "clients" | "members";
  readonly wallMs: number;
  readonly log: Log;
  /** The node runs: its names are those it was started with, and all is said. */
  readonly isRunning?: boolean;
}

/** What the configuration says of them. */
export interface WantedCertificates {
  readonly clientTls: Pick<TlsFiles, "selfSigned"> | undefined;
  readonly peerTls: Pick<TlsFiles, "selfSigned"> | undefined;
}

/** Whether the node needs a certificate that it makes for itself. */
export function makesCertificates({ clientTls, peerTls }: WantedCertificates): boolean {
  return clientTls?.selfSigned !== undefined || peerTls?.selfSigned !== undefined;
}

/** Sees to both. Rejects as keepSelfSigned() does. */
export async function keepCertificates(
  { clientTls, peerTls }: WantedCertificates,
  keeping: Omit<Keeping, "addresses">,
): Promise<void> {
  const [clients, members] = [clientTls?.selfSigned, peerTls?.selfSigned];
  if (clients !== undefined) await keepSelfSigned(clients, { ...keeping, addresses: "clients" });
  if (members !== undefined) await keepSelfSigned(members, { ...keeping, addresses: "members" });
}

/** A node that runs for longer than its certificates are good: listeners take up changed files. */
export class CertificateRenewal {
  readonly #config: WantedCertificates;
  readonly #clock: Clock;
  readonly #log: Log;
  #nextMs: number;

  constructor(config: WantedCertificates, clock: Clock, log: Log) {
    this.#config = config;
    this.#clock = clock;
    this.#log = log;
    this.#nextMs = clock.monotonicMs() + DAY_MS;
  }

  /** Looks once a day; resolves when it has, also if that failed: the log says so. */
  async tick(): Promise<void> {
    const nowMs = this.#clock.monotonicMs();
    if (nowMs < this.#nextMs) return;
    this.#nextMs = nowMs + DAY_MS;
    const [wallMs, log] = [this.#clock.wallMs(), this.#log];
    try {
      await keepCertificates(this.#config, { wallMs, log, isRunning: true });
    } catch (error) {
      if (!(error instanceof AetherError)) throw error;
      log.error("cannot renew a self-signed certificate", { reason: error.detail });
    }
  }
}

/**
 * Sees to it that there is a good pair in the directory, and logs its fingerprint. Rejects with
 * AetherError invalid_argument for files that cannot be read or written.
 */
export async function keepSelfSigned(wanted: SelfSigned, keeping: Keeping): Promise<void> {
  const { addresses, wallMs, log } = keeping;
  const file = join(wanted.directory, "cert.pem");
  const hosts = hostsOf(wanted.hosts);
  const kept = readPair(wanted.directory);
  const why = reasonToMake(kept, keeping.isRunning === true ? [] : hosts, wallMs);
  if (why !== undefined) {
    const made = await make(hosts, wallMs, wallMs + wanted.validYears * YEAR_MS);
    writePair(wanted.directory, made);
    const fields = { addresses, why, hosts, file };
    if (kept === "missing") log.info("made a self-signed certificate", fields);
    else log.warn("replaced the self-signed certificate: it has another fingerprint", fields);
  } else if (keeping.isRunning === true) return;
  const { fingerprint256, validTo } = new (nodeCrypto().X509Certificate)(readFileSync(file));
  const until = new Date(validTo).toISOString();
  log.info("self-signed certificate", { addresses, sha256: fingerprint256, until, file });
}

/** What is in the directory; a file that is no PEM is as good as one of another pair. */
function readPair(directory: string): X509Certificate | "missing" | "damaged" {
  const [cert, key] = [read(join(directory, "cert.pem")), read(join(directory, "key.pem"))];
  if (cert === undefined && key === undefined) return "missing";
  if (cert === undefined || key === undefined) return "damaged";
  try {
    const certificate = new (nodeCrypto().X509Certificate)(cert);
    const isPair = certificate.checkPrivateKey(nodeCrypto().createPrivateKey(key));
    return isPair ? certificate : "damaged";
  } catch {
    return "damaged"; // it is made anew, and the log says so
  }
}

function read(file: string): Buffer | undefined {
  try {
    return readFileSync(file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw unusable(file, error);
  }
}

function unusable(file: string, error: unknown): AetherError {
  const { code } = error as NodeJS.ErrnoException;
  return new AetherError("invalid_argument", `${file}: cannot be used (${code})`, { cause: error });
}

function reasonToMake(
  kept: ReturnType<typeof readPair>,
  hosts: readonly string[],
  wallMs: number,
): string | undefined {
  if (kept === "missing") return "there is none";
  if (kept === "damaged") return "certificate and key are no pair";
  if (Date.parse(kept.validTo) < wallMs + RENEWED_MS_BEFORE_END) return `it ends ${kept.validTo}`;
  const missing = hosts.find((host) => !names(kept, host));
  return missing === undefined ? undefined : `it is not for ${missing}`;
}

function names(certificate: X509Certificate, host: string): boolean {
  const isAddress = net().isIP(host) !== 0;
  return (isAddress ? certificate.checkIP(host) : certificate.checkHost(host)) !== undefined;
}

/**
 * What the certificate has to bear: the given names and addresses, all names of this machine for
 * itself beside one of them, and those of every interface for an address that stands for all.
 */
function hostsOf(given: readonly string[]): string[] {
  const hosts = new Set(given.filter((host) => !isWildcard(host)));
  if (given.some((host) => isWildcard(host) || isLoopback(host))) {
    for (const host of ["localhost", "127.0.0.1", "::1"]) hosts.add(host);
  }
  if (given.some(isWildcard)) {
    hosts.add(hostname());
    for (const each of Object.values(networkInterfaces()).flatMap((found) => found ?? [])) {
      if (!each.address.startsWith("fe80:")) hosts.add(each.address); // those need a zone
    }
  }
  return [...hosts];
}

interface Made {
  readonly cert: string;
  readonly key: string;
}

async function make(hosts: readonly string[], nowMs: number, endMs: number): Promise<Made> {
  const lib = await x509();
  const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
  const keys = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const serial = crypto.getRandomValues(new Uint8Array(SERIAL_BYTES));
  serial[0] = ((serial[0] ?? 0) & 0x3f) | 0x40; // positive and not 0 (RFC 5280 4.1.2.2)
  const certificate = await lib.X509CertificateGenerator.createSelfSigned({
    serialNumber: serial.toHex(),
    name: "O=Aether",
    notBefore: new Date(nowMs - CLOCK_SLACK_MS),
    notAfter: new Date(endMs),
    signingAlgorithm: algorithm,
    keys,
    extensions: [
      new lib.BasicConstraintsExtension(false, undefined, true),
      new lib.KeyUsagesExtension(lib.KeyUsageFlags.digitalSignature, true),
      new lib.ExtendedKeyUsageExtension([lib.ExtendedKeyUsage.serverAuth]),
      await lib.SubjectKeyIdentifierExtension.create(keys.publicKey),
      new lib.SubjectAlternativeNameExtension(
        hosts.map((value) => ({ type: net().isIP(value) === 0 ? "dns" : "ip", value })),
      ),
    ],
  });
  const key = await crypto.subtle.exportKey("pkcs8", keys.privateKey);
  return { cert: certificate.toString("pem"), key: lib.PemConverter.encode(key, "PRIVATE KEY") };
}

/** A crash between the two leaves a key without its certificate: both are made anew then. */
function writePair(directory: string, { cert, key }: Made): void {
  try {
    mkdirSync(directory, { recursive: true, mode: DIRECTORY_MODE });
    for (const [name, text] of [
      ["key.pem", key],
      ["cert.pem", cert],
    ] as const) {
      const path = join(directory, name);
      writeDurably(path, `${path}.part`, `${text}\n`);
    }
  } catch (error) {
    throw unusable(directory, error);
  }
}
