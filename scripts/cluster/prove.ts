/**
 * Shows that a cluster recovers: a scripted sequence of crashes, pauses and restarts while clients
 * write and read, each step with its time and a verdict.
 */
import { median } from "../../bench/compare.ts";
import { KV } from "../../src/proto/gen/etcdserverpb.ts";
import { Cluster, type ClusterOptions } from "../../test/support/cluster.ts";
import type { Member } from "../../test/support/member.ts";
import { outageMs } from "../../test/support/outage.ts";
import { until } from "../../test/support/processes.ts";
import { SteadyLoad } from "../../test/support/steady-load.ts";

const ELECTION_MS = 1000;
const HEARTBEAT_MS = 100;
/** etcd promises nothing here: its votes are often split at the start. */
const FORMED_MS_MAX = { aether: 2000, etcd: 10_000 } as const;
/** A single election may take long by bad luck; of three the middle one should not. */
const KILL_ROUNDS = 3;
const CLIENTS = 8;
/** A node that is paused does not say so: clients try elsewhere. */
const TRY_MS = 1000;
/** Fewer cannot lose one and go on. */
const QUORUM_SIZE_MIN = 3;

interface Step {
  readonly what: string;
  /** What came of it, for people; throws when it did not work. */
  run(cluster: Cluster, load: SteadyLoad): Promise<string>;
}

const STEPS: readonly Step[] = [
  {
    what: "clients write and read at every node",
    run: async (_, load) => {
      await load.more(200);
      return `${load.written} writes, each read back`;
    },
  },
  {
    what: `kill -9 of the leader, ${KILL_ROUNDS} times`,
    run: async (cluster) => {
      const outages: number[] = [];
      for (let round = 0; round < KILL_ROUNDS; round++) {
        const leader = await cluster.leader();
        outages.push(await outageMs(cluster, (struck) => struck.kill()));
        await leader.restart();
      }
      return within(outages, 2 * ELECTION_MS, "writes are accepted again after");
    },
  },
  {
    what: "the killed leader is back",
    run: async (cluster) => {
      const leader = await cluster.leader();
      await leader.kill();
      await cluster.leader();
      return await isBack(cluster, leader, () => leader.restart());
    },
  },
  {
    what: "the leader is paused (SIGSTOP), the others go on",
    run: async (cluster, load) => {
      const leader = await cluster.leader();
      leader.pause();
      const next = await cluster.leader();
      await load.more(20);
      const back = await isBack(cluster, leader, async () => leader.resume());
      return `${next.name} leads; resumed, ${back}`;
    },
  },
  {
    what: "the leader is asked to stop (SIGTERM)",
    run: async (cluster) => {
      const leader = await cluster.leader();
      const outage = await outageMs(cluster, (struck) => struck.stop());
      await leader.restart();
      return within([outage], ELECTION_MS, "no write for");
    },
  },
  {
    what: "all nodes are killed at once",
    run: async (cluster, load) => {
      await Promise.all(cluster.members.map((member) => member.kill()));
      const fromMs = performance.now();
      await Promise.all(cluster.members.map((member) => member.restart()));
      await load.more(20);
      return `started again, writes after ${since(fromMs)}`;
    },
  },
];

/** Prints each step as it ends, and stops at the first that fails; the exit status. */
export async function prove(options: ClusterOptions): Promise<number> {
  const fromMs = performance.now();
  const timing = { heartbeatMs: HEARTBEAT_MS, electionMs: ELECTION_MS };
  await using cluster = await Cluster.start({ ...options, ...timing });
  const formedMs = performance.now() - fromMs;
  const { endpoints } = cluster;
  const load = new SteadyLoad({ endpoints, clients: CLIENTS, tryMs: TRY_MS });
  const steps: Step[] = [
    {
      what: `${options.size} nodes form a cluster`,
      run: async () => within([formedMs], FORMED_MS_MAX[options.kind], "a leader is known after"),
    },
    ...(options.size < QUORUM_SIZE_MIN ? STEPS.slice(0, 1) : STEPS),
    { what: "nothing is lost, and all nodes are equal", run: settled },
  ];
  for (const step of steps) {
    if (await show(step, cluster, load)) continue;
    await load.stop();
    cluster.keep();
    for (const { name, process } of cluster.members) console.log(`${name}: ${process.logPath}`);
    console.log("\nNOT proved");
    return 1;
  }
  console.log("\nproved");
  return 0;
}

async function show({ what, run }: Step, cluster: Cluster, load: SteadyLoad): Promise<boolean> {
  const fromMs = performance.now();
  try {
    console.log(`ok      ${what}: ${await run(cluster, load)}  [${since(fromMs)}]`);
    return true;
  } catch (error) {
    console.log(`FAILED  ${what}: ${(error as Error).message}  [${since(fromMs)}]`);
    return false;
  }
}

function since(fromMs: number): string {
  return `${(performance.now() - fromMs).toFixed(0)} ms`;
}

function within(figures: readonly number[], msMax: number, what: string): string {
  const text = `${what} ${figures.map((ms) => ms.toFixed(0)).join(", ")} ms`;
  if (median(figures) <= msMax) return `${text} (asked: ${msMax})`;
  throw new Error(`${text}, asked for at most ${msMax}`);
}

/** Does what brings a member back, and waits until it has all that was committed before. */
async function isBack(
  cluster: Cluster,
  member: Member,
  bring: () => Promise<void>,
): Promise<string> {
  const fromMs = performance.now();
  await bring();
  const { revision } = await (await cluster.leader()).status();
  await until("it has caught up", async () => (await member.status()).revision >= revision);
  return `${member.name} has revision ${revision} after ${since(fromMs)}`;
}

/** Every client's last acknowledged write is there, at every node, and so is nothing else. */
async function settled(cluster: Cluster, load: SteadyLoad): Promise<string> {
  await load.stop();
  const [failure] = load.failures;
  if (failure !== undefined) throw new Error(`${load.failures.length} failed: ${failure}`);
  for (const member of cluster.members) {
    for (const [key, count] of load.last) {
      const { kvs } = await member.ask(KV.Range, { key }, 5000);
      const found = Buffer.from(kvs[0]?.value ?? []).toString();
      if (found !== `${count}`)
        throw new Error(`${key} is ${found} at ${member.name}, not ${count}`);
    }
  }
  const { revision, hashes } = await cluster.hashes();
  if (new Set(hashes).size > 1) throw new Error(`hashes at ${revision}: ${hashes.join(", ")}`);
  const { written, retried, slowestMs } = load;
  const slowest = `${slowestMs.toFixed(0)} ms the slowest`;
  const writes = `${written} writes, ${retried} tried again, ${slowest}`;
  return `${writes}; revision ${revision}, equal hashes`;
}
