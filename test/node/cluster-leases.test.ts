/** Leases of a cluster: renewed at any member, ended by the leader, never before their time. */
import { describe, expect, test } from "bun:test";
import { Prng } from "../../src/base/prng.ts";
import { DrivenCluster, ELECTION_MS } from "./driven-cluster.ts";
import { TICK_MS } from "./driven-group.ts";
import type { DrivenMember } from "./driven-member.ts";

const TTL_S = 2;
const TTL_MS = TTL_S * 1000;

function granted(members = 3): { cluster: DrivenCluster; leader: DrivenMember } {
  const { cluster, leader } = DrivenCluster.leading({ members });
  leader.grant(1n, TTL_S);
  cluster.settle();
  leader.put("k", "1", 1n);
  cluster.settle();
  return { cluster, leader };
}

describe("a lease", () => {
  test("lives on while it is renewed at any member, and ends everywhere when it is not", () => {
    const { cluster } = granted();
    for (let round = 0; round < 6; round++) {
      cluster.pass(TTL_MS - 2 * TICK_MS);
      const answers = cluster.member(1 + (round % 3)).renew(1n);
      cluster.settle();
      expect(answers).toEqual([TTL_S]);
    }
    cluster.pass(TTL_MS - TICK_MS);
    for (const member of cluster.members.values()) expect(member.contents()).toEqual(["k=1"]);
    cluster.pass(2 * TICK_MS);
    for (const member of cluster.members.values()) expect(member.contents()).toEqual([]);
    for (const member of cluster.members.values()) {
      const answers = member.renew(1n);
      cluster.settle();
      expect(answers).toEqual([0]);
    }
    cluster.expectAgreement();
  });

  test("is told of by the leader's clock at every member", () => {
    const { cluster } = granted();
    cluster.pass(500);
    const left: unknown[] = [];
    for (const { group } of cluster.members.values()) {
      group.leaseLife(1n, (life) => left.push(life));
      group.leaseLife(9n, (life) => left.push(life));
    }
    cluster.settle();
    const known = { id: 1n, leftMs: TTL_MS - 500, ttlSeconds: TTL_S };
    const unknown = { id: 9n, leftMs: undefined, ttlSeconds: 0 };
    expect(left.length).toBe(6);
    expect(left).toEqual(expect.arrayContaining([known, unknown]));
    expect(left.filter((life) => Bun.deepEquals(life, known)).length).toBe(3);
  });

  test("has its whole time and more with a new leader, and is renewed there", () => {
    const { cluster, leader } = granted();
    cluster.pass(TTL_MS - 2 * TICK_MS);
    leader.crash();
    const follower = cluster.others(leader)[0] as DrivenMember;
    const early = follower.renew(1n);
    const next = cluster.elect(leader);
    const electedMs = cluster.clock.nowMs;
    cluster.pass(5 * TICK_MS);
    expect(early).toEqual([TTL_S]);
    cluster.pass(TTL_MS + ELECTION_MS - 5 * TICK_MS - TICK_MS);
    expect(cluster.clock.nowMs).toBe(electedMs + TTL_MS + ELECTION_MS - TICK_MS);
    expect(next.contents()).toEqual(["k=1"]);
    cluster.pass(2 * ELECTION_MS);
    expect(next.contents()).toEqual([]);
    leader.start();
    cluster.pass(ELECTION_MS);
    cluster.expectAgreement();
  });

  test("is not taken along by a leader that slept through the election of another", () => {
    const { cluster, leader } = granted();
    leader.paused = true;
    const next = cluster.elect(leader);
    for (let ms = 0; ms < 3 * TTL_MS; ms += 10 * TICK_MS) {
      const answers = next.renew(1n);
      cluster.pass(10 * TICK_MS);
      expect(answers).toEqual([TTL_S]);
    }
    leader.paused = false;
    const asleep = leader.renew(1n); // before it hears of anything
    leader.tick(); // its clock says that the lease is long over
    leader.endTurns();
    cluster.pass(5 * TICK_MS);
    expect(asleep).toEqual([TTL_S]); // by the leader that is
    expect(leader.contents()).toEqual(["k=1"]);
    cluster.expectAgreement();
  });

  test("that runs out at a leader which then falls lives on, and waiting renewals too", () => {
    const { cluster, leader } = granted();
    cluster.pass(TTL_MS - TICK_MS);
    for (const other of cluster.others(leader)) other.logStalls = true; // nothing is decided
    cluster.pass(2 * TICK_MS);
    const waiting = leader.renew(1n);
    cluster.pass(TICK_MS);
    expect([waiting, leader.contents()]).toEqual([[], ["k=1"]]);
    leader.paused = true;
    cluster.network.lose(({ from }) => from === leader.number);
    for (const other of cluster.others(leader)) {
      other.crash();
      other.start();
      other.logStalls = false;
    }
    const next = cluster.elect(leader);
    leader.paused = false;
    cluster.pass(5 * TICK_MS);
    expect(waiting).toEqual([TTL_S]);
    expect(next.contents()).toEqual(["k=1"]);
  });

  test("is renewed by nobody while nobody can be confirmed", () => {
    const { cluster, leader } = granted();
    cluster.isolate(leader);
    const answers = [leader.renew(1n)];
    cluster.pass(2 * TICK_MS);
    expect(answers).toEqual([[]]);
    for (const member of cluster.others(leader)) member.paused = true;
    cluster.network.heal();
    cluster.pass(4 * ELECTION_MS);
    answers.push(leader.renew(1n));
    cluster.pass(4 * ELECTION_MS);
    expect(answers).toEqual([["no_leader"], ["no_leader"]]);
  });
});

