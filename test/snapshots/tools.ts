/** The offline tools, theirs as processes and ours in this one. */
import { runUtl } from "../../src/cli/utl/utl.ts";
import { FakeIo } from "../cli/fake-io.ts";

export interface Said {
  readonly stdout: string;
  readonly stderr: string;
  readonly status: number;
}

/** Our `utl`, called as etcdutl. */
export async function utl(...words: readonly string[]): Promise<Said> {
  const io = new FakeIo();
  io.program = "etcdutl";
  const status = await runUtl(words, io);
  return { stdout: io.stdout.toString(), stderr: io.stderr, status };
}

/** A program of etcd's; ETCDCTL_API is what 3.4 needs to be told. */
export async function program(...words: readonly string[]): Promise<Said> {
  const child = Bun.spawn([...words], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    env: { ...process.env, ETCDCTL_API: "3" },
  });
  const [stdout, stderr, status] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { stdout, stderr, status };
}

/** The same, where anything but status 0 is an error. */
export async function done(said: Promise<Said>): Promise<string> {
  const { stdout, stderr, status } = await said;
  if (status !== 0) throw new Error(`status ${status}: ${stderr}${stdout}`);
  return stdout;
}
