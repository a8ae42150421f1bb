/**
 * A member whose state is not that of the others, though every checksum fits: the leader finds it,
 * it serves nothing any more, the others go on, and replacing it heals the cluster.
 */
import { describe, expect, test } from "bun:test";
import { EtcdClient } from "../../src/client/etcd-client.ts";
import {
  AlarmAction,
  type AlarmMember,
  AlarmRequest,
  AlarmType,
  Cluster as ClusterService,
  KV,
  Lease,
  Maintenance,
} from "../../src/proto/gen/etcdserverpb.ts";
import { Health, ServingStatus } from "../../src/proto/gen/grpc.health.v1.ts";
import type { MethodType } from "../../src/proto/message.ts";
import { type Cluster, type ClusterOptions, withCluster } from "../support/cluster.ts";
import type { Member } from "../support/member.ts";
import { until } from "../support/processes.ts";
import { changeValue } from "./silent-damage.ts";

const TEST_MS_MAX = 90_000;
const ASK_MS_MAX = 5000;
const CORRUPT = "corrupt cluster";

const FAST: ClusterOptions = { kind: "aether", size: 3, heartbeatMs: 50, electionMs: 500 };

const ALL = [1, 2, 3, 4];

/** As long as they lead, these members compare the states every second. */
function checkedBy(
  numbers: readonly number[],
  options: Partial<ClusterOptions> = {},
): ClusterOptions {
  const environmentOf = (number: number) => ({
    AETHER_CLUSTER_CORRUPT_CHECK_INTERVAL_S: numbers.includes(number) ? "1" : "0",
  });
  return { ...FAST, environmentOf, ...options };
}

async function put(member: Member, key: string, value = "right"): Promise<void> {
  await member.ask(KV.Put, { key, value: Buffer.from(value) }, ASK_MS_MAX);
}

async function get(member: Member, key: string, serializable = false): Promise<string> {
  const { kvs } = await member.ask(KV.Range, { key, serializable }, ASK_MS_MAX);
  return Buffer.from(kvs[0]?.value ?? []).toString();
}

/** What a call ends with; "" if it is answered. */
async function failureOf<Request, Response>(
  member: Member,
  method: MethodType<Request, Response>,
  request: Partial<Request> = {},
): Promise<string> {
  try {
    await member.ask(method, request, ASK_MS_MAX);
    return "";
  } catch (error) {
    return (error as Error).message;
  }
}

async function alarms(member: Member): Promise<readonly AlarmMember[]> {
  return (await member.ask(Maintenance.Alarm, AlarmRequest.create(), ASK_MS_MAX)).alarms;
}

/** Until every member says that these have a CORRUPT alarm, and no others. */
async function untilAlarmed(cluster: Cluster, ...ids: bigint[]): Promise<void> {
  await until(`CORRUPT at ${ids.join(", ")}`, async () => {
    const each = await Promise.all(cluster.members.map(alarms));
    return each.every((list) => {
      const corrupt = list.filter(({ alarm }) => alarm === AlarmType.CORRUPT);
      return corrupt.map(({ memberID }) => memberID).join() === ids.join();
    });
  });
}

async function change(member: Member, action: AlarmAction, memberID: bigint): Promise<void> {
  const request = { action, memberID, alarm: AlarmType.CORRUPT };
  await member.ask(Maintenance.Alarm, request, ASK_MS_MAX);
}

/** "200", or "503" and the failed checks. */
async function readiness(member: Member): Promise<string> {
  const answer = await fetch(`http://${member.endpoint}/readyz`);
  const failed = [...(await answer.text()).matchAll(/^\[-\](\w+)/gm)].map(([, name]) => name);
  return [answer.status, ...failed].join(" ");
}

async function health(member: Member): Promise<number> {
  return (await member.ask(Health.Check)).status;
}

/** Its state.db differs in one value, and it runs again. */
async function damage(victim: Member, key: string): Promise<void> {
  expect(await get(victim, key)).toBe("right"); // it has applied it
  await victim.stop();
  changeValue(victim, key, "wrong");
  await victim.restart();
}

async function servesNothing(victim: Member): Promise<void> {
  const key = "b";
  expect(await failureOf(victim, KV.Range, { key })).toContain(CORRUPT);
  expect(await failureOf(victim, KV.Range, { key, serializable: true })).toContain(CORRUPT);
  expect(await failureOf(victim, KV.Put, { key })).toContain(CORRUPT);
  expect(await failureOf(victim, Lease.LeaseGrant, { TTL: 60 })).toContain(CORRUPT);
  expect(await readiness(victim)).toBe("503 data_corruption");
  expect(await health(victim)).toBe(ServingStatus.NOT_SERVING);
}

async function servesAll(member: Member): Promise<void> {
  await put(member, `of ${member.name}`);
  expect(await get(member, `of ${member.name}`)).toBe("right");
  expect(await readiness(member)).toBe("200");
  expect(await health(member)).toBe(ServingStatus.SERVING);
}

/** Removes it and adds a new one, without data. */
async function replace(cluster: Cluster, victim: Member, id: bigint): Promise<Member> {
  // Of two members it takes both to agree, so it runs until it is out.
  await (await cluster.leader()).ask(ClusterService.MemberRemove, { ID: id }, ASK_MS_MAX);
  await cluster.forget(victim);
  return await cluster.add();
}

/** Until the leader says once more that the states of so many members are equal. */
async function untilFoundEqual(cluster: Cluster, size: number): Promise<void> {
  const equal = /the members' states are equal.*/g;
  const found = (): string[] => cluster.logs().match(equal) ?? [];
  const before = found().length;
  await until("all are found equal", () =>
    found()
      .slice(before)
      .some((line) => line.split(", ").length === size),
  );
}

