/** The server as a process: how it stops, what it refuses, what it leaves on disk. */
import { describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { GrpcJsClient } from "../support/grpc-js.ts";
import { AETHER, freePort, requireExecutable, startAether, until } from "../support/processes.ts";
import { runToEnd } from "../support/run.ts";
import { check } from "./history.ts";
import { Notes, readAll, Watching, Worker } from "./load.ts";

await requireExecutable(AETHER);

const WORKERS = 16;
const STOP_MS_MAX = 2000;

/** A directory that is gone afterwards. */
function scratch(): Disposable & { readonly path: string } {
  const path = mkdtempSync(join(tmpdir(), "aether-test-process-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

/** Somebody else on an address; resolves also when a third one was there before. */
function occupy(port: number): Promise<Server> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(server));
    server.listen(port, "127.0.0.1", () => resolve(server));
  });
}

async function put(endpoint: string, key: string): Promise<void> {
  const client = new GrpcJsClient(endpoint);
  await client.unary("etcdserverpb.KV/Put", { key: Buffer.from(key), value: Buffer.from("v") });
  client.close();
}

describe("stopping", () => {
  test("SIGTERM under load: status 0 within two seconds, and nothing is lost", async () => {
    await using server = await startAether();
    const notes = new Notes();
    const watching = new Watching(notes);
    const client = new GrpcJsClient(server.endpoint);
    watching.resume(client);
    const workers = Array.from({ length: WORKERS }, (_, i) => new Worker(i, notes, 5));
    const running = workers.map((worker) => worker.run(client));
    await until("requests are acknowledged", () => notes.acknowledged >= 500);
    const askedMs = performance.now();
    server.signal("SIGTERM");
    expect(await server.ended()).toBe(0);
    const tookMs = performance.now() - askedMs;
    await Promise.all([...running, watching.ended()]);
    client.close();
    console.log(`SIGTERM under load: ended after ${tookMs.toFixed(0)} ms`);
    expect(tookMs).toBeLessThan(STOP_MS_MAX);
    await server.restart();
    const again = new GrpcJsClient(server.endpoint);
    const last = await readAll(again, notes);
    notes.snapshots.push(last);
    watching.resume(again);
    await watching.reach(last.revision);
    const { leases } = await again.unary("etcdserverpb.Lease/LeaseLeases");
    again.close();
    expect(check(notes.history(new Set(leases.map(({ ID }) => ID))))).toEqual([]);
  });

  test("idle clients do not hold it up, nor do open watches", async () => {
    await using server = await startAether();
    const client = new GrpcJsClient(server.endpoint);
    const inbox = client.duplex("etcdserverpb.Watch/Watch");
    inbox.send({ createRequest: { key: Buffer.from("k") } });
    await inbox.next();
    const askedMs = performance.now();
    server.signal("SIGTERM");
    expect(await server.ended()).toBe(0);
    expect(performance.now() - askedMs).toBeLessThan(STOP_MS_MAX);
    await until("the watch has ended", () => inbox.ended);
    expect(inbox.error?.details).toBe("etcdserver: server stopped");
    client.close();
  });
});

