/**
 * Three nodes against three of etcd, on this machine: six processes and the load generator share
 * its cores, so the ratio says what a request costs in all, not what a cluster of machines gives.
 *
 *   bun bench/three-nodes.ts            full: five rounds, twenty outages of each kind
 *   bun bench/three-nodes.ts --short    a smoke test: one short round, figures without weight
 *   bun bench/three-nodes.ts --only=put the rows whose name holds that word
 *
 * Both clusters run all the time, with fsync, on the same disk; their leaders are asked in turn.
 * Prints tables and JSON lines; exits with 1 if a full run misses what is asked.
 */
import { keyFromText } from "../src/base/bytes.ts";
import { KV } from "../src/proto/gen/etcdserverpb.ts";
import { Cluster } from "../test/support/cluster.ts";
import type { Member } from "../test/support/member.ts";
import { outageMs } from "../test/support/outage.ts";
import { machine, median, type Row, ratioOf, shown, table, verdictOf } from "./compare.ts";
import { grpcBody, h2load, type Load } from "./h2load.ts";

const SHORT = process.argv.includes("--short");
const ONLY = process.argv.find((word) => word.startsWith("--only="))?.slice(7) ?? "";
const ROUNDS = SHORT ? 1 : 5;
const OUTAGES = SHORT ? 2 : 20;
const WIDE: Load = { requests: SHORT ? 10_000 : 200_000, connections: 20, streams: 50 };
const NARROW: Load = { requests: SHORT ? 200 : 3000, connections: 1, streams: 1 };
/** etcd's defaults, and ours. */
const TIMING = { heartbeatMs: 100, electionMs: 1000 } as const;
/** A leader that changes under the load makes a round worthless. */
const ATTEMPTS_MAX = 5;

const value = new Uint8Array(256).fill(0x76);
const written = { key: keyFromText("bench/written"), value };
const read = { key: keyFromText("bench/read") };
const put = { path: KV.Put.path, body: grpcBody(KV.Put, written) };
const get = { path: KV.Range.path, body: grpcBody(KV.Range, read) };

interface Workload extends Pick<Row, "work" | "unit" | "better" | "must" | "aim"> {
  readonly request: typeof put;
  readonly load: Load;
  readonly figure: "rate" | "p50";
}

/** Reads first: after a million puts of any key etcd 3.4 reads at 0.4 of its speed here. */
const WORKLOADS: readonly Workload[] = [
  {
    work: "linearizable get at the leader, 20 × 50",
    ...{ unit: "requests/s", better: "more", must: 3, aim: 6 },
    ...{ request: get, load: WIDE, figure: "rate" },
  },
  {
    work: "put at the leader, 20 × 50",
    ...{ unit: "requests/s", better: "more", must: 1, aim: 2 },
    ...{ request: put, load: WIDE, figure: "rate" },
  },
  {
    work: "put at the leader, one at a time: median",
    ...{ unit: "µs", better: "less", must: 1, aim: 0.85 },
    ...{ request: put, load: NARROW, figure: "p50" },
  },
];

type Clusters = Readonly<Record<"aether" | "etcd", Cluster>>;
const KINDS = ["aether", "etcd"] as const;

async function loadRow(
  { request, load, figure, ...asked }: Workload,
  clusters: Clusters,
): Promise<Row> {
  const sides = { aether: { name: "aether", figures: [] }, etcd: { name: "etcd", figures: [] } };
  const row: Row = { ...asked, ...sides };
  const warmUp = { ...load, requests: Math.ceil(load.requests / 4) };
  for (const kind of KINDS) await atLeader(clusters[kind], request, warmUp);
  for (let round = 0; round < ROUNDS; round++) {
    for (const kind of KINDS) {
      const measured = await atLeader(clusters[kind], request, load);
      row[kind].figures.push(measured[figure]);
    }
  }
  progress(`${row.work}: ${ratioOf(row).toFixed(2)}x`);
  return row;
}

