/** The executable as a process: both roles, signals, exit statuses, what goes to which stream. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Subprocess } from "bun";
import { runCtl } from "../../src/cli/ctl/ctl.ts";
import { until } from "../support/processes.ts";
import { FakeIo, runFake } from "./fake-io.ts";

const MAIN = join(import.meta.dir, "../../src/main.ts");
const directory = mkdtempSync(join(tmpdir(), "aether-test-cli-"));
const ANY = ["--addr", "127.0.0.1:0", "--metrics-listen-addr", "127.0.0.1:0"] as const;

afterAll(() => rmSync(directory, { recursive: true, force: true }));

interface Ended {
  readonly stdout: string;
  readonly stderr: string;
  readonly status: number | null;
}

function spawn(words: readonly string[], env: Record<string, string> = {}) {
  return Bun.spawn([process.execPath, MAIN, ...words], {
    cwd: directory,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    env: { ...process.env, ...env },
  });
}

async function ended(child: Subprocess<"ignore", "pipe", "pipe">): Promise<Ended> {
  const [stdout, stderr] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  await child.exited;
  return { stdout, stderr, status: child.exitCode };
}

const aether = (words: readonly string[], env?: Record<string, string>): Promise<Ended> =>
  ended(spawn(words, env));

/** A node of this source, ready. */
class Node {
  readonly child: Subprocess<"ignore", "pipe", "pipe">;
  log = "";

  constructor(name: string, env?: Record<string, string>) {
    this.child = spawn([...ANY, "--data-dir", join(directory, name)], env);
    void this.#read();
  }

  get endpoint(): string {
    return /ready to serve client requests address=(\S+)/.exec(this.log)?.[1] ?? "";
  }

  async ready(): Promise<this> {
    await until("the node is ready", () => {
      if (this.child.exitCode !== null) throw new Error(`it ended:\n${this.log}`);
      return this.endpoint !== "";
    });
    return this;
  }

  async #read(): Promise<void> {
    for await (const chunk of this.child.stdout) this.log += Buffer.from(chunk).toString();
  }
}

describe("a command line that is wrong ends with 2, in one line, and opens nothing", () => {
  const table: readonly (readonly [words: string[], message: string])[] = [
    [["--no-such"], "aether: unknown flag: --no-such\n"],
    [["--adr", "127.0.0.1:1"], "aether: unknown flag: --adr; did you mean --addr?\n"],
    [["--data-dir"], "aether: flag needs an argument: --data-dir\n"],
    [["put", "a", "b"], 'aether: unexpected argument "put" (client commands begin with ctl: '],
    [["--config", "no.toml"], "aether: no.toml: cannot be read: no such file\n"],
    [["--config", "."], "aether: .: cannot be read: it is a directory\n"],
    [["--config", "wrong.toml"], "aether: wrong.toml:2: adr: unknown key; did you mean addr?\n"],
    [["--node-id", "0"], "aether: --node-id: expected a whole number from 1 to "],
    [["--log-json=maybe"], 'aether: invalid argument "maybe" for "--log-json" flag'],
    [["--auth-signing-key=x"], "aether: unknown flag: --auth-signing-key"],
    [["-name", "a", "--node-id=1"], "aether: --name and --node-id: the same thing twice"],
    [["-initial-cluster=a"], "aether: --initial-cluster: expected members name=http://"],
    [["--cert-file=x"], "aether: --cert-file: a certificate and its key go together"],
    [["--discovery=x"], 'aether: --discovery: "x" is refused: members are found by '],
    [["--cipher-suites=RC4"], "aether: --cipher-suites: unknown cipher suite RC4"],
    [["--config-file", "no.yml"], "aether: no.yml: cannot be read: no such file"],
    [["--cluster-secret=x"], "aether: unknown flag: --cluster-secret"],
  ];
  beforeAll(() => writeFileSync(join(directory, "wrong.toml"), "\nadr = 1\n"));
  test.concurrent.each(table)("%p", async (words, message) => {
    const data = join(directory, "untouched");
    const result = await aether(["--data-dir", data, ...words]);
    expect(result.stdout).toBe("");
    expect(result.stderr).toStartWith(message);
    expect(result.stderr).toMatch(/^[^\n]+\n$/);
    expect(result.status).toBe(2);
    expect(await Bun.file(join(data, "format")).exists()).toBe(false);
  });
});

