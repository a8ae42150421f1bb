/** Two ways to run one command: as a program, or, our client, in this process. */
import { runCtl } from "../../../src/cli/ctl/ctl.ts";
import type { Io, ProgramFailure } from "../../../src/cli/io.ts";
import type { Said } from "./step.ts";

/** A command that was started. */
export interface Running {
  /** What it has printed so far, its bytes as Latin-1. */
  readonly stdout: () => string;
  readonly kill: (signal: "SIGINT" | "SIGKILL") => void;
  readonly ended: Promise<Said>;
}

export type Spawn = (
  words: readonly string[],
  stdin: string,
  env: Readonly<Record<string, string>>,
) => Running;

/** Everything here answers at once, but on a busy machine; what does not is not waited for. */
const SAY_MS_MAX = 30_000;

export function spawnProgram(program: string): Spawn {
  return (words, stdin, env) => {
    const child = Bun.spawn([program, ...words], {
      stdin: new Blob([stdin]),
      stdout: "pipe",
      stderr: "pipe",
      env: { ...env },
    });
    let stdout = "";
    const read = (async () => {
      for await (const chunk of child.stdout) stdout += Buffer.from(chunk).latin1Slice();
    })();
    const killer = setTimeout(() => child.kill("SIGKILL"), SAY_MS_MAX);
    const ended = (async () => {
      const stderr = await new Response(child.stderr).text();
      await read;
      const status = await child.exited;
      clearTimeout(killer);
      return { stdout, stderr, status };
    })();
    return { stdout: () => stdout, kill: (signal) => child.kill(signal), ended };
  };
}

export const spawnOurs: Spawn = (words, stdin, environment) => {
  const stop = new AbortController();
  let stdout = "";
  let stderr = "";
  const io: Io = {
    program: "etcdctl",
    environment,
    stdin: oneChunk(stdin),
    stdinTerminal: false,
    stdoutTerminal: false,
    out: (bytes) => {
      stdout += Buffer.from(bytes).latin1Slice();
    },
    err: (text) => {
      stderr += text;
    },
    interrupted: () => stop.signal,
    askSecret: () => Promise.reject(new Error("nothing is asked for in a session")),
    run: async (program, variables) => {
      const env = { ...environment, ...variables };
      const said = await spawnProgram(program[0] ?? "")(program.slice(1), "", env).ended;
      stdout += said.stdout;
      stderr += said.stderr;
      return failureOf(said.status);
    },
  };
  const killer = setTimeout(() => stop.abort(), SAY_MS_MAX);
  const ended = runCtl(words, io).then((status) => {
    clearTimeout(killer);
    return { stdout, stderr, status };
  });
  return { stdout: () => stdout, kill: () => stop.abort(), ended };
};

function failureOf(status: number): ProgramFailure | undefined {
  return status === 0 ? undefined : { text: `exit status ${status}`, status };
}

async function* oneChunk(text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text);
}
