/** Our program under the name `etcd`, from source, as a process of its own. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Subprocess } from "bun";
import { CA_CERT, CLIENT_CERT, CLIENT_KEY, SERVER_CERT, SERVER_KEY } from "../net/certificates.ts";
import { until } from "../support/processes.ts";

const MAIN = join(import.meta.dir, "../../src/main.ts");

export const home = mkdtempSync(join(tmpdir(), "aether-etcd-role-"));

/** To be called when all tests have ended. */
export function removeHome(): void {
  rmSync(home, { recursive: true, force: true });
}

/** Files for TLS: an authority, a server's pair for localhost and 127.0.0.1, a client's. */
export const PEM = {
  ca: join(home, "ca.pem"),
  cert: join(home, "server.pem"),
  key: join(home, "server-key.pem"),
  clientCert: join(home, "client.pem"),
  clientKey: join(home, "client-key.pem"),
};
writeFileSync(PEM.ca, CA_CERT);
writeFileSync(PEM.cert, SERVER_CERT);
writeFileSync(PEM.key, SERVER_KEY);
writeFileSync(PEM.clientCert, CLIENT_CERT);
writeFileSync(PEM.clientKey, CLIENT_KEY);

/** A line of the log, taken apart. */
export type LogLine = Readonly<Record<string, unknown>> & { readonly msg: string };

export class EtcdRole {
  readonly child: Subprocess<"ignore", "pipe", "pipe">;
  stdout = "";
  stderr = "";

  constructor(words: readonly string[], env: Readonly<Record<string, string>> = {}) {
    this.child = Bun.spawn([process.execPath, MAIN, ...words], {
      argv0: "etcd",
      cwd: home,
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
      env: { PATH: process.env.PATH ?? "", HOME: home, ...env },
    });
    void this.#read(this.child.stdout, (text) => {
      this.stdout += text;
    });
    void this.#read(this.child.stderr, (text) => {
      this.stderr += text;
    });
  }

  /** The log on standard error so far. */
  get log(): LogLine[] {
    return linesOf(this.stderr);
  }

  /** What the log says with this message, once it does. */
  async said(message: string): Promise<LogLine> {
    await until(`it says ${message}`, () => {
      if (this.child.exitCode !== null) throw new Error(`it ended:\n${this.stderr}`);
      return this.log.some(({ msg }) => msg.startsWith(message));
    });
    return this.log.find(({ msg }) => msg.startsWith(message)) as LogLine;
  }

  async ready(): Promise<this> {
    await this.said("ready to serve client requests");
    return this;
  }

  /** Resolves when it has ended and all that it said is here. */
  async ended(): Promise<{ status: number | null; signal: NodeJS.Signals | number | null }> {
    await this.child.exited;
    await Promise.all(this.#readers);
    return { status: this.child.exitCode, signal: this.child.signalCode };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.child.kill("SIGKILL");
    await this.child.exited;
  }

  readonly #readers: Promise<void>[] = [];

  #read(stream: ReadableStream<Uint8Array>, take: (text: string) => void): Promise<void> {
    const reading = (async () => {
      const decoder = new TextDecoder();
      for await (const chunk of stream) take(decoder.decode(chunk, { stream: true }));
    })();
    this.#readers.push(reading);
    return reading;
  }
}

/** JSON lines; the last may be on its way. */
export function linesOf(text: string): LogLine[] {
  return text
    .split("\n")
    .slice(0, -1)
    .map((line) => JSON.parse(line) as LogLine);
}

export function linesOfFile(path: string): LogLine[] {
  return linesOf(readFileSync(path, "utf8"));
}

/** Runs a program to its end; its output, both streams. */
export async function run(words: readonly string[]): Promise<string> {
  const child = Bun.spawn([...words], { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const texts = [new Response(child.stdout).text(), new Response(child.stderr).text()];
  await child.exited;
  return (await Promise.all(texts)).join("");
}