describe.concurrent("one executable", () => {
  test("says its version and its help", async () => {
    expect(await aether(["--version"])).toEqual({
      stdout: "aether 0.1.0\n",
      stderr: "",
      status: 0,
    });
    const { stdout, status } = await aether(["--help"]);
    expect(status).toBe(0);
    expect(stdout).toContain("--data-dir=<text>");
    expect(stdout).toContain("--initial-cluster=<name=url,…>");
    expect(stdout).not.toContain("--pre-vote");
    expect(stdout).not.toContain("\x1b");
  });

  test("is the client when it is called aetherctl", async () => {
    const script = 'exec -a /somewhere/aetherctl "$0" "$@"';
    const words = ["bash", "-c", script, process.execPath, MAIN, "version"];
    const child = Bun.spawn(words, { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
    const { stdout, status } = await ended(child);
    expect(stdout).toStartWith("aetherctl version: ");
    expect(status).toBe(0);
  });
});

describe("a node", () => {
  let node: Node;
  beforeAll(async () => {
    mkdirSync(join(directory, "cwd"), { recursive: true });
    node = await new Node("node", { AETHER_HINTS: "1" }).ready();
  });
  afterAll(() => node.child.kill("SIGKILL"));

  const ctl = (line: string) => {
    return runFake(line.split(" "), { environment: { ETCDCTL_ENDPOINTS: node.endpoint } });
  };

  test("serves the client, and says how", async () => {
    const hint = `ctl --endpoints=${node.endpoint} put greeting hello`;
    await until("the node has said how", () => node.log.includes(hint));
    const put = await aether(["ctl", "put", "greeting", "héllo"], {
      AETHERCTL_ENDPOINTS: node.endpoint,
    });
    expect(put).toEqual({ stdout: "OK\n", stderr: "", status: 0 });
    expect((await ctl("get greeting")).stdout.toString()).toBe("greeting\nhéllo\n");
  });

  test("a large range comes in pieces, put together", async () => {
    for (let i = 0; i < 30; i++) await ctl(`put piece/${i} ${i}`);
    const whole = await ctl("get --prefix piece/ -w fields");
    const pieces = await ctl("get --prefix piece/ --stream -w fields");
    expect(pieces.stdout.toString()).toBe(whole.stdout.toString());
    expect(pieces.stdout.toString()).toContain('"Count" : 30');
  });

  test("the reader of its output may go away", async () => {
    const environment = { ETCDCTL_ENDPOINTS: node.endpoint };
    await runFake(["put", "large"], { environment, stdin: "x".repeat(1_000_000) });
    const script = 'set -o pipefail; "$0" "$@" | head -c 5; echo " $?"';
    const words = ["bash", "-c", script, process.execPath, MAIN, "ctl", "get", "large"];
    const env = { ...process.env, ...environment };
    const child = Bun.spawn(words, { stdin: "ignore", stdout: "pipe", stderr: "pipe", env });
    expect(await ended(child)).toEqual({ stdout: "large 141\n", stderr: "", status: 0 });
  });

  test.skipIf(!existsSync("/dev/full"))(
    "an answer that cannot be written is a failure",
    async () => {
      await ctl("put written no");
      const words = ["bash", "-c", '"$0" "$@" > /dev/full', process.execPath, MAIN, "ctl"];
      const env = { ...process.env, ETCDCTL_ENDPOINTS: node.endpoint };
      const streams = { stdin: "ignore", stdout: "pipe", stderr: "pipe" } as const;
      const child = Bun.spawn([...words, "get", "written"], { ...streams, env });
      expect(await ended(child)).toEqual({
        stdout: "",
        stderr: "Error: cannot write to standard output: no space left on device\n",
        status: 6,
      });
    },
  );

  test("a watch runs a program for each event and ends by the signal that stops it", async () => {
    const program = [
      "--",
      "sh",
      "-c",
      'echo "$ETCD_WATCH_REVISION $ETCD_WATCH_EVENT_TYPE $ETCD_WATCH_VALUE"',
    ];
    const words = ["ctl", "--endpoints", node.endpoint, "watch", "watched", "--rev=2", ...program];
    await ctl('put watched "x"');
    const child = spawn(words);
    let stdout = "";
    for await (const chunk of child.stdout) {
      stdout += Buffer.from(chunk).toString();
      if (stdout.split("\n").length < 5) continue;
      child.kill("SIGINT");
    }
    expect(stdout).toMatch(/^PUT\nwatched\n"x"\n\d+ "PUT" "\\"x\\""\n$/);
    await child.exited;
    expect(child.exitCode).toBe(130);
  });

  test("renewals end by the signal that stops them", async () => {
    const { stdout: granted } = await aether(["ctl", "lease", "grant", "60"], {
      AETHERCTL_ENDPOINTS: node.endpoint,
    });
    const id = granted.split(" ")[1] as string;
    const child = spawn(["ctl", "--endpoints", node.endpoint, "lease", "keep-alive", id]);
    for await (const chunk of child.stdout) {
      expect(Buffer.from(chunk).toString()).toBe(`lease ${id} keepalived with TTL(60)\n`);
      child.kill("SIGTERM");
    }
    await child.exited;
    expect(child.exitCode).toBe(143);
  });

  test("a program that fails ends the watch", async () => {
    const io = new FakeIo();
    io.failure = { text: "exit status 3", status: 3 };
    await ctl("put failing 1");
    const words = `--endpoints ${node.endpoint} watch failing --rev=2 -- sh -c x`;
    expect(await runCtl(words.split(" "), io)).toBe(1);
    expect(io.stderr).toBe('command ["sh" "-c" "x"] error (exit status 3)\n');
    expect(io.runs[0]?.variables).toMatchObject({ ETCD_WATCH_KEY: '"failing"' });
  });

  test("an interactive watch", async () => {
    const typed = Promise.withResolvers<void>();
    const lines = async function* (): AsyncGenerator<Uint8Array> {
      yield Buffer.from("\nget x\nwatch\nwatch a --rv\nwatch it --prefix --prev-kv\nwat");
      yield Buffer.from('ch other "range end"\n');
      await typed.promise;
    };
    const interrupt = new AbortController();
    const environment = { ETCDCTL_ENDPOINTS: node.endpoint };
    const io = new FakeIo({ stdin: lines(), interrupt, environment });
    const done = runCtl(["watch", "-i"], io);
    const complaints =
      "Invalid command  (watch and progress supported)\n" +
      "Invalid command get x (only support watch)\n" +
      "Invalid command watch (command type or key is not provided)\n" +
      "Invalid command watch a --rv (unknown flag: --rv; did you mean --rev?)\n";
    await until("the lines are read", () => io.stderr === complaints);
    await until("the watch has begun", async () => {
      await ctl("put it 1");
      return io.stdout.length > 0;
    });
    interrupt.abort();
    typed.resolve();
    expect(await done).toBe(130);
    expect(io.stdout.toString()).toMatch(/^PUT\n(it\n1\n)+/);
  });

  test("progress is told to an interactive watch, and the end of input ends it", async () => {
    const asked = Promise.withResolvers<void>();
    const lines = async function* (): AsyncGenerator<Uint8Array> {
      yield Buffer.from("watch quiet\n");
      while (io.stdout.length === 0) {
        await Bun.sleep(5);
        yield Buffer.from("progress\n");
      }
      await asked.promise;
    };
    const environment = { ETCDCTL_ENDPOINTS: node.endpoint };
    const io: FakeIo = new FakeIo({ stdin: lines(), environment });
    const done = runCtl(["watch", "-i"], io);
    await until("progress is told", () => io.stdout.length > 0);
    asked.resolve();
    expect(await done).toBe(3);
    expect(io.stdout.toString()).toMatch(/^(progress notify: \d+\n)+$/);
    expect(io.stderr).toBe("Error: error reading watch request line: EOF\n");
  });

  test("a lease is renewed until it is revoked", async () => {
    const [id = ""] = (await ctl("lease grant 2")).stdout.toString().match(/[0-9a-f]{16}/) ?? [];
    const io = new FakeIo({ environment: { ETCDCTL_ENDPOINTS: node.endpoint } });
    const done = runCtl(["lease", "keep-alive", id], io);
    await until("it is renewed", () => io.stdout.length > 0);
    await ctl(`lease revoke ${id}`);
    expect(await done).toBe(0);
    const lines = io.stdout.toString().trim().split("\n");
    expect(lines.at(0)).toBe(`lease ${id} keepalived with TTL(2)`);
    expect(lines.at(-1)).toBe(`lease ${id} expired or revoked.`);
  });

  test("its address and its directory are its own", async () => {
    const words = ["--addr", node.endpoint, "--metrics-listen-addr", "127.0.0.1:0"];
    const [address, locked] = await Promise.all([
      aether([...words, "--log-level=error", "--data-dir", join(directory, "second")]),
      aether([...ANY, "--log-level=error", "--data-dir", join(directory, "node")]),
    ]);
    expect(address.stderr).toBe(`aether: ${node.endpoint}: address already in use\n`);
    expect(address.status).toBe(1);
    expect(locked.stderr).toMatch(/^aether: [^\n]*(lock|use)[^\n]*\n$/);
    expect(locked.status).toBe(1);
  });

  test("SIGTERM ends it within two seconds, with 0, though somebody watches", async () => {
    const interrupt = new AbortController();
    const io = new FakeIo({ interrupt });
    const watched = runCtl(["--endpoints", node.endpoint, "watch", "last"], io);
    await until("the watch has begun", async () => {
      await ctl("put last 1");
      return io.stdout.length > 0;
    });
    const startedMs = performance.now();
    node.child.kill("SIGTERM");
    await node.child.exited;
    expect(node.child.exitCode).toBe(0);
    expect(performance.now() - startedMs).toBeLessThan(2000);
    interrupt.abort();
    expect(await watched).toBe(130);
  });
});

test("a second signal ends a node at once", async () => {
  const node = await new Node("impatient").ready();
  const { child, endpoint } = node;
  const [host = "", port = ""] = endpoint.split(":");
  // A request whose body never comes: stopping waits for it.
  const socket = await Bun.connect({ hostname: host, port: Number(port), socket: { data() {} } });
  socket.write("POST /v3/kv/put HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n");
  await runFake(["--endpoints", endpoint, "get", "x"]); // behind it, so it has arrived
  child.kill("SIGTERM");
  await until("it is stopping", () => node.log.includes("shutting down signal=terminated"));
  child.kill("SIGINT");
  await child.exited;
  expect(child.exitCode).toBe(130);
});

test("nobody there: what, where and why, and no watch for ever", async () => {
  const flags = ["--endpoints=127.0.0.1:1", "--command-timeout=50ms", "--dial-timeout=50ms"];
  const get = await runFake([...flags, "get", "x"]);
  expect(get.stderr).toMatch(
    /^aether ctl: 127\.0\.0\.1:1: .+\nError: context deadline exceeded\n$/,
  );
  expect(get.status).toBe(1);
  expect((await runFake([...flags, "watch", "x"])).status).toBe(2);
  expect((await runFake([...flags, "lease", "keep-alive", "12", "--once"])).status).toBe(2);
  const wrong = await runFake(["--endpoints=nonsense", "get", "x"]);
  expect(wrong).toMatchObject({ stderr: "Error: not an address: nonsense\n", status: 128 });
});
