/**
 * One node against etcd: the rows of the design notes' first table that concern one node.
 *
 *   bun bench/one-node.ts            full: five rounds
 *   bun bench/one-node.ts --short    a smoke test: one short round, figures without weight
 *   bun bench/one-node.ts --only=put the rows whose name holds that word
 *
 * Both servers run all the time, with fsync, on directories of the same disk; they are asked in
 * turn. Values are 256 bytes; the key that is read has one revision. Prints a table and one JSON
 * line; exits with 1 if a full run misses a "must".
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ByteWriter, keyFromText } from "../src/base/bytes.ts";
import { EtcdClient } from "../src/client/etcd-client.ts";
import { parseAddress } from "../src/net/address.ts";
import { dial } from "../src/net/dialer.ts";
import type { Link } from "../src/net/link.ts";
import { Network } from "../src/net/network.ts";
import { KV, Watch, WatchCreateRequest, WatchRequest } from "../src/proto/gen/etcdserverpb.ts";
import type { ClientCallHandler } from "../src/wire/grpc/client-call.ts";
import { GrpcClientConnection } from "../src/wire/grpc/client-connection.ts";
import {
  AETHER,
  ETCD,
  freePort,
  type Launcher,
  type ServerProcess,
  startAether,
  startEtcd,
} from "../test/support/processes.ts";
import { machine, type Row, ratioOf, table, verdictOf } from "./compare.ts";
import { grpcBody, h2load, type Load, type Measured } from "./h2load.ts";

const SHORT = process.argv.includes("--short");
const ONLY = process.argv.find((word) => word.startsWith("--only="))?.slice(7) ?? "";
const ROUNDS = SHORT ? 1 : 5;
const WIDE: Load = { requests: SHORT ? 20_000 : 200_000, connections: 20, streams: 50 };
const NARROW: Load = { requests: SHORT ? 300 : 3000, connections: 1, streams: 1 };
const WATCHERS = SHORT ? 1000 : 10_000;
const WATCHES_PER_STREAM = 100;
/** A put to all watchers takes milliseconds, so there is time for more rounds. */
const WATCH_ROUNDS = SHORT ? 2 : 25;

const value = new Uint8Array(256).fill(0x76);
const written = { key: keyFromText("bench/written"), value };
const read = { key: keyFromText("bench/read") };

interface Workload {
  readonly work: string;
  readonly path: string;
  readonly body: Uint8Array;
  readonly load: Load;
  /** The figures it gives: what to take, in which unit, and what is asked of the ratio. */
  readonly figures: readonly Figure[];
}

interface Figure {
  readonly suffix: string;
  readonly unit: string;
  readonly better: Row["better"];
  readonly must: number;
  readonly aim: number;
  readonly of: (measured: Measured) => number;
}

const rate = (must: number, aim: number): Figure => {
  return { suffix: "", unit: "requests/s", better: "more", must, aim, of: (m) => m.rate };
};
const tail: Figure = {
  suffix: ": p99.9",
  unit: "µs",
  better: "less",
  must: 1,
  aim: 0.5,
  of: (m) => m.p999,
};
const latency: Figure = { ...tail, suffix: "", must: 0.85, aim: 0.7, of: (m) => m.p50 };

/** Reads first: after a million puts of any key etcd 3.4 reads at 0.4 of its speed here. */
const WORKLOADS: readonly Workload[] = [
  {
    work: "linearizable get, 20 × 50",
    path: KV.Range.path,
    body: grpcBody(KV.Range, read),
    load: WIDE,
    figures: [rate(5, 10), tail],
  },
  {
    work: "serializable get, 20 × 50",
    path: KV.Range.path,
    body: grpcBody(KV.Range, { ...read, serializable: true }),
    load: WIDE,
    figures: [rate(4, 8), tail],
  },
  {
    work: "put, 20 connections × 50 streams",
    path: KV.Put.path,
    body: grpcBody(KV.Put, written),
    load: WIDE,
    figures: [rate(2, 3.5), tail],
  },
  {
    work: "put, one at a time: median",
    path: KV.Put.path,
    body: grpcBody(KV.Put, written),
    load: NARROW,
    figures: [latency],
  },
];