/** A round at the leader, which must lead until it is over, and must have refused nothing. */
async function atLeader(cluster: Cluster, { path, body }: typeof put, load: Load) {
  for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
    const leader = await cluster.leader();
    const { term } = await leader.status();
    const before = await okCount(leader, path);
    const measured = await h2load(leader.endpoint, path, body, load);
    const answered = (await okCount(leader, path)) - before;
    if ((await leader.status()).term !== term) {
      progress(`${cluster.options.kind}: the leader changed under the load, once more`);
    } else if (answered === load.requests) return measured;
    else throw new Error(`${cluster.options.kind}: ${answered} of ${load.requests} were OK`);
  }
  throw new Error(`the leader changed under the load ${ATTEMPTS_MAX} times`);
}

/** Calls of a method that ended with OK: h2load sees only that HTTP went well. */
async function okCount(member: Member, path: string): Promise<number> {
  const method = path.split("/").at(-1);
  const isIt = (line: string): boolean =>
    line.startsWith("grpc_server_handled_total{") &&
    line.includes('grpc_code="OK"') &&
    line.includes(`grpc_method="${method}"`) &&
    line.includes('grpc_service="etcdserverpb.KV"');
  const lines = (await metricsOf(member)).split("\n").filter(isIt);
  return lines.reduce((total, line) => total + Number(line.split(" ").at(-1)), 0);
}

/** Ours serves them at an address of their own, etcd beside its clients. */
async function metricsOf({ process, endpoint }: Member): Promise<string> {
  const address = process.metricsEndpoint === "" ? endpoint : process.metricsEndpoint;
  return await (await fetch(`http://${address}/metrics`)).text();
}

/** What a member has counted so far. */
interface Counters {
  readonly entries: number;
  readonly fsyncs: number;
  /** To all other members; etcd does not count them. */
  readonly frames: number;
  readonly peerBytes: number;
}

async function countersOf(member: Member): Promise<Counters> {
  const text = await metricsOf(member);
  const sum = (name: string): number => {
    const lines = text.matchAll(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, "gm"));
    return [...lines].reduce((total, line) => total + Number(line[1]), 0);
  };
  return {
    entries: (await member.status()).index,
    fsyncs: sum("etcd_disk_wal_fsync_duration_seconds_count"),
    frames: sum("aether_peer_sent_frames_total"),
    peerBytes: sum("etcd_network_peer_sent_bytes_total"),
  };
}

/** What one load of puts makes the members write and send. */
async function counted(cluster: Cluster, load: Load) {
  const leader = await cluster.leader();
  const members = [leader, ...(await cluster.followers())];
  const before = await Promise.all(members.map(countersOf));
  await atLeader(cluster, put, load);
  const after = await Promise.all(members.map(countersOf));
  const grown = (index: number, counter: keyof Counters): number =>
    (after[index]?.[counter] ?? Number.NaN) - (before[index]?.[counter] ?? Number.NaN);
  const perFollower = (index: number, counter: keyof Counters): number =>
    grown(index, counter) / (members.length - 1);
  return {
    kind: cluster.options.kind,
    puts: load.requests,
    inFlight: load.connections * load.streams,
    entries: grown(0, "entries"),
    fsyncsOfLeader: grown(0, "fsyncs"),
    fsyncsOfFollowers: members.slice(1).map((_, i) => grown(i + 1, "fsyncs")),
    framesToEachFollower: perFollower(0, "frames"),
    framesFromFollowers: members.slice(1).map((_, i) => grown(i + 1, "frames")),
    bytesToEachFollower: perFollower(0, "peerBytes"),
  };
}

type Counted = Awaited<ReturnType<typeof counted>>;

/** An entry is a batch: one turn's proposals. Where many are in flight, one fsync takes several. */
function countersTable(rows: readonly Counted[]): string {
  const head = [
    "| cluster | in flight | puts | entries | fsyncs: leader, followers | frames to, from each |",
    "| --- | --- | --- | --- | --- | --- |",
  ];
  const cell = (value: number): string => shown(value);
  const lines = rows.map((row) => {
    const fsyncs = [row.fsyncsOfLeader, ...row.fsyncsOfFollowers].map(cell).join(", ");
    const frames = [row.framesToEachFollower, ...row.framesFromFollowers].map(cell).join(", ");
    const shownFrames = row.kind === "etcd" ? "not counted" : frames;
    return (
      `| ${row.kind} | ${row.inFlight} | ${cell(row.puts)} | ${cell(row.entries)} | ` +
      `${fsyncs} | ${shownFrames} |`
    );
  });
  return [...head, ...lines].join("\n");
}

