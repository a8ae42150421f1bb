/**
 * What a command touches of its process, so that tests can run one without a process: standard
 * streams, environment, signals.
 *
 * Standard output is written synchronously: nothing is lost when the process ends right after, and
 * a reader that went away (`… | head -1`) ends the program as SIGPIPE would, without a message.
 */
import { writeSync } from "node:fs";

export interface Io {
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** The bytes of standard input as they come; one reader. */
  readonly stdin: AsyncIterable<Uint8Array>;
  /** Whether a person sits at each end. */
  readonly stdinTerminal: boolean;
  readonly stdoutTerminal: boolean;
  /** Writes all of `bytes` to standard output. */
  out(bytes: Uint8Array): void;
  /** Writes to standard error. */
  err(text: string): void;
  /** Aborted by SIGINT or SIGTERM; from the first call on these no longer end the process. */
  interrupted(): AbortSignal;
  /** Asks a person for a line that is not shown while it is typed. */
  askSecret(prompt: string): Promise<string>;
  /** Runs a program with these variables added, on our output; what went wrong, or undefined. */
  run(
    words: readonly string[],
    variables: Readonly<Record<string, string>>,
  ): Promise<string | undefined>;
}

/** 128 + SIGPIPE: what a shell says of a program whose reader went away. */
const STATUS_BROKEN_PIPE = 141;
const CTRL_C = "\x03";

/** The real one. */
export function processIo(): Io {
  const stopping = new AbortController();
  let listening = false;
  return {
    environment: process.env,
    stdin: process.stdin,
    stdinTerminal: process.stdin.isTTY === true,
    stdoutTerminal: process.stdout.isTTY === true,
    out: (bytes) => writeAll(1, bytes),
    err: (text) => writeAll(2, Buffer.from(text)),
    interrupted() {
      if (!listening) {
        listening = true;
        for (const signal of ["SIGINT", "SIGTERM"] as const) {
          process.on(signal, () => stopping.abort(signal));
        }
      }
      return stopping.signal;
    },
    askSecret,
    run: runProgram,
  };
}

async function runProgram(
  words: readonly string[],
  variables: Readonly<Record<string, string>>,
): Promise<string | undefined> {
  const [program = ""] = words;
  if (Bun.which(program) === null) {
    return `exec: ${JSON.stringify(program)}: executable file not found in $PATH`;
  }
  const env = { ...process.env, ...variables };
  const child = Bun.spawn([...words], {
    stdin: "ignore",
    stdout: "inherit",
    stderr: "inherit",
    env,
  });
  const status = await child.exited;
  if (child.signalCode !== null) return `signal: ${child.signalCode}`;
  return status === 0 ? undefined : `exit status ${status}`;
}

function writeAll(descriptor: number, bytes: Uint8Array): void {
  for (let written = 0; written < bytes.length; ) {
    try {
      written += writeSync(descriptor, bytes, written);
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      if (code === "EPIPE") process.exit(STATUS_BROKEN_PIPE);
      if (code !== "EAGAIN") throw error;
      Bun.sleepSync(1); // a pipe made non-blocking by its other owner, and full
    }
  }
}

async function askSecret(prompt: string): Promise<string> {
  const { stdin } = process;
  process.stderr.write(prompt);
  stdin.setRawMode?.(true);
  try {
    return await readTyped(stdin);
  } finally {
    stdin.setRawMode?.(false);
    stdin.pause();
    process.stderr.write("\n");
  }
}

function readTyped(stdin: NodeJS.ReadStream): Promise<string> {
  return new Promise((resolve) => {
    let typed = "";
    const onData = (chunk: Buffer): void => {
      for (const char of chunk.toString("utf8")) {
        if (char === CTRL_C) process.exit(130);
        if (char === "\r" || char === "\n") {
          stdin.off("data", onData);
          resolve(typed);
          return;
        }
        typed = char === "\x7f" || char === "\b" ? typed.slice(0, -1) : typed + char;
      }
    };
    stdin.on("data", onData);
    stdin.on("end", () => resolve(typed));
  });
}

/** All of standard input. */
export async function readAll(stdin: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const part of stdin) parts.push(part);
  return Buffer.concat(parts);
}

/** Lines of standard input as byte strings (base/bytes: Key), without their line feeds. */
export class LineReader {
  readonly #chunks: AsyncIterator<Uint8Array>;
  #rest = "";
  #ended = false;

  constructor(stdin: AsyncIterable<Uint8Array>) {
    this.#chunks = stdin[Symbol.asyncIterator]();
  }

  /** The next line; undefined at the end. As in etcdctl, one without a line feed is none. */
  async next(): Promise<string | undefined> {
    for (;;) {
      const end = this.#rest.indexOf("\n");
      if (end !== -1) {
        const line = this.#rest.slice(0, end);
        this.#rest = this.#rest.slice(end + 1);
        return line;
      }
      if (this.#ended) return undefined;
      const chunk = await this.#chunks.next();
      if (chunk.done === true) this.#ended = true;
      else this.#rest += Buffer.from(chunk.value).latin1Slice();
    }
  }
}
