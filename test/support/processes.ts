/**
 * Server processes for tests and benches: etcd and our own executable, each on loopback ports of
 * its own and in a directory of its own. A process is ready when it says so in its log, is stopped
 * by its own pid, and never outlives the test runner.
 *
 *   await using server = await startEtcd();
 *   connect(server.endpoint);
 *
 * The directory (data and log) is removed when the process is disposed of, unless keep() was
 * called or KEEP_LOGS=1 is set; errors name the log and show its end.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { appendFile, readFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Subprocess } from "bun";

export const ETCD = "/usr/bin/etcd";
/** Our executable; TEST_EXECUTABLE names another one, such as an older build. */
export const AETHER = process.env.TEST_EXECUTABLE ?? join(import.meta.dir, "../../dist/aether");

/** Starting takes well under a second; on a machine busy with other work, some. */
const READY_MS_MAX = 20_000;
/** A server that was asked to stop gets this long before it is killed. */
const STOP_MS_MAX = 10_000;
/** A port that was free may be taken by another before the server listens on it. */
const START_ATTEMPTS_MAX = 4;
const LOG_TAIL_CHARS = 4000;

export interface ServerOptions {
  /** Kept when the process is disposed of; left out: a temporary one. */
  readonly dataDir?: string;
  /** For clients, on loopback; left out: a free one. */
  readonly port?: number;
  /** Appended to the command line. */
  readonly args?: readonly string[];
  /** Of our executable: where metrics are served; "": not said; left out: on a free port. */
  readonly metricsAddr?: string;
  /** Of our executable: the words that start it, if it is not to be started as it is. */
  readonly prefix?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

type Running = Subprocess<"ignore", "pipe", "pipe">;

/** How to run one kind of server. */
export interface Kind {
  readonly name: string;
  readonly executable: string;
  /** Appears in the log once requests are answered. */
  readonly ready: RegExp;
  command(port: number, dataDir: string, options: ServerOptions): Promise<string[]>;
}

/** Starts a server and waits until it is ready; the caller disposes of it. */
export type Launcher = (options?: ServerOptions) => Promise<ServerProcess>;

/** A member of etcd, of any version since 3.4. */
export const etcdKind = (executable: string): Kind => ({
  name: "etcd",
  executable,
  ready: /serving client traffic/,
  async command(port, dataDir) {
    const peer = `http://127.0.0.1:${await freePort()}`;
    const client = `http://127.0.0.1:${port}`;
    return [
      executable,
      ...["--name", "test", "--data-dir", dataDir, "--logger", "zap", "--log-outputs", "stderr"],
      ...["--listen-client-urls", client, "--advertise-client-urls", client],
      ...["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer],
      ...["--initial-cluster", `test=${peer}`],
    ];
  },
});

const aetherKind: Kind = {
  name: "aether",
  executable: AETHER,
  ready: /\bready\b/,
  command: async (port, dataDir, { metricsAddr = "127.0.0.1:0", prefix = [AETHER] }) => [
    ...prefix,
    ...["--addr", `127.0.0.1:${port}`, "--data-dir", dataDir],
    ...(metricsAddr === "" ? [] : ["--metrics-listen-addr", metricsAddr]),
  ],
};

/** One member of etcd 3.4, as Debian packages it. */
export const startEtcd: Launcher = (options = {}) => ServerProcess.start(etcdKind(ETCD), options);

/** One node of our own: dist/aether, which `bun run build` makes. */
export const startAether: Launcher = (options = {}) => ServerProcess.start(aetherKind, options);

/** Whether the executable is there: tests against it are skipped otherwise. */
export async function isInstalled(executable: string): Promise<boolean> {
  return await Bun.file(executable).exists();
}

/** Throws when the executable is not there, and says how it comes there. */
export async function requireExecutable(executable: string): Promise<void> {
  if (await isInstalled(executable)) return;
  const how = executable === AETHER ? ": build it with `bun scripts/build.ts --if-stale`" : "";
  throw new Error(`${executable} is missing${how}`);
}

/** A loopback port that nobody listens on right now. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      const port = typeof address === "object" && address !== null ? address.port : 0;
      server.close(() => resolve(port));
    });
  });
}

/** Waits until `holds`; throws after `msMax` with what was waited for. */
export async function until(
  what: string,
  holds: () => boolean | Promise<boolean>,
  msMax = READY_MS_MAX,
): Promise<void> {
  const deadline = performance.now() + msMax;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`still not after ${msMax} ms: ${what}`);
    await Bun.sleep(5);
  }
}

/** Pids of processes that run now: killed if the runner ends first. */
const running = new Set<number>();
process.on("exit", () => {
  for (const pid of running) process.kill(pid, "SIGKILL");
});

export class ServerProcess implements AsyncDisposable {
  readonly name: string;
  readonly port: number;
  readonly dataDir: string;
  readonly logPath: string;
  readonly #kind: Kind;
  readonly #options: ServerOptions;
  /** Holds the log, and the data unless a directory was given. */
  readonly #directory: string;
  #process: Running | undefined = undefined;
  /** Exit status of the last process that ended. */
  #status = 0;
  #log = "";
  /** Where in the log the process that runs began. */
  #logFrom = 0;
  #written: Promise<void> = Promise.resolve();
  #keep = process.env.KEEP_LOGS === "1";