/** Until a majority agrees on a leader that is not `victim`, in a term after `term`. */
async function untilAnotherLeads(cluster: Cluster, victim: Member, term = 0): Promise<void> {
  await until("another one leads", async () => {
    const leader = await cluster.maybeLeader();
    return leader !== undefined && leader !== victim && (await leader.status()).term > term;
  });
}

describe("a value that is another one at a single member", () => {
  test(
    "is found at a follower: it serves nothing, the others go on, replacing it heals",
    () =>
      withCluster(checkedBy(ALL), async (cluster) => {
        const [victim, other] = (await cluster.followers()) as [Member, Member];
        const { id } = await victim.status();
        for (const key of ["a", "b", "c"]) await put(cluster.member(1), key);
        await untilFoundEqual(cluster, 3);
        await damage(victim, "b");
        await untilAlarmed(cluster, id);
        await servesNothing(victim);
        await until("it says what to do", () =>
          victim.process.log.includes(`aether ctl member remove ${id.toString(16)}`),
        );
        const right = [other, await cluster.leader()];
        for (const member of right) await servesAll(member);
        const { revision, hashes } = await cluster.hashes();
        const of = (member: Member) => hashes[cluster.members.indexOf(member)];
        expect([revision, of(other)]).toEqual([6, of(right[1] as Member)]);
        expect(of(victim)).not.toBe(of(other));

        const replacement = await replace(cluster, victim, id);
        await change(replacement, AlarmAction.DEACTIVATE, id);
        await untilFoundEqual(cluster, 3);
        await untilAlarmed(cluster);
        await servesAll(replacement);
        expect(await get(replacement, "b")).toBe("right");
        expect(new Set((await cluster.hashes()).hashes).size).toBe(1);
      }),
    TEST_MS_MAX,
  );

  test(
    "is found at the leader: it gives leadership away and does not keep it again",
    () =>
      withCluster(checkedBy([2]), async (cluster) => {
        const victim = cluster.member(2);
        const { id } = await victim.status();
        await put(victim, "b");
        await damage(victim, "b");
        await cluster.moveLeader(victim);
        await untilAlarmed(cluster, id);
        await untilAnotherLeads(cluster, victim);
        const leader = await cluster.leader();
        await servesNothing(victim);
        await servesAll(leader);
        const { term } = await leader.status();
        // It is elected when it is asked to be, and hands over at once: two terms, and no more.
        // The answer may be that it did not lead in time: it leads for a tick.
        await failureOf(leader, Maintenance.MoveLeader, { targetID: id });
        await untilAnotherLeads(cluster, victim, term + 1);
        await servesAll(await cluster.leader());
        expect((await (await cluster.leader()).status()).term).toBe(term + 2);
      }),
    TEST_MS_MAX,
  );

  test(
    "of two leaves nobody who is right: no writes, stale reads show both, one is chosen",
    () =>
      withCluster(checkedBy(ALL, { size: 2 }), async (cluster) => {
        const [victim] = (await cluster.followers()) as [Member];
        const right = await cluster.leader();
        const { id } = await victim.status();
        await put(right, "b");
        await damage(victim, "b");
        await untilAlarmed(cluster, 0n);
        for (const member of cluster.members) {
          expect(await failureOf(member, KV.Put, { key: "b" })).toContain(CORRUPT);
          expect(await failureOf(member, KV.Range, { key: "b" })).toContain(CORRUPT);
          expect(await readiness(member)).toBe("503 data_corruption");
        }
        expect([await get(right, "b", true), await get(victim, "b", true)]).toEqual([
          "right",
          "wrong",
        ]);

        if ((await cluster.leader()) !== right) await cluster.moveLeader(right);
        await replace(cluster, victim, id);
        await untilFoundEqual(cluster, 2);
        await change(right, AlarmAction.DEACTIVATE, 0n);
        await untilAlarmed(cluster);
        for (const member of cluster.members) await servesAll(member);
      }),
    TEST_MS_MAX,
  );
});

test(
  "watches and renewals that are open end with the alarm, and begin again without it",
  () =>
    withCluster(checkedBy([]), async (cluster) => {
      const [victim, other] = (await cluster.followers()) as [Member, Member];
      const { id } = await victim.status();
      const client = new EtcdClient({ endpoints: [victim.endpoint], timeoutMs: ASK_MS_MAX });
      const { ID } = await client.grantLease({ TTL: 60 });
      const renewals = client.channel.open(Lease.LeaseKeepAlive, {});
      renewals.send({ ID });
      expect((await renewals.next()).value).toMatchObject({ ID, TTL: 60 });
      const watch = client.watch({ key: "a" })[Symbol.asyncIterator]();
      expect((await watch.next()).value).toMatchObject({ kind: "created" });
      await put(other, "a");
      expect((await watch.next()).value).toMatchObject({ kind: "events" });
      await change(other, AlarmAction.ACTIVATE, id);
      await expect(watch.next()).rejects.toThrow(CORRUPT);
      await expect(renewals.next()).rejects.toThrow(CORRUPT);
      await servesNothing(victim);
      await servesAll(other);
      await change(other, AlarmAction.DEACTIVATE, id);
      const again = (): Promise<string> => failureOf(victim, KV.Put, { key: "a" });
      await until("it serves again", async () => (await again()) === "");
      await servesAll(victim);
      client.close();
    }),
  TEST_MS_MAX,
);
