/**
 * Load on all members, one fault after the other, and a verdict on everything that clients saw.
 * The same seed draws the same requests, faults and durations; how they fall together is up to
 * the machine.
 */
import { Prng } from "../../src/base/prng.ts";
import { KV } from "../../src/proto/gen/etcdserverpb.ts";
import { checkHistory } from "../check/check.ts";
import { type History, toLines } from "../check/history.ts";
import { type Cluster, type ClusterOptions, withCluster } from "../support/cluster.ts";
import { TOOK_COPY } from "../support/member-command.ts";
import { until } from "../support/processes.ts";
import { type Fault, faultsFor } from "./faults.ts";
import { Workload, type WorkloadOptions } from "./workload.ts";

export interface ChaosOptions extends ClusterOptions {
  readonly electionMs: number;
  readonly seed: number;
  /** No more faults begin after this. */
  readonly forMs: number;
  readonly workload?: WorkloadOptions;
  /** Only faults whose name holds this. */
  readonly only?: string;
  readonly onFault?: (line: string) => void;
}

export interface ChaosReport {
  readonly calls: number;
  readonly answered: number;
  readonly unknown: number;
  readonly revision: number;
  readonly watchEvents: number;
  readonly leaders: number;
  /** Copies of the state that members took in. */
  readonly copies: number;
  /** By name, in the order in which they were. */
  readonly faults: readonly string[];
  /** None, if all is well. */
  readonly complaints: readonly string[];
}

/** Small, so that who was away for a little needs a copy of the state (etcd keeps 5000 entries). */
const SNAPSHOT_COUNT = 50;
/** Moderate: the members of a cluster and its clients share the machine. */
const WORKLOAD: WorkloadOptions = { clientsPerMember: 3, pauseMs: 15 };
/** Between two faults, so that something happens for the next one to destroy. */
const CALM_MS = 200;

/** Runs one cluster through faults; throws when it does not recover by itself. */
export function runChaos(options: ChaosOptions): Promise<ChaosReport> {
  return withCluster({ snapshotCount: SNAPSHOT_COUNT, ...options }, async (cluster) => {
    const prng = new Prng(options.seed);
    const workload = new Workload(cluster, prng, options.workload ?? WORKLOAD);
    try {
      const { faults, leaders } = await inflict(cluster, prng, options);
      const history = await workload.finish();
      const { revision, hashes } = await cluster.hashes();
      const complaints = checkHistory(history);
      if (new Set(hashes).size !== 1) {
        complaints.push(`hashes differ at revision ${revision}: ${hashes.join(", ")}`);
      }
      if (complaints.length > 0) await keepHistory(cluster, history, complaints);
      const copies = cluster.logs().match(TOOK_COPY[options.kind])?.length ?? 0;
      const figures = { ...figuresOf(history), revision, leaders: leaders.size, copies };
      return { ...figures, faults, complaints };
    } finally {
      await workload.close();
    }
  });
}

async function inflict(
  cluster: Cluster,
  prng: Prng,
  { forMs, electionMs, only = "", onFault = () => {} }: ChaosOptions,
): Promise<{ faults: string[]; leaders: Set<string> }> {
  const possible = faultsFor(cluster.options).filter(({ name }) => name.includes(only));
  const faults: string[] = [];
  const leaders = new Set<string>();
  const endMs = performance.now() + forMs;
  let left: Fault[] = [];
  while (performance.now() < endMs) {
    // Each once before any comes again.
    if (left.length === 0) left = [...possible];
    const [fault] = left.splice(prng.below(left.length), 1) as [Fault];
    faults.push(fault.name);
    await fault.run({ cluster, prng, electionMs });
    const brokenMs = performance.now();
    const leader = await healthy(cluster);
    leaders.add(leader);
    const tookMs = performance.now() - brokenMs;
    await Bun.sleep(CALM_MS);
    onFault(`${fault.name}: healthy after ${tookMs.toFixed(0)} ms, ${leader} leads`);
  }
  return { faults, leaders };
}

/** Waits until every member answers a linearizable read; the leader and its term. */
async function healthy(cluster: Cluster): Promise<string> {
  const read = { key: "\0", countOnly: true };
  for (const member of cluster.members) {
    await until(`${member.name} answers`, () =>
      member.ask(KV.Range, read, 2000).then(
        () => true,
        () => false,
      ),
    );
  }
  const leader = await cluster.leader();
  return `${leader.name} in term ${(await leader.status()).term}`;
}

/** For whoever has to find out why. */
async function keepHistory(cluster: Cluster, history: History, why: string[]): Promise<void> {
  cluster.keep();
  const path = `${cluster.member(1).process.logPath}.history`;
  await Bun.write(path, toLines(history));
  const logs = cluster.members.map(({ process }) => process.logPath);
  why.push(`the history is in ${path}, logs are ${logs.join(" ")}`);
}

function figuresOf({ calls, watches }: History) {
  const answered = calls.filter(({ outcome }) => outcome.kind === "answered").length;
  const unknown = calls.filter(({ outcome }) => outcome.kind === "unknown").length;
  const responses = watches.flatMap(({ seen }) => seen);
  const events = responses.map((seen) => (seen.kind === "events" ? seen.events.length : 0));
  const watchEvents = events.reduce((sum, count) => sum + count, 0);
  return { calls: calls.length, answered, unknown, watchEvents };
}
