/**
 * The harness itself, on real etcd: what the tests of our own clusters believe about it is proved
 * here on a system that nobody doubts.
 */
import { describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { KV } from "../../src/proto/gen/etcdserverpb.ts";
import { type Cluster, type ClusterOptions, withCluster } from "./cluster.ts";
import type { Member } from "./member.ts";
import { whyNot } from "./netns.ts";
import { ETCD, isInstalled, until } from "./processes.ts";

const hasEtcd = await isInstalled(ETCD);
const noNamespaces = whyNot();

const FAST = { kind: "etcd", size: 3, heartbeatMs: 50, electionMs: 500 } as const;
const TEST_MS_MAX = 60_000;

async function put(member: Member, key: string): Promise<void> {
  await member.ask(KV.Put, { key, value: Buffer.from("v") }, 5000);
}

function cluster(name: string, options: ClusterOptions, body: (c: Cluster) => Promise<void>): void {
  test(name, () => withCluster(options, body), TEST_MS_MAX);
}

describe.skipIf(!hasEtcd)("a cluster of etcd", () => {
  cluster("kill, pause, stop, restart", FAST, async (cluster) => {
    const leader = await cluster.leader();
    await put(leader, "a");
    await leader.kill();
    expect(leader.isUp).toBe(false);
    const second = await cluster.leader();
    expect(second).not.toBe(leader);
    await put(second, "b");
    await leader.restart();
    second.pause();
    expect(await second.status(200).catch(() => undefined)).toBeUndefined();
    let third = await cluster.leader();
    await until("others have a leader", async () => {
      third = await cluster.leader(); // they may still name the one that is paused
      return third !== second;
    });
    await put(third, "c");
    second.resume();
    await third.stop();
    await put(await cluster.leader(), "d");
    await third.restart();
    const { revision, hashes } = await cluster.hashes();
    expect(revision).toBe(5);
    expect(hashes).toEqual([hashes[0], hashes[0], hashes[0]] as number[]);
  });

  cluster("members come and go by the API", FAST, async (cluster) => {
    await put(cluster.member(1), "a");
    const added = await cluster.add();
    expect((await added.status()).revision).toBe(2);
    expect((await cluster.records()).map(({ name }) => name).sort()).toEqual([
      "m1",
      "m2",
      "m3",
      "m4",
    ]);
    const first = cluster.member(1);
    const { id } = await first.status();
    await cluster.remove(id);
    await until("the removed member has ended", () => first.process.pid === undefined);
    await cluster.forget(first);
    expect((await cluster.records()).map(({ name }) => name).sort()).toEqual(["m2", "m3", "m4"]);
    const to = cluster.members.find((each) => each !== added) as Member;
    await cluster.moveLeader(to);
    expect(await cluster.leader()).toBe(to);
    await to.kill();
    to.wipe();
    expect(existsSync(to.process.dataDir)).toBe(false);
  });

  for (const network of ["proxied", "namespaces"] as const) {
    const missing = network === "namespaces" ? noNamespaces : undefined;
    if (missing !== undefined) console.log(`clusters in namespaces: skipped, ${missing}`);
    describe.skipIf(missing !== undefined)(network, () => {
      cluster("a leader that is cut off", { ...FAST, network }, async (cluster) => {
        const leader = await cluster.leader();
        const others = cluster.members.filter((member) => member !== leader);
        const ways = others.flatMap((other) => [
          { from: leader.number, to: other.number },
          { from: other.number, to: leader.number },
        ]);
        cluster.network.cut(ways);
        await until("the others elect", async () => {
          const now = await cluster.maybeLeader();
          return now !== undefined && now !== leader;
        });
        const second = await cluster.leader();
        await put(second, "b");
        expect((await leader.status()).revision).toBe(1);
        cluster.network.cut([]);
        await until("it catches up", async () => (await leader.status()).revision === 2);
      });

      cluster("two that cannot talk reach the third", { ...FAST, network }, async (cluster) => {
        const [one, two] = (await cluster.followers()) as [Member, Member];
        cluster.network.cut([
          { from: one.number, to: two.number },
          { from: two.number, to: one.number },
        ]);
        // Clients and the leader reach both: nothing that matters is cut, so nothing happens.
        const before = await cluster.leader();
        await put(one, "a");
        await put(two, "b");
        expect(await cluster.leader()).toBe(before);
        expect((await cluster.hashes()).revision).toBe(3);
      });
    });
  }
});