  private constructor(kind: Kind, options: ServerOptions, port: number) {
    this.#kind = kind;
    this.#options = options;
    this.#directory = mkdtempSync(join(tmpdir(), `aether-test-${kind.name}-`));
    this.name = kind.name;
    this.port = port;
    this.dataDir = options.dataDir ?? join(this.#directory, "data");
    this.logPath = join(this.#directory, "log");
  }

  /** Not started yet: launch() and ready(), or restart(), do that. */
  static idle(kind: Kind, options: ServerOptions & { readonly port: number }): ServerProcess {
    return new ServerProcess(kind, options, options.port);
  }

  static async start(kind: Kind, options: ServerOptions): Promise<ServerProcess> {
    await requireExecutable(kind.executable);
    for (let attempt = 1; ; attempt++) {
      const server = new ServerProcess(kind, options, options.port ?? (await freePort()));
      try {
        await server.restart();
        return server;
      } catch (error) {
        const portTaken = /address already in use|EADDRINUSE/i.test(server.#log);
        const again = portTaken && options.port === undefined && attempt < START_ATTEMPTS_MAX;
        if (!again) server.keep();
        await server[Symbol.asyncDispose]();
        if (!again) throw error;
      }
    }
  }

  /** host:port for clients. */
  get endpoint(): string {
    return `127.0.0.1:${this.port}`;
  }

  /** host:port of metrics, as our executable said last. */
  get metricsEndpoint(): string {
    return [...this.#log.matchAll(/ metrics=(\S+)/g)].at(-1)?.[1] ?? "";
  }

  /** The pid while it runs, undefined once it has ended. */
  get pid(): number | undefined {
    return this.#process?.pid;
  }

  /** Everything it wrote so far, over restarts. */
  get log(): string {
    return this.#log;
  }

  /** What the process that was started last wrote. */
  get lastLog(): string {
    return this.#log.slice(this.#logFrom);
  }

  /** Keeps data and log on disk: somebody wants to look at them. */
  keep(): void {
    this.#keep = true;
  }

  /** Asks it to stop and waits until it has; kills it if it does not in time. */
  async stop(): Promise<void> {
    await this.#end("SIGTERM");
  }

  /** Kills it at once, as a crash does. */
  async kill(): Promise<void> {
    await this.#end("SIGKILL");
  }

  /** Sends a signal (SIGSTOP, SIGCONT) and does not wait for anything. */
  signal(signal: NodeJS.Signals): void {
    this.#process?.kill(signal);
  }

  /** Starts it again, after stop() or kill(), on the same port and data. */
  async restart(): Promise<void> {
    await this.launch();
    await this.ready();
  }

  /** Starts it again, and does not wait until it is ready: others may have to be started too. */
  async launch(): Promise<void> {
    await this.kill();
    await this.#spawn();
  }

  /** Waits until the process that runs says that it is ready; throws when it ends instead. */
  async ready(): Promise<void> {
    const child = this.#process;
    try {
      await until(`${this.name} is ready`, () => {
        if (this.#process !== child || child === undefined) {
          throw new Error(`${this.name} ended with ${this.#status}`);
        }
        return this.#kind.ready.test(this.lastLog);
      });
    } catch (cause) {
      this.keep();
      const tail = this.#log.slice(-LOG_TAIL_CHARS);
      throw new Error(`${this.name} did not start; ${this.logPath} ends with:\n${tail}`, { cause });
    }
  }

  /** Starts it and kills it some milliseconds later, ready or not. */
  async crashAtStart(afterMs: number): Promise<void> {
    await this.kill();
    await this.#spawn();
    await Bun.sleep(afterMs);
    await this.kill();
  }

  /** Waits until it has ended by itself; its exit status. */
  async ended(): Promise<number> {
    await until(`${this.name} has ended`, () => this.#process === undefined);
    return this.#status;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#end("SIGKILL");
    await this.#written;
    if (!this.#keep) rmSync(this.#directory, { recursive: true, force: true });
  }

  async #spawn(): Promise<Running> {
    const command = await this.#kind.command(this.port, this.dataDir, this.#options);
    const child = Bun.spawn([...command, ...(this.#options.args ?? [])], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
      env: { ...process.env, ...this.#options.env },
    });
    this.#process = child;
    this.#logFrom = this.#log.length;
    running.add(child.pid);
    const written = Promise.all([this.#collect(child.stdout), this.#collect(child.stderr)]);
    child.exited.then(async (status) => {
      await written;
      this.#status = status;
      running.delete(child.pid);
      if (this.#process === child) this.#process = undefined;
    });
    return child;
  }

  async #collect(stream: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of stream) {
      this.#log += decoder.decode(chunk, { stream: true });
      this.#written = this.#written.then(() => appendFile(this.logPath, chunk));
    }
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#process;
    if (child === undefined) return;
    child.kill(signal);
    const killer = setTimeout(() => child.kill("SIGKILL"), STOP_MS_MAX);
    await child.exited;
    clearTimeout(killer);
    await until(`${this.name} has ended`, () => this.#process === undefined);
  }
}

/** The log file of a process that was kept. */
export async function readLog(server: ServerProcess): Promise<string> {
  return await readFile(server.logPath, "utf8");
}
