/** A process that is none: feeds a command and keeps what it says. */
import { runCtl } from "../../src/cli/ctl/ctl.ts";
import type { Io, ProgramFailure } from "../../src/cli/io.ts";

export interface Outcome {
  readonly stdout: Buffer;
  readonly stderr: string;
  readonly status: number;
}

export interface FakeOptions {
  readonly stdin?: string | AsyncIterable<Uint8Array>;
  readonly environment?: Readonly<Record<string, string>>;
  readonly interrupt?: AbortController;
  readonly terminal?: boolean;
}

export class FakeIo implements Io {
  readonly environment: Readonly<Record<string, string>>;
  readonly stdin: AsyncIterable<Uint8Array>;
  readonly stdinTerminal: boolean;
  readonly stdoutTerminal: boolean;
  /** Each program run, with the variables it was given. */
  readonly runs: { words: readonly string[]; variables: Readonly<Record<string, string>> }[] = [];
  /** What run() answers. */
  failure: ProgramFailure | undefined;
  program = "aether ctl";
  stderr = "";
  readonly #interrupt: AbortController;
  #parts: Buffer[] = [];

  constructor(options: FakeOptions = {}) {
    this.environment = options.environment ?? {};
    const { stdin = "" } = options;
    this.stdin = typeof stdin === "string" ? oneChunk(stdin) : stdin;
    this.#interrupt = options.interrupt ?? new AbortController();
    this.stdinTerminal = options.terminal === true;
    this.stdoutTerminal = options.terminal === true;
  }

  get stdout(): Buffer {
    return Buffer.concat(this.#parts);
  }

  out(bytes: Uint8Array): void {
    this.#parts.push(Buffer.from(bytes));
  }

  err(text: string): void {
    this.stderr += text;
  }

  interrupted(): AbortSignal {
    return this.#interrupt.signal;
  }

  askSecret(): Promise<string> {
    return Promise.resolve("secret");
  }

  run(
    words: readonly string[],
    variables: Readonly<Record<string, string>>,
  ): Promise<ProgramFailure | undefined> {
    this.runs.push({ words, variables });
    return Promise.resolve(this.failure);
  }
}

async function* oneChunk(text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text);
}

/** Runs the client in this process. */
export async function runFake(words: readonly string[], options?: FakeOptions): Promise<Outcome> {
  const io = new FakeIo(options);
  const status = await runCtl(words, io);
  return { stdout: io.stdout, stderr: io.stderr, status };
}
