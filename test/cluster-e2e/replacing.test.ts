/** A member that lost its disk is replaced by two commands; who is out stays out, and says why. */
import { describe, expect, test } from "bun:test";
import { KV } from "../../src/proto/gen/etcdserverpb.ts";
import { type Cluster, kindsUnderTest, withCluster } from "../support/cluster.ts";
import type { Member } from "../support/member.ts";
import type { ClusterKind } from "../support/member-command.ts";
import { isInstalled, until } from "../support/processes.ts";
import { ETCDCTL, Tool } from "./tool.ts";

const TEST_MS_MAX = 60_000;
const FAST = { size: 3, heartbeatMs: 50, electionMs: 500 } as const;
const hasEtcdctl = await isInstalled(ETCDCTL);

interface Words {
  /** Of a member that is started without what it had on disk. */
  readonly wiped: RegExp;
  /** Of a member that was removed. */
  readonly removed: RegExp;
}

const WORDS: Readonly<Record<ClusterKind, Words>> = {
  etcd: {
    wiped: /has already been bootstrapped/,
    removed: /permanently removed from the cluster|removed from the cluster/,
  },
  aether: { wiped: /join as a new member/, removed: /removed from the cluster/ },
};

for (const kind of kindsUnderTest()) {
  describe(kind, () => {
    test.skipIf(!hasEtcdctl)(
      "a member that lost its disk: refused as it was, welcome as a new one",
      () =>
        withCluster({ kind, ...FAST }, async (cluster) => {
          const victim = cluster.member(3);
          const { id } = await victim.status();
          await put(cluster.member(1), "before");
          await victim.kill();
          victim.wipe();
          expect(await endOf(victim)).toMatch(WORDS[kind].wiped);
          const replacement = await replace(cluster, victim, id.toString(16));
          await put(replacement, "after");
          const { revision, hashes } = await cluster.hashes();
          expect(revision).toBe(3);
          expect(new Set(hashes).size).toBe(1);
          expect((await replacement.status()).id).not.toBe(id);
        }),
      TEST_MS_MAX,
    );

    for (const whom of ["a follower", "the leader"] as const) {
      test(
        `${whom} that is removed stops, says why, and does not come back`,
        () =>
          withCluster({ kind, ...FAST }, async (cluster) => {
            const leader = await cluster.leader();
            const others = await cluster.followers();
            const removed = whom === "the leader" ? leader : (others[0] as Member);
            const { id } = await removed.status();
            await cluster.remove(id);
            await until("it has ended", () => removed.process.pid === undefined);
            expect(removed.process.lastLog).toMatch(WORDS[kind].removed);
            expect(await endOf(removed)).toMatch(WORDS[kind].removed);
            await cluster.forget(removed);
            await put(await cluster.leader(), "after");
            expect(new Set((await cluster.hashes()).hashes).size).toBe(1);
          }),
        TEST_MS_MAX,
      );
    }
  });
}

async function put(member: Member, key: string): Promise<void> {
  await member.ask(KV.Put, { key, value: Buffer.from("v") }, 5000);
}

/** Starts a member that must not come up; what it says. */
async function endOf(member: Member): Promise<string> {
  await member.launch();
  await until("it has ended", () => member.process.pid === undefined);
  return member.process.lastLog;
}

/** As a person does it: remove, add, start. */
async function replace(cluster: Cluster, victim: Member, id: string): Promise<Member> {
  await cluster.forget(victim);
  await cluster.leader(); // etcd loses a change that it gave to a leader who has just died
  const tool = new Tool("etcdctl", cluster.endpoints);
  await tool.run("member", "remove", id);
  const newcomer = await cluster.newcomer();
  const said = await tool.run("member", "add", newcomer.name, `--peer-urls=${newcomer.peerUrl}`);
  return await cluster.join(newcomer, /ETCD_INITIAL_CLUSTER="(.*)"/.exec(said)?.[1] ?? "");
}
