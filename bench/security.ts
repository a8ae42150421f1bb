/**
 * What users and TLS cost: the same requests at the same server with them and without, in turn;
 * etcd's cost stands beside ours.
 *
 *   bun bench/security.ts            full: six rounds
 *   bun bench/security.ts --short    a smoke test: one short round, figures without weight
 *   bun bench/security.ts --only=put the rows whose name holds that word
 *
 * With auth, somebody who is not root asks, whose role has the keys' prefix. h2load's own TLS runs
 * on the same two cores and is in the figures. Prints a table and one JSON line; exits with 1 if a
 * full run misses a "must".
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { keyFromText } from "../src/base/bytes.ts";
import { KV } from "../src/proto/gen/etcdserverpb.ts";
import { makeAuthority } from "../test/support/authority.ts";
import { GrpcJsClient } from "../test/support/grpc-js.ts";
import {
  freePort,
  type Launcher,
  type ServerProcess,
  startAether,
  startEtcd,
} from "../test/support/processes.ts";
import { machine, median, shown } from "./compare.ts";
import { grpcBody, h2load, type Load, type Wrapping } from "./h2load.ts";

const SHORT = process.argv.includes("--short");
const ONLY = process.argv.find((word) => word.startsWith("--only="))?.slice(7) ?? "";
const ROUNDS = SHORT ? 1 : 6;
const REQUESTS = SHORT ? 10_000 : 200_000;
const LOAD: Load = { requests: REQUESTS, connections: 20, streams: 50 };
const WARM_UP: Load = { ...LOAD, requests: Math.ceil(REQUESTS / 4) };

/** The parts of the plain throughput that have to be left. */
const AUTH_MUST = 0.9;
const TLS_MUST = 0.65;

const PREFIX = "bench/";
const USER = { name: "bench", password: "bench" };

const written = { key: keyFromText(`${PREFIX}written`), value: new Uint8Array(256).fill(0x76) };
const read = { key: keyFromText(`${PREFIX}read`) };

const WORKLOADS = [
  { work: "get", path: KV.Range.path, body: grpcBody(KV.Range, read) },
  { work: "put", path: KV.Put.path, body: grpcBody(KV.Put, written) },
] as const;

/** One server in one of its three guises. */
interface Guise {
  readonly server: ServerProcess;
  readonly endpoint: string;
  readonly wrapping: Wrapping;
}

interface Guises {
  readonly plain: Guise;
  readonly auth: Guise;
  readonly tls: Guise;
}

interface Row {
  readonly work: string;
  readonly must: number;
  readonly plain: number[];
  readonly guarded: number[];
  readonly etcdPlain: number[];
  readonly etcdGuarded: number[];
}

async function guisesOf(
  start: Launcher,
  tlsArgs: (port: number) => readonly string[],
  stack: AsyncDisposableStack,
): Promise<Guises> {
  const plain = stack.use(await start());
  const auth = stack.use(await start({ args: ["--bcrypt-cost", "4"] }));
  const port = await freePort();
  const tls = stack.use(await start({ port, args: tlsArgs(port) }));
  const token = await switchOn(auth.endpoint);
  return {
    plain: { server: plain, endpoint: plain.endpoint, wrapping: {} },
    auth: { server: auth, endpoint: auth.endpoint, wrapping: { token } },
    tls: { server: tls, endpoint: `127.0.0.1:${port}`, wrapping: { secure: true } },
  };
}

/** Auth, with a user who may use the keys of the bench; his token. */
async function switchOn(endpoint: string): Promise<string> {
  const client = new GrpcJsClient(endpoint);
  const auth = (name: string, request: object): Promise<unknown> => {
    return client.unary(`etcdserverpb.Auth/${name}`, request);
  };
  const perm = {
    ...{ permType: "READWRITE", key: Buffer.from(PREFIX), rangeEnd: Buffer.from("bench0") },
  };
  await auth("UserAdd", { name: "root", password: "root" });
  await auth("UserGrantRole", { user: "root", role: "root" });
  await auth("UserAdd", USER);
  await auth("RoleAdd", { name: "bench" });
  await auth("RoleGrantPermission", { name: "bench", perm });
  await auth("UserGrantRole", { user: USER.name, role: "bench" });
  await auth("AuthEnable", {});
  const answer = await auth("Authenticate", USER);
  client.close();
  return (answer as { token: string }).token;
}