async function loadRows(aether: ServerProcess, etcd: ServerProcess): Promise<Row[]> {
  const rows: Row[] = [];
  for (const { work, path, body, load, figures } of WORKLOADS) {
    if (!wanted(work)) continue;
    const added = figures.map((figure) => row(work + figure.suffix, figure));
    for (const server of [aether, etcd]) await h2load(server.endpoint, path, body, warmUp(load));
    for (let round = 0; round < ROUNDS; round++) {
      for (const server of [aether, etcd]) {
        const measured = await h2load(server.endpoint, path, body, load);
        added.forEach((each, i) => {
          sideOf(each, server).push((figures[i] as Figure).of(measured));
        });
      }
    }
    rows.push(...added);
    progress(`${work}: ${added.map((each) => `${ratioOf(each).toFixed(2)}x`).join(", ")}`);
  }
  return rows;
}

function warmUp(load: Load): Load {
  return { ...load, requests: Math.ceil(load.requests / 4) };
}

type Wanted = Pick<Figure, "unit" | "better" | "must" | "aim">;

function row(work: string, { unit, better, must, aim }: Wanted): Row {
  const aether = { name: "aether", figures: [] };
  const etcd = { name: "etcd", figures: [] };
  return { work, unit, better, must, aim, aether, etcd };
}

function sideOf(each: Row, server: ServerProcess): number[] {
  return server.name === "aether" ? each.aether.figures : each.etcd.figures;
}

/** Milliseconds from starting the process on an empty directory to the first answered request. */
async function startRow(): Promise<Row> {
  const added = row("start to first answered request, empty", {
    unit: "ms",
    better: "less",
    must: 0.3,
    aim: 0.1,
  });
  for (let round = 0; round < ROUNDS; round++) {
    added.aether.figures.push(await startMs(aetherCommand));
    added.etcd.figures.push(await startMs(etcdCommand));
  }
  return added;
}

type CommandOf = (address: string, directory: string, peer: string) => string[];

const aetherCommand: CommandOf = (address, directory) => [
  ...[AETHER, "--addr", address, "--data-dir", join(directory, "data")],
  ...["--metrics-listen-addr", "127.0.0.1:0"],
];

const etcdCommand: CommandOf = (address, directory, peer) => [
  ...[ETCD, "--data-dir", join(directory, "data"), "--listen-client-urls", `http://${address}`],
  ...["--advertise-client-urls", `http://${address}`, "--listen-peer-urls", `http://${peer}`],
  ...[
    "--initial-advertise-peer-urls",
    `http://${peer}`,
    "--initial-cluster",
    `default=http://${peer}`,
  ],
];

