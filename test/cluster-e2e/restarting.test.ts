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
          const log = await awayAndBack(cluster, 300);
          expect(log).not.toMatch(TOOK_COPY[kind]);
        }),
      TEST_MS_MAX,
    );

    test(
      "a follower that was away for too long catches up by a snapshot",
      () =>
        withCluster({ kind, ...FAST, snapshotCount: SNAPSHOT_COUNT }, async (cluster) => {
          const log = await awayAndBack(cluster, KEPT_ENTRIES_MAX + 10 * SNAPSHOT_COUNT);
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
async function awayAndBack(cluster: Cluster, entries: number): Promise<string> {
  const [follower] = await cluster.followers();
  if (follower === undefined) throw new Error("no follower");
  const load = new SteadyLoad({ endpoints: cluster.endpoints, clients: CLIENTS });
  try {
    await load.more(10);
    await follower.kill();
    await writeMany(cluster, entries);
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

/** As many log entries, in bulk. */
async function writeMany(cluster: Cluster, count: number): Promise<void> {
  const leader = await cluster.leader();
  const client = new EtcdClient({ endpoints: [leader.endpoint], timeoutMs: 10_000 });
  let left = count;
  const work = async (): Promise<void> => {
    while (left-- > 0) await client.put(`bulk/${left % 50}`, Buffer.from(`${left}`));
  };
  await Promise.all(Array.from({ length: 64 }, work));
  client.close();
}