/** A client that renews at random members while leaders come and go, and what it may rely on. */
function renewThroughFaults(seed: number): number {
  const random = new Prng(seed);
  const { cluster } = granted(random.pick([3, 5]));
  const members = [...cluster.members.values()];
  let safeUntilMs = cluster.clock.nowMs + TTL_MS;
  let renewals = 0;
  for (let step = 0; step < 120; step++) {
    if (random.chance(10)) disturb(cluster, random.pick(members), random);
    if (random.chance(8)) restore(cluster);
    const active = members.filter((member) => member.active);
    const sentMs = cluster.clock.nowMs;
    if (active.length > 0 && random.chance(70)) {
      const at = random.pick(active);
      at.group.renewLease(1n, (ttl) => {
        if (ttl !== TTL_S) return;
        renewals++;
        safeUntilMs = Math.max(safeUntilMs, sentMs + TTL_MS);
      });
    }
    cluster.pass(TICK_MS);
    const { nowMs } = cluster.clock;
    const isOver = members.some((member) => member.up && !hasLease(member));
    if (isOver) expect([seed, nowMs]).toEqual([seed, Math.max(nowMs, safeUntilMs)]);
    if (isOver) break;
  }
  restore(cluster);
  cluster.pass(4 * ELECTION_MS + 2 * TTL_MS);
  cluster.expectAgreement();
  for (const member of members) expect([seed, hasLease(member)]).toEqual([seed, false]);
  return renewals;
}

/** Whether the member knows the lease; one that has lost its state until it catches up may not. */
function hasLease(member: DrivenMember): boolean {
  return member.group.machine.hasLease(1n) || member.group.machine.revision < 2;
}

function disturb(cluster: DrivenCluster, member: DrivenMember, random: Prng): void {
  const { leader } = cluster;
  switch (random.below(4)) {
    case 0:
      cluster.isolate(member);
      break;
    case 1:
      member.paused = true;
      break;
    case 2:
      leader?.group.handOver(() => {});
      break;
    default:
      if (member.up) member.crash();
  }
}

function restore(cluster: DrivenCluster): void {
  cluster.network.heal();
  for (const member of cluster.members.values()) {
    member.paused = false;
    if (!member.up) member.start();
  }
}

test("no lease ends before the time that its last confirmed renewal promised", () => {
  let renewals = 0;
  for (let seed = 1; seed <= 60; seed++) renewals += renewThroughFaults(seed);
  expect(renewals).toBeGreaterThan(1000);
});