async function startMs(commandOf: CommandOf): Promise<number> {
  const directory = mkdtempSync(join(tmpdir(), "aether-bench-"));
  const address = `127.0.0.1:${await freePort()}`;
  const command = commandOf(address, directory, `127.0.0.1:${await freePort()}`);
  const beganMs = performance.now();
  const server = Bun.spawn(command, { cwd: directory, stdio: ["ignore", "ignore", "ignore"] });
  try {
    await firstAnswer(address);
    return performance.now() - beganMs;
  } finally {
    server.kill("SIGKILL");
    await server.exited;
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Asks for /health (a linearizable read at both) until it is answered. */
async function firstAnswer(address: string): Promise<void> {
  for (;;) {
    try {
      const answer = await fetch(`http://${address}/health`);
      if (answer.status === 200) return;
    } catch (error) {
      if (!(error instanceof Error)) throw error; // refused: not listening yet
    }
    await Bun.sleep(1);
  }
}

function residentMb(server: ServerProcess): number {
  const status = readFileSync(`/proc/${server.pid}/status`, "latin1");
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024;
}

async function memoryRow(): Promise<Row> {
  const added = row("resident memory, idle", { unit: "MB", better: "less", must: 3, aim: 1.5 });
  for (const start of [startAether, startEtcd] satisfies Launcher[]) {
    await using server = await start();
    await Bun.sleep(1000); // both settle after their start
    sideOf(added, server).push(residentMb(server));
  }
  return added;
}

/** One put seen by many watchers: the time until the last of them has the event. */
async function watchRow(aether: ServerProcess, etcd: ServerProcess): Promise<Row> {
  const added = row(`one put seen by ${WATCHERS} watchers: time to the last`, {
    unit: "ms",
    better: "less",
    must: 0.5,
    aim: 0.2,
  });
  const opened = [await WatchedKey.open(aether.endpoint), await WatchedKey.open(etcd.endpoint)];
  for (let round = -WATCH_ROUNDS; round < WATCH_ROUNDS; round++) {
    for (const [i, server] of [aether, etcd].entries()) {
      const ms = await (opened[i] as WatchedKey).put();
      if (round >= 0) sideOf(added, server).push(ms); // the first half warms both up
    }
  }
  for (const watched of opened) watched.close();
  return added;
}

/**
 * Many watchers of one key over several connections, a hundred on each stream. Responses are
 * counted as they come off the wire, not decoded: the client should cost little beside the server.
 */
class WatchedKey implements ClientCallHandler {
  readonly #network = new Network();
  readonly #links: Link[] = [];
  readonly #client: EtcdClient;
  readonly #key = keyFromText("bench/watched");
  #missing = 0;
  #onLast: () => void = () => {};

  private constructor(endpoint: string) {
    this.#client = new EtcdClient({ endpoints: [endpoint] });
  }

  static async open(endpoint: string): Promise<WatchedKey> {
    const watched = new WatchedKey(endpoint);
    const all = watched.#whenSeen(WATCHERS);
    for (let i = 0; i < WATCHERS / WATCHES_PER_STREAM; i++) await watched.#connect(endpoint);
    await all; // as many "created" answers as watchers
    return watched;
  }

  /** Writes the key; resolves with the milliseconds until every watcher has seen it. */
  async put(): Promise<number> {
    const all = this.#whenSeen(WATCHERS);
    const beganMs = performance.now();
    await Promise.all([this.#client.put(this.#key, value), all]);
    return performance.now() - beganMs;
  }

  close(): void {
    this.#client.close();
    for (const link of this.#links) link.terminate();
  }

  onMessage(): void {
    this.#missing--;
    if (this.#missing === 0) this.#onLast();
  }
  onHeaders(): void {}
  onEnd(): void {}
  onDrain(): void {}

  /** Resolves after so many responses of any kind. */
  #whenSeen(count: number): Promise<void> {
    this.#missing = count;
    return new Promise((resolve) => {
      this.#onLast = resolve;
    });
  }

  async #connect(endpoint: string): Promise<void> {
    const nowMs = this.#network.nowMs();
    const connection = new GrpcClientConnection({ scheme: "http", authority: endpoint, nowMs });
    const address = parseAddress(endpoint);
    this.#links.push(await dial(this.#network, { address, connect: () => connection }));
    const call = connection.call(Watch.Watch.path, [], undefined, this);
    const createRequest = WatchCreateRequest.create({ key: this.#key });
    const out = new ByteWriter();
    WatchRequest.encode(WatchRequest.create({ createRequest }), out);
    for (let i = 0; i < WATCHES_PER_STREAM; i++) call.send(out.bytes, 0, out.length);
  }
}

function progress(line: string): void {
  process.stderr.write(`${line}\n`);
}

const wanted = (work: string): boolean => work.includes(ONLY);

async function measure(): Promise<Row[]> {
  const rows: Row[] = [];
  if (wanted("start")) rows.push(await startRow());
  if (wanted("memory")) rows.push(await memoryRow());
  await using aether = await startAether();
  await using etcd = await startEtcd();
  for (const server of [aether, etcd]) {
    const client = new EtcdClient({ endpoints: [server.endpoint] });
    await client.put(read.key, value);
    client.close();
  }
  rows.unshift(...(await loadRows(aether, etcd)));
  if (wanted("watchers")) rows.push(await watchRow(aether, etcd));
  return rows;
}

const rows = await measure();
console.log(`one node, ${ROUNDS} rounds, ${machine()}\n\n${table(rows)}\n`);
console.log(JSON.stringify({ bench: "one-node", short: SHORT, machine: machine(), rows }));
const missed = rows.filter((each) => verdictOf(each) === "missed");
if (!SHORT && missed.length > 0) {
  console.log(`missed: ${missed.map(({ work }) => work).join("; ")}`);
  process.exit(1);
}
