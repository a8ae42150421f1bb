/** Programs that are run to their end: what they wrote and how they ended. */

export interface Ended {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string;
  /** Then it is killed, and its status is that of SIGKILL. */
  readonly msMax?: number;
}

/** More than any program takes that ends by itself, on a busy machine. */
const RUN_MS_MAX = 20_000;

/** Runs a program to its end. */
export async function runToEnd(
  command: readonly string[],
  options: RunOptions = {},
): Promise<Ended> {
  const child = Bun.spawn([...command], {
    stdin: new Blob([options.input ?? ""]),
    stdout: "pipe",
    stderr: "pipe",
    env: { ...process.env, ...options.env },
    ...(options.cwd !== undefined && { cwd: options.cwd }),
  });
  const killer = setTimeout(() => child.kill("SIGKILL"), options.msMax ?? RUN_MS_MAX);
  const [stdout, stderr, status] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  clearTimeout(killer);
  return { status, stdout, stderr };
}
