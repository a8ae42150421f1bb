/**
 * What a command touches of its process, so that tests can run one without a process: standard
 * streams, environment, signals.
 *
 * Standard output is written synchronously: nothing is lost when the process ends right after, and
 * a reader that went away (`… | head -1`) ends the program as SIGPIPE would, without a message.
 */
import { writeSync } from "node:fs";
import { EXIT, ExitError } from "./exit.ts";
import { isTerminal } from "./terminal.ts";

/** How a program that a command ran ended, when it did not end well. */
export interface ProgramFailure {
  /** As Go's os/exec says it: `exit status 3`, `signal: killed`. */
  readonly text: string;
  /** Its exit status; 255 when a signal ended it, 1 when it could not be run. */
  readonly status: number;
}

export interface Io {
  /** The name by which the client was called: `aether ctl`, `aetherctl` or `etcdctl`. */
  readonly program: string;
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
  /** Asks for a line that is not shown while it is typed; a pipe's next line where none types. */
  askSecret(prompt: string): Promise<string>;
  /** Runs a program with these variables added, on our output; undefined when it ended well. */
  run(
    words: readonly string[],
    variables: Readonly<Record<string, string>>,
  ): Promise<ProgramFailure | undefined>;
}

/** 128 + SIGPIPE: what a shell says of a program whose reader went away. */
const STATUS_BROKEN_PIPE = 141;
const CTRL_C = "\x03";

/** The real one. */
export function processIo(program: string): Io {
  const stopping = new AbortController();
  let listening = false;
  let lines: LineReader | undefined; // made by the first question: a reader takes the whole stream
  return {
    program,
    environment: process.env,
    get stdin() {
      return process.stdin;
    },
    get stdinTerminal() {
      return isTerminal(0);
    },
    get stdoutTerminal() {
      return isTerminal(1);
    },
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
    askSecret(prompt) {
      if (isTerminal(0)) return askSecret(prompt);
      lines ??= new LineReader(process.stdin);
      return askPipe(prompt, lines);
    },
    run: runProgram,
  };
}

/** Go's names of the signals that end programs. */
const SIGNAL_TEXTS: Readonly<Record<string, string>> = {
  SIGHUP: "hangup",
  SIGINT: "interrupt",
  SIGQUIT: "quit",
  SIGABRT: "aborted",
  SIGKILL: "killed",
  SIGSEGV: "segmentation fault",
  SIGPIPE: "broken pipe",
  SIGALRM: "alarm clock",
  SIGTERM: "terminated",
};
/** What becomes of Go's -1, the status of a program that a signal ended. */
const STATUS_SIGNALLED = 255;

async function runProgram(
  words: readonly string[],
  variables: Readonly<Record<string, string>>,
): Promise<ProgramFailure | undefined> {
  const [program = ""] = words;
  if (Bun.which(program) === null) {
    const text = `exec: ${JSON.stringify(program)}: executable file not found in $PATH`;
    return { text, status: EXIT.FAILED };
  }
  const env = { ...process.env, ...variables };
  const child = Bun.spawn([...words], {
    stdin: "ignore",
    stdout: "inherit",
    stderr: "inherit",
    env,
  });
  const status = await child.exited;
  if (child.signalCode !== null) {
    const text = `signal: ${SIGNAL_TEXTS[child.signalCode] ?? child.signalCode}`;
    return { text, status: STATUS_SIGNALLED };
  }
  return status === 0 ? undefined : { text: `exit status ${status}`, status };
}

/**
 * Throws ExitError IO when nothing can be written (a full disk, a closed descriptor): the answer
 * was not given, which a script must not take for success. etcdctl ends with 0 then.
 */
function writeAll(descriptor: number, bytes: Uint8Array): void {
  for (let written = 0; written < bytes.length; ) {
    try {
      written += writeSync(descriptor, bytes, written);
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      if (code === "EPIPE") process.exit(STATUS_BROKEN_PIPE);
      if (code !== "EAGAIN") throw notWritten(descriptor, error as NodeJS.ErrnoException);
      Bun.sleepSync(1); // a pipe made non-blocking by its other owner, and full
    }
  }
}

function notWritten(descriptor: number, error: NodeJS.ErrnoException): Error {
  if (descriptor !== 1) process.exit(EXIT.IO); // nobody can be told
  const why = error.code === "ENOSPC" ? "no space left on device" : error.message;
  return new ExitError(EXIT.IO, `cannot write to standard output: ${why}`, { cause: error });
}

/** The next line of a pipe, where nobody sees what is typed anyway. */
async function askPipe(prompt: string, lines: LineReader): Promise<string> {
  writeAll(2, Buffer.from(prompt));
  const line = await lines.last();
  return Buffer.from(line, "latin1").toString("utf8").replace(/\r$/, "");
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

  /** The next line; at the end, what stands after the last line feed. */
  async last(): Promise<string> {
    const line = await this.next();
    if (line !== undefined) return line;
    const rest = this.#rest;
    this.#rest = "";
    return rest;
  }
}
