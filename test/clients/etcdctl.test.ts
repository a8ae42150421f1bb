/** etcdctl 3.4, as Debian packages it, drives our executable: what people type must work. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { isInstalled, type ServerProcess, startAether, until } from "../support/processes.ts";
import { type Ended, runToEnd } from "../support/run.ts";

const ETCDCTL = "/usr/bin/etcdctl";
const hasEtcdctl = await isInstalled(ETCDCTL);

/** The shortest TTL a default server grants. */
const TTL_SECONDS = 2;

let server: ServerProcess;

beforeAll(async () => {
  server = await startAether();
});
afterAll(() => server[Symbol.asyncDispose]());

function etcdctl(args: readonly string[], input = ""): Promise<Ended> {
  return runToEnd([ETCDCTL, "--endpoints", server.endpoint, ...args], {
    input,
    env: { ETCDCTL_API: "3" },
  });
}

/** Standard output of a command that must succeed. */
async function ok(args: readonly string[], input = ""): Promise<string> {
  const { status, stdout, stderr } = await etcdctl(args, input);
  if (status !== 0) throw new Error(`etcdctl ${args.join(" ")}: ${status}: ${stderr}`);
  return stdout;
}

async function revision(): Promise<number> {
  const answer = JSON.parse(await ok(["get", "no-such-key", "-w", "json"]));
  return answer.header.revision;
}

/** A watch that runs until it is ended; `text` is what it printed so far. */
function watch(args: readonly string[]): AsyncDisposable & { readonly text: () => string } {
  const child = Bun.spawn([ETCDCTL, "--endpoints", server.endpoint, "watch", ...args], {
    stdout: "pipe",
    stderr: "inherit",
    env: { ...process.env, ETCDCTL_API: "3" },
  });
  let text = "";
  const read = (async () => {
    for await (const chunk of child.stdout) text += Buffer.from(chunk).toString();
  })();
  return {
    text: () => text,
    async [Symbol.asyncDispose]() {
      child.kill();
      await child.exited;
      await read;
    },
  };
}

describe.skipIf(!hasEtcdctl)("etcdctl 3.4", () => {
  test("put, get, prefix range, delete", async () => {
    expect(await ok(["put", "fruit/apple", "red"])).toBe("OK\n");
    expect(await ok(["put", "fruit/banana", "yellow"])).toBe("OK\n");
    expect(await ok(["put", "fruit/apple", "green", "--prev-kv"])).toBe("OK\nfruit/apple\nred\n");
    expect(await ok(["get", "fruit/apple"])).toBe("fruit/apple\ngreen\n");
    expect(await ok(["get", "--prefix", "fruit/", "--print-value-only"])).toBe("green\nyellow\n");
    expect(await ok(["get", "--prefix", "fruit/", "--keys-only", "--order", "DESCEND"])).toBe(
      "fruit/banana\n\nfruit/apple\n\n",
    );
    expect(await ok(["get", "absent"])).toBe("");
    expect(await ok(["del", "--prefix", "fruit/", "--prev-kv"])).toBe(
      "2\nfruit/apple\ngreen\nfruit/banana\nyellow\n",
    );
  });

  test("a read of an older revision, and of a compacted one", async () => {
    await ok(["put", "old", "first"]);
    const first = await revision();
    await ok(["put", "old", "second"]);
    expect(await ok(["get", "old", `--rev=${first}`])).toBe("old\nfirst\n");
    const now = await revision();
    expect(await ok(["compaction", `${now}`])).toBe(`compacted revision ${now}\n`);
    const refused = await etcdctl(["get", "old", `--rev=${first}`]);
    expect(refused.status).toBe(1);
    expect(refused.stderr).toContain("etcdserver: mvcc: required revision has been compacted");
  });

  test("a transaction takes the branch that its condition says", async () => {
    await ok(["put", "guard", "open"]);
    const script = 'value("guard") = "open"\n\nput guard closed\nget guard\n\nget guard\n\n';
    expect(await ok(["txn"], script)).toBe("SUCCESS\n\nOK\n\nguard\nclosed\n");
    expect(await ok(["txn"], script)).toBe("FAILURE\n\nguard\nclosed\n");
  });

  test("a watch from a past revision shows the history, then what happens", async () => {
    await ok(["put", "news/1", "a"]);
    const from = await revision();
    await ok(["put", "news/2", "b"]);
    await ok(["del", "news/1"]);
    await using watcher = watch(["--prefix", "news/", `--rev=${from}`]);
    const history = "PUT\nnews/1\na\nPUT\nnews/2\nb\nDELETE\nnews/1\n\n";
    await until("the history is shown", () => watcher.text().length >= history.length);
    await ok(["put", "news/3", "c"]);
    const all = `${history}PUT\nnews/3\nc\n`;
    await until("the live event is shown", () => watcher.text().length >= all.length);
    expect(watcher.text()).toBe(all);
  });

  test("a lease: granted, listed, renewed, and its keys go when it expires", async () => {
    const granted = await ok(["lease", "grant", `${TTL_SECONDS}`]);
    const [, id = ""] = /^lease ([0-9a-f]{16}) granted with TTL\(2s\)\n$/.exec(granted) ?? [];
    expect(id).not.toBe("");
    await ok(["put", "leased", "v", `--lease=${id}`]);
    expect(await ok(["lease", "list"])).toContain(id);
    expect(await ok(["lease", "timetolive", id, "--keys"])).toMatch(
      /granted with TTL\(2s\), remaining\([01]s\), attached keys\(\[leased\]\)/,
    );
    expect(await ok(["lease", "keep-alive", "--once", id])).toBe(
      `lease ${id} keepalived with TTL(2)\n`,
    );
    await using watcher = watch(["leased"]);
    await until("the lease has expired", () => watcher.text() !== "");
    expect(watcher.text()).toBe("DELETE\nleased\n\n");
    expect(await ok(["get", "leased"])).toBe("");
    expect(await ok(["lease", "timetolive", id])).toBe(`lease ${id} already expired\n`);
  });

  test("a revoked lease takes its keys along; an unknown one is refused", async () => {
    const granted = await ok(["lease", "grant", "100"]);
    const id = granted.split(" ")[1] as string;
    await ok(["put", "held", "v", `--lease=${id}`]);
    expect(await ok(["lease", "revoke", id])).toBe(`lease ${id} revoked\n`);
    expect(await ok(["get", "held"])).toBe("");
    const refused = await etcdctl(["lease", "revoke", id]);
    expect(refused.status).toBe(1);
    expect(refused.stderr).toContain("etcdserver: requested lease not found");
  });

  test("endpoint health and status, member list", async () => {
    const health = await etcdctl(["endpoint", "health"]);
    expect(health.status).toBe(0);
    expect(health.stdout + health.stderr).toContain("is healthy: successfully committed proposal");
    const [status] = JSON.parse(await ok(["endpoint", "status", "-w", "json"]));
    expect(status.Status.version).toMatch(/^3\.\d+\.\d+$/);
    expect(status.Status.leader).toBe(status.Status.header.member_id);
    const members = await ok(["member", "list"]);
    expect(members).toMatch(/^[0-9a-f]+, started, \S+, http:\/\/\S+, http:\/\/\S+, false\n$/);
  });
});