describe("refusals", () => {
  test("a second process on the same directory, and the first goes on", async () => {
    await using server = await startAether();
    await put(server.endpoint, "before");
    const addr = `127.0.0.1:${await freePort()}`;
    const second = await runToEnd([
      ...[AETHER, "--addr", addr, "--metrics-listen-addr", "127.0.0.1:0"],
      ...["--data-dir", server.dataDir],
    ]);
    expect(second.status).toBe(1);
    expect(second.stderr).toMatch(/^aether: \S+: in use by process \d+\n$/);
    expect(second.stderr).toContain(server.dataDir);
    expect(second.stderr).toContain(` ${server.pid}\n`);
    await put(server.endpoint, "after");
  });

  test("a taken address is one line, and the directory is free again", async () => {
    using directory = scratch();
    const port = await freePort();
    const other = await occupy(port);
    const command = [
      AETHER,
      "--addr",
      `127.0.0.1:${port}`,
      "--data-dir",
      join(directory.path, "d"),
    ];
    const { status, stderr } = await runToEnd([...command, "--metrics-listen-addr", "127.0.0.1:0"]);
    expect(status).toBe(1);
    expect(stderr.trimEnd().split("\n")).toHaveLength(1);
    expect(stderr).toContain(`127.0.0.1:${port}`);
    expect(stderr).toMatch(/in use|taken/);
    other.close();
    await using server = await startAether({ dataDir: join(directory.path, "d") });
    await put(server.endpoint, "k");
  });

  const wrong: readonly (readonly [string, string, readonly string[], RegExp])[] = [
    [
      "an unknown key",
      "adr = 'x'\n",
      [],
      /^aether: bad\.toml:1: adr: unknown key; did you mean addr/,
    ],
    [
      "a value out of range",
      "\n[lease]\nmax_leases = 0\n",
      [],
      /^aether: bad\.toml:3: lease\.max_leases: expected a whole number from 1/,
    ],
    ["a wrong type", "addr = 7\n", [], /^aether: bad\.toml:1: addr: expected a string/],
    ["broken TOML", "addr = \n", [], /^aether: bad\.toml:1: /],
    ["a flag out of range", "", ["--lease-max-ttl", "0"], /^aether: --lease-max-ttl: expected/],
    ["an unknown flag", "", ["--no-such-flag"], /^aether: .*no-such-flag/],
    ["a stray word", "", ["serve"], /^aether: unexpected argument "serve"/],
  ];
  for (const [name, toml, args, line] of wrong) {
    test(`${name} is one line, status 2, and nothing is made`, async () => {
      using directory = scratch();
      writeFileSync(join(directory.path, "bad.toml"), toml);
      const command = [AETHER, "--config", "bad.toml", ...args];
      const { status, stdout, stderr } = await runToEnd(command, { cwd: directory.path });
      expect(stderr).toMatch(line);
      expect(stderr.trimEnd().split("\n")).toHaveLength(1);
      expect([status, stdout]).toEqual([2, ""]);
      expect(existsSync(join(directory.path, "data"))).toBe(false);
    });
  }

  test("a misspelt variable, and a file that is not there", async () => {
    using directory = scratch();
    const env = { AETHER_ADRR: "x" };
    const variable = await runToEnd([AETHER], { cwd: directory.path, env });
    expect([variable.status, variable.stderr]).toEqual([
      2,
      "aether: AETHER_ADRR: unknown environment variable\n",
    ]);
    const missing = await runToEnd([AETHER, "--config", "no.toml"], { cwd: directory.path });
    expect([missing.status, missing.stderr]).toEqual([
      2,
      "aether: no.toml: cannot be read: no such file\n",
    ]);
    expect(existsSync(join(directory.path, "data"))).toBe(false);
  });

  test("a directory that belongs to something else is left alone", async () => {
    using directory = scratch();
    writeFileSync(join(directory.path, "letters.txt"), "dear");
    const { status, stderr } = await runToEnd([
      ...[AETHER, "--addr", "127.0.0.1:0", "--metrics-listen-addr", "127.0.0.1:0"],
      ...["--data-dir", directory.path],
    ]);
    expect(status).toBe(1);
    expect(stderr).toMatch(/^aether: \S+: not a data directory of aether: it holds letters\.txt/);
    expect(existsSync(join(directory.path, "raft.db"))).toBe(false);
  });
});

describe("metrics address", () => {
  const DEFAULT_PORT = 9090;

  test("a taken one that nobody chose: a free port, and a warning that names it", async () => {
    const other = await occupy(DEFAULT_PORT);
    await using server = await startAether({ metricsAddr: "" });
    expect(server.log).toMatch(/warn .*metrics address is taken.* taken=127\.0\.0\.1:9090/);
    expect(server.metricsEndpoint).not.toBe(`127.0.0.1:${DEFAULT_PORT}`);
    const response = await fetch(`http://${server.metricsEndpoint}/metrics`);
    expect(response.status).toBe(200);
    other.close();
  });

  test("a taken one that somebody chose is an error", async () => {
    using directory = scratch();
    const port = await freePort();
    const other = await occupy(port);
    const { status, stderr } = await runToEnd([
      ...[AETHER, "--addr", "127.0.0.1:0", "--metrics-listen-addr", `127.0.0.1:${port}`],
      ...["--data-dir", join(directory.path, "d")],
    ]);
    expect(status).toBe(1);
    expect(stderr).toContain(`127.0.0.1:${port}`);
    expect(stderr.trimEnd().split("\n")).toHaveLength(1);
    other.close();
  });
});

describe("what a person sees", () => {
  test("--help and --version end with 0 and make nothing", async () => {
    using directory = scratch();
    const help = await runToEnd([AETHER, "--help"], { cwd: directory.path });
    expect(help.status).toBe(0);
    for (const word of ["--config", "--addr", "--data-dir", "aether ctl"]) {
      expect(help.stdout).toContain(word);
    }
    const version = await runToEnd([AETHER, "--version"], { cwd: directory.path });
    expect([version.status, version.stderr]).toEqual([0, ""]);
    expect(version.stdout).toMatch(/^aether \d+\.\d+\.\d+\n$/);
    expect(existsSync(join(directory.path, "data"))).toBe(false);
  });

  test("only the owner may read the data directory and what is in it", async () => {
    await using server = await startAether();
    expect(statSync(server.dataDir).mode & 0o777).toBe(0o700);
  });
});
