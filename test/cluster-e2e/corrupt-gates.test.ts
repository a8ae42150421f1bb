/**
 * etcd's two feature gates against silent damage: a member compares its state with the others'
 * before it serves, and the leader compares all states after a compaction.
 */
import { expect, test } from "bun:test";
import { AlarmType, KV, Maintenance } from "../../src/proto/gen/etcdserverpb.ts";
import { type ClusterOptions, withCluster } from "../support/cluster.ts";
import type { Member } from "../support/member.ts";
import { until } from "../support/processes.ts";
import { changeValue } from "./silent-damage.ts";

const TEST_MS_MAX = 60_000;
const ASK_MS_MAX = 5000;

/** Nothing is compared but what the gate asks for. */
function gated(gate: string, more: Readonly<Record<string, string>> = {}): ClusterOptions {
  const environmentOf = () => ({
    AETHER_CLUSTER_CORRUPT_CHECK_INTERVAL_S: "0",
    ETCD_FEATURE_GATES: `${gate}=true`,
    ...more,
  });
  return { kind: "aether", size: 3, heartbeatMs: 50, electionMs: 500, environmentOf };
}

/** Puts "a" and "b", and stops a follower that has both. */
async function stoppedFollower(followers: Member[], leader: Member): Promise<Member> {
  for (const key of ["a", "b"]) await leader.ask(KV.Put, { key, value: Buffer.from("right") });
  const victim = followers[0] as Member;
  await victim.ask(KV.Range, { key: "b" }, ASK_MS_MAX);
  await victim.stop();
  return victim;
}

test(
  "InitialCorruptCheck: who holds another state does not begin to serve",
  () =>
    withCluster(gated("InitialCorruptCheck"), async (cluster) => {
      const leader = await cluster.leader();
      const victim = await stoppedFollower(await cluster.followers(), leader);
      await victim.restart(); // nothing is wrong with it yet
      await victim.stop();
      changeValue(victim, "b", "wrong");
      await victim.launch();
      expect(await victim.process.ended()).toBe(1);
      expect(victim.process.lastLog).toContain("this member's state is not that of");
      expect(victim.process.lastLog).not.toContain("serving client traffic");
    }),
  TEST_MS_MAX,
);

test(
  "CompactHashCheck: a compaction has the states compared",
  () =>
    withCluster(
      gated("CompactHashCheck", { ETCD_COMPACT_HASH_CHECK_TIME: "200ms" }),
      async (cluster) => {
        const leader = await cluster.leader();
        const victim = await stoppedFollower(await cluster.followers(), leader);
        changeValue(victim, "b", "wrong");
        await victim.restart();
        const { id } = await victim.status();
        const { header } = await leader.ask(KV.Put, { key: "c" }, ASK_MS_MAX);
        await leader.ask(KV.Compact, { revision: header?.revision ?? 0 }, ASK_MS_MAX);
        await until("the alarm is raised", async () => {
          const { alarms } = await leader.ask(Maintenance.Alarm, {}, ASK_MS_MAX);
          return alarms.some((each) => each.alarm === AlarmType.CORRUPT && each.memberID === id);
        });
      },
    ),
  TEST_MS_MAX,
);
