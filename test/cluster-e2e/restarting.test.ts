/** Members that are restarted one after the other, or were away: nobody has to do anything. */
import { describe, expect, test } from "bun:test";
import { EtcdClient } from "../../src/client/etcd-client.ts";
import { type Cluster, kindsUnderTest, withCluster } from "../support/cluster.ts";
import { TOOK_COPY } from "../support/member-command.ts";
import { until } from "../support/processes.ts";
import { SteadyLoad } from "../support/steady-load.ts";

const FAST = { size: 3, heartbeatMs: 50, electionMs: 500 } as const;
const CLIENTS = 8;
const TEST_MS_MAX = 60_000;

/** etcd keeps 5000 entries for members that are behind, whatever --snapshot-count says. */
const KEPT_ENTRIES_MAX = 5000;
const SNAPSHOT_COUNT = 100;
/** Nor is the log cut behind a member before it has been silent for some election timeouts. */
const AWAY_MS_MIN = 4 * FAST.electionMs;

for (const kind of kindsUnderTest()) {
  describe(kind, () => {
    test(
      "a rolling restart under load: no request fails",
      () =>
        withCluster({ kind, ...FAST }, async (cluster) => {
          const load = new SteadyLoad({ endpoints: cluster.endpoints, clients: CLIENTS });
          for (const member of cluster.members) {
            await load.more(100);
            await member.stop();
            await load.more(100);
            await member.restart();
            await cluster.leader();
          }
          await load.more(100);
          await load.stop();
          const { written, retried, slowestMs, failures } = load;
          console.log(`${written} written, ${retried} retried, ${slowestMs.toFixed(0)} ms slowest`);
          expect(failures).toEqual([]);
          expect(await equalEverywhere(cluster)).toBe(true);
        }),
      TEST_MS_MAX,
    );

    test(
      "a follower that was away catches up by the log",
      () =>
        withCluster({ kind, ...FAST }, async (cluster) => {
          const log = await awayAndBack(cluster, { entries: 300, ms: 0 });
          expect(log).not.toMatch(TOOK_COPY[kind]);
        }),
      TEST_MS_MAX,
    );

    test(
      "a follower that was away for too long catches up by a snapshot",
      () =>
        withCluster({ kind, ...FAST, snapshotCount: SNAPSHOT_COUNT }, async (cluster) => {
          const log = await awayAndBack(cluster, {
            entries: KEPT_ENTRIES_MAX + 10 * SNAPSHOT_COUNT,
            ms: AWAY_MS_MIN,
          });
          expect(log).toMatch(TOOK_COPY[kind]);
        }),
      TEST_MS_MAX,
    );
  });
}

async function equalEverywhere(cluster: Cluster): Promise<boolean> {
  return new Set((await cluster.hashes()).hashes).size === 1;
}

/** Writes go on all the time; what the follower wrote after its return. */
async function awayAndBack(cluster: Cluster, away: Away): Promise<string> {
  const [follower] = await cluster.followers();
  if (follower === undefined) throw new Error("no follower");
  const load = new SteadyLoad({ endpoints: cluster.endpoints, clients: CLIENTS });
  try {
    await load.more(10);
    await follower.kill();
    await writeMany(cluster, away);
    await follower.restart();
    const { revision } = await (await cluster.leader()).status();
    await until("it has caught up", async () => (await follower.status()).revision >= revision);
    await load.more(10);
  } finally {
    await load.stop();
  }
  expect(load.failures).toEqual([]);
  expect(await equalEverywhere(cluster)).toBe(true);
  return follower.process.lastLog;
}

interface Away {
  /** Writes that are made meanwhile, at least. */
  readonly entries: number;
  readonly ms: number;
}

/** Writes in bulk until both are reached. */
async function writeMany(cluster: Cluster, { entries, ms }: Away): Promise<void> {
  const leader = await cluster.leader();
  const client = new EtcdClient({ endpoints: [leader.endpoint], timeoutMs: 10_000 });
  const endMs = performance.now() + ms;
  let written = 0;
  const work = async (): Promise<void> => {
    while (written < entries || performance.now() < endMs) {
      await client.put(`bulk/${written % 50}`, Buffer.from(`${written}`));
      written++;
    }
  };
  await Promise.all(Array.from({ length: 64 }, work));
  client.close();
}