/** One round of one guise, in requests a second. */
async function rate(guise: Guise, at: number, load: Load): Promise<number> {
  const { path, body } = WORKLOADS[at] as (typeof WORKLOADS)[number];
  return (await h2load(guise.endpoint, path, body, load, guise.wrapping)).rate;
}

/** All rows of a workload: every guise of both servers is asked in each round. */
async function rowsOf(at: number, aether: Guises, etcd: Guises): Promise<Row[]> {
  const { work } = WORKLOADS[at] as (typeof WORKLOADS)[number];
  const figures = new Map<Guise, number[]>();
  const all = [aether, etcd].flatMap(({ plain, auth, tls }) => [plain, auth, tls]);
  for (const guise of all) {
    figures.set(guise, []);
    await rate(guise, at, WARM_UP);
  }
  for (let round = 0; round < ROUNDS; round++) {
    // The one before still stores what it was given: there and back, so that each follows each.
    const order = round % 2 === 0 ? all : all.toReversed();
    for (const guise of order) figures.get(guise)?.push(await rate(guise, at, LOAD));
  }
  const of = (guise: Guise): number[] => figures.get(guise) ?? [];
  const row = (name: string, which: "auth" | "tls", must: number): Row => ({
    ...{ work: `${work}, 20 × 50: ${name}`, must },
    ...{ plain: of(aether.plain), guarded: of(aether[which]) },
    ...{ etcdPlain: of(etcd.plain), etcdGuarded: of(etcd[which]) },
  });
  return [row("auth on", "auth", AUTH_MUST), row("TLS 1.3", "tls", TLS_MUST)];
}

function ratio(guarded: readonly number[], plain: readonly number[]): number {
  return median(guarded) / median(plain);
}

function spread(figures: readonly number[]): string {
  const [low, high] = [Math.min(...figures), Math.max(...figures)];
  return `${shown(median(figures))} (${shown(low)}–${shown(high)})`;
}

function table(rows: readonly Row[]): string {
  const lines = [
    "| requests/s | without: median (range) | with: same | ratio | must | reached | etcd's ratio |",
    "| --- | --- | --- | --- | --- | --- | --- |",
  ];
  for (const { work, must, plain, guarded, etcdPlain, etcdGuarded } of rows) {
    const own = ratio(guarded, plain);
    const theirs = ratio(etcdGuarded, etcdPlain).toFixed(2);
    const reached = own >= must ? "must" : "missed";
    lines.push(
      `| ${work} | ${spread(plain)} | ${spread(guarded)} | ${own.toFixed(2)}x | ` +
        `${must}x | ${reached} | ${theirs}x |`,
    );
  }
  return lines.join("\n");
}

async function measure(directory: string): Promise<Row[]> {
  await using stack = new AsyncDisposableStack();
  const authority = makeAuthority(directory);
  const { cert, key } = authority.server({ names: ["localhost"], addresses: ["127.0.0.1"] });
  const ours = (): readonly string[] => ["--tls-cert-file", cert, "--tls-key-file", key];
  const theirs = (port: number): readonly string[] => {
    const url = `https://127.0.0.1:${port}`;
    const urls = ["--listen-client-urls", url, "--advertise-client-urls", url];
    return [...urls, "--cert-file", cert, "--key-file", key];
  };
  const aether = await guisesOf(startAether, ours, stack);
  const etcd = await guisesOf(startEtcd, theirs, stack);
  const rows: Row[] = [];
  for (const [at, { work }] of WORKLOADS.entries()) {
    if (!work.includes(ONLY)) continue;
    const added = await rowsOf(at, aether, etcd);
    for (const row of added) {
      process.stderr.write(`${row.work}: ${ratio(row.guarded, row.plain).toFixed(2)}x\n`);
    }
    rows.push(...added);
  }
  return rows;
}

const directory = mkdtempSync(join(tmpdir(), "aether-bench-"));
try {
  const rows = await measure(directory);
  console.log(`${machine()}\n\n${table(rows)}\n`);
  console.log(JSON.stringify(rows));
  const missed = rows.filter(({ guarded, plain, must }) => ratio(guarded, plain) < must);
  if (!SHORT && missed.length > 0) process.exitCode = 1;
} finally {
  rmSync(directory, { recursive: true, force: true });
}