interface Outage {
  readonly what: string;
  readonly strike: "kill" | "stop";
  /** Milliseconds that the median of ours may have. */
  readonly max: number;
  readonly figures: Readonly<Record<"aether" | "etcd", number[]>>;
}

async function outages(clusters: Clusters): Promise<Outage[]> {
  const rows: Outage[] = [
    {
      ...{ what: "kill -9 of the leader", strike: "kill", max: 2 * TIMING.electionMs },
      figures: { aether: [], etcd: [] },
    },
    {
      ...{ what: "SIGTERM to the leader", strike: "stop", max: 1000 },
      figures: { aether: [], etcd: [] },
    },
  ];
  for (const { what, strike, figures } of rows) {
    for (let round = 0; round < OUTAGES; round++) {
      for (const kind of KINDS) {
        const leader = await clusters[kind].leader();
        figures[kind].push(await outageMs(clusters[kind], (struck) => struck[strike]()));
        await leader.restart();
      }
    }
    progress(`${what}: ${KINDS.map((kind) => distribution(figures[kind])).join("; etcd ")}`);
  }
  return rows;
}

function distribution(figures: readonly number[]): string {
  const sorted = [...figures].sort((a, b) => a - b);
  const [low, high] = [sorted[0] ?? Number.NaN, sorted.at(-1) ?? Number.NaN];
  return `${shown(median(figures))} (${shown(low)}–${shown(high)})`;
}

function outageTable(rows: readonly Outage[]): string {
  const lines = rows.map(({ what, figures, max }) => {
    const missed = median(figures.aether) <= max ? "" : " **missed**";
    const [ours, theirs] = [distribution(figures.aether), distribution(figures.etcd)];
    return `| ${what} | ${ours} | ${theirs} | ${max}${missed} |`;
  });
  return [
    "| no write for, ms: median (range) | Aether | etcd 3.4.23 | median asked |",
    "| --- | --- | --- | --- |",
    ...lines,
  ].join("\n");
}

function progress(line: string): void {
  process.stderr.write(`${line}\n`);
}

const wanted = (work: string): boolean => work.includes(ONLY);

async function measure() {
  await using aether = await Cluster.start({ kind: "aether", size: 3, ...TIMING });
  await using etcd = await Cluster.start({ kind: "etcd", size: 3, ...TIMING });
  const clusters = { aether, etcd };
  for (const kind of KINDS) {
    const leader = await clusters[kind].leader();
    await leader.ask(KV.Put, { ...read, value });
  }
  const rows: Row[] = [];
  for (const workload of WORKLOADS) {
    if (wanted(workload.work)) rows.push(await loadRow(workload, clusters));
  }
  const counters: Counted[] = [];
  for (const load of wanted("counters") ? [NARROW, WIDE] : []) {
    for (const kind of KINDS) counters.push(await counted(clusters[kind], load));
  }
  return { rows, counters, outages: wanted("outages") ? await outages(clusters) : [] };
}

const { rows, counters, outages: struck } = await measure();
console.log(`three nodes, ${ROUNDS} rounds, ${machine()}\n\n${table(rows)}\n`);
console.log(`What a load of puts makes the members do:\n\n${countersTable(counters)}\n`);
console.log(`${OUTAGES} outages of each kind, election timeout ${TIMING.electionMs} ms:\n`);
console.log(`${outageTable(struck)}\n`);
const about = { bench: "three-nodes", short: SHORT, machine: machine() };
console.log(JSON.stringify({ ...about, rows }));
console.log(JSON.stringify({ ...about, counters }));
console.log(JSON.stringify({ ...about, outages: struck }));
const missed = [
  ...rows.filter((row) => verdictOf(row) === "missed").map(({ work }) => work),
  ...struck.filter(({ figures, max }) => median(figures.aether) > max).map(({ what }) => what),
];
if (!SHORT && missed.length > 0) {
  console.log(`missed: ${missed.join("; ")}`);
  process.exit(1);
}
