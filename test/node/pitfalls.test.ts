/**
 * The pitfalls of Raft that have cost others data, numbered as in test/raft/pitfalls.test.ts: those
 * which concern whoever drives the core. Of 14 to 16 more is tested where it belongs: a torn or
 * damaged log in test/storage, a lost data directory in test/cluster/bootstrap.test.ts, identities
 * on the wire in test/net/peers, a failing fsync of a real file in test/storage/faults.test.ts.
 */
import { describe, expect, test } from "bun:test";
import { AetherError } from "../../src/base/errors.ts";
import { AlarmAction, AlarmRequest, CompactionRequest } from "../../src/proto/gen/etcdserverpb.ts";
import { CommandKind } from "../../src/state/command.ts";
import { stateHash } from "../../src/state/state-hash.ts";
import { encoded } from "../state/driver.ts";
import { DrivenCluster, ELECTION_MS } from "./driven-cluster.ts";
import {
  Companion,
  DrivenGroup,
  ELECTION_TICKS,
  MEMBER,
  PEER,
  REQUEST_TIMEOUT_MS,
  TICK_MS,
} from "./driven-group.ts";
import type { DrivenMember } from "./driven-member.ts";
import { CLOSE_CUT, farBehind, writeMany } from "./far-behind.ts";

describe("6: reads by index", () => {
  test("(d) run when the index is applied here, not when it is granted", () => {
    const { cluster, leader } = DrivenCluster.leading();
    const follower = cluster.others(leader)[0] as DrivenMember;
    follower.logStalls = true;
    leader.put("a", "1");
    cluster.settle();
    const read = follower.read();
    const granted = follower.group.appliedIndex;
    cluster.settle();
    expect([read.code, leader.group.appliedIndex]).toEqual(["waiting", granted + 1]);
    follower.logStalls = false;
    cluster.settle();
    expect([read.code, follower.contents()]).toEqual(["ok", ["a=1"]]);
  });
});

describe("8: leases of keys", () => {
  function withLease(): { cluster: DrivenCluster; leader: DrivenMember } {
    const { cluster, leader } = DrivenCluster.leading();
    leader.grant(1n, 2);
    cluster.settle();
    leader.put("k", "1", 1n);
    cluster.settle();
    return { cluster, leader };
  }

  test("only the leader counts them down", () => {
    const { cluster, leader } = withLease();
    const { nowMs } = cluster.clock;
    const left = (member: DrivenMember): unknown => member.group.expiry.remainingMs(1n, nowMs);
    expect(left(leader)).toBe(2000);
    for (const follower of cluster.others(leader)) expect(left(follower)).toBeUndefined();
    leader.paused = true;
    for (const follower of cluster.others(leader)) {
      for (let tick = 0; tick < ELECTION_TICKS / 2; tick++) follower.tick();
      cluster.clock.nowMs += 10_000;
      follower.tick();
      follower.endTurns();
      expect(follower.log.pendingCount).toBe(0); // it proposes nothing
    }
  });

  test("their end is a committed entry: without a quorum none ends", () => {
    const { cluster, leader } = withLease();
    for (const other of cluster.others(leader)) other.logStalls = true;
    cluster.pass(5000);
    for (const member of cluster.members.values()) expect(member.contents()).toEqual(["k=1"]);
    for (const other of cluster.others(leader)) other.logStalls = false;
    cluster.settle();
    for (const member of cluster.members.values()) expect(member.contents()).toEqual([]);
  });

  test("an end that was proposed in one term does nothing in another", () => {
    const { cluster, leader } = withLease();
    leader.paused = true;
    cluster.elect(leader);
    leader.paused = false;
    leader.group.expiry.tick(cluster.clock.nowMs + 60_000, leader.group.term); // it woke up
    cluster.pass(5 * TICK_MS);
    for (const member of cluster.members.values()) expect(member.contents()).toEqual(["k=1"]);
  });

  test("a new leader gives each its whole time and at least an election timeout", () => {
    const { cluster, leader } = withLease();
    cluster.pass(1900);
    leader.group.handOver(() => {});
    cluster.settle();
    const left = cluster.leader?.group.expiry.remainingMs(1n, cluster.clock.nowMs);
    expect(left).toBe(2000 + ELECTION_MS);
  });

  test("a renewal needs a leader that was confirmed after it came", () => {
    const { cluster, leader } = withLease();
    cluster.isolate(leader);
    const answers = leader.renew(1n);
    cluster.pass(3 * TICK_MS);
    expect([answers, leader.group.isLeader]).toEqual([[], true]);
  });

  test("what ends leases is taken where other writes are refused for load", () => {
    const driven = DrivenGroup.leading();
    driven.grant(1n, 60);
    driven.settle();
    for (let i = 0; i < 100; i++) {
      driven.put("a", "x".repeat(1_400_000));
      driven.endTurns();
      driven.syncLog(); // the state store does nothing
    }
    expect(driven.put("a").code).toBe("too_many_requests");
    const revoke = driven.revoke(1n);
    driven.endTurns();
    driven.syncLog();
    expect(revoke.code).toBe("ok");
  });
});

describe("10: learners", () => {
  test("and members that are removed lead no more, and say so", () => {
    const { cluster, leader } = DrivenCluster.leading();
    const call = cluster.change(leader, "remove", leader.number);
    cluster.pass(ELECTION_MS);
    expect([call.code, leader.group.isLeader, leader.removals]).toEqual(["ok", false, 1]);
  });
});

describe("11: snapshots", () => {
  test("carry members, removed ids, alarms, leases and the compaction, not keys alone", () => {
    const { cluster, leader } = DrivenCluster.leading({ members: 4, ...CLOSE_CUT });
    const [behind, gone] = cluster.others(leader) as [DrivenMember, DrivenMember];
    cluster.isolate(behind);
    cluster.pass(2 * ELECTION_MS);
    cluster.change(leader, "remove", gone.number);
    leader.grant(5n, 600);
    cluster.settle();
    leader.put("leased", "1", 5n);
    const alarm = { action: AlarmAction.ACTIVATE, memberID: leader.id, alarm: 1 };
    leader.propose(CommandKind.alarm, encoded(AlarmRequest, alarm));
    writeMany(cluster, leader, 20);
    leader.propose(CommandKind.compact, encoded(CompactionRequest, { revision: 15 }));
    writeMany(cluster, leader, 20);
    cluster.network.heal();
    cluster.pass(2 * ELECTION_MS);
    expect(behind.logDisk.snapshot?.index).toBeGreaterThan(20);
    const told = ({ group: { machine, configuration } }: DrivenMember): unknown => {
      const { compactRevision, revision, appliedIndex } = machine;
      const members = machine.members().map(({ ID }) => ID);
      const removed = machine.removedMembers();
      const alarms = machine.alarms().map(({ memberID, alarm: type }) => [memberID, type]);
      const lease = machine.lease(5n);
      return {
        ...{ compactRevision, revision, appliedIndex, members, removed, alarms, lease },
        configuration,
      };
    };
    expect(told(behind)).toEqual(told(leader));
    expect(behind.group.machine.lease(5n)?.keys.length).toBe(1);
    expect(behind.group.machine.removedMembers()).toEqual([gone.id]);
  });

  test("are taken twice in a row, the second while the first is hardly in place", () => {
    const { cluster, leader, behind } = farBehind();
    cluster.network.heal();
    cluster.pass(2 * ELECTION_MS);
    const first = behind.logDisk.snapshot?.index ?? 0;
    cluster.isolate(behind);
    cluster.pass(2 * ELECTION_MS);
    writeMany(cluster, leader, 30);
    cluster.network.heal();
    cluster.pass(2 * ELECTION_MS);
    expect(behind.logDisk.snapshot?.index).toBeGreaterThan(first);
    cluster.expectAgreement();
  });
});

describe("12: what is applied", () => {
  test("is applied once, whatever of log and state a crash leaves", () => {
    for (const kept of [0, 1, 2, 9]) {
      const driven = DrivenGroup.leading();
      for (let i = 0; i < 5; i++) {
        driven.put("counted", String(i));
        driven.settle();
        driven.tick();
        driven.settle();
        if (i === 2) driven.store.sync();
      }
      driven.crash(kept);
      driven.boot();
      driven.group.start();
      driven.settle();
      expect([kept, driven.group.machine.revision]).toEqual([kept, 6]);
    }
  });

  test("is the same at every member, to the last bit, whenever it was stored or compacted", () => {
    const { cluster, leader } = DrivenCluster.leading(CLOSE_CUT);
    const [slow] = cluster.others(leader) as [DrivenMember];
    slow.stateStalls = true;
    leader.grant(1n, 2);
    for (let i = 0; i < 40; i++) {
      leader.put(`k${i % 7}`, String(i), i % 3 === 0 ? 1n : 0n);
      if (i % 10 === 9) {
        const revision = leader.group.machine.revision - 5;
        leader.propose(CommandKind.compact, encoded(CompactionRequest, { revision }));
      }
      cluster.pass(TICK_MS);
    }
    slow.stateStalls = false;
    cluster.pass(5 * ELECTION_MS);
    cluster.expectAgreement();
    const hashes = [...cluster.members.values()].map(({ group }) => stateHash(group.machine));
    expect(new Set(hashes).size).toBe(1);
  });

  test("may be applied after its call has timed out, and is not proposed again then", () => {
    const driven = new DrivenGroup({ voters: [MEMBER, PEER] });
    const companion = new Companion(driven);
    driven.group.start();
    companion.elect();
    companion.settle();
    const call = driven.put("a", "1");
    driven.settle();
    driven.tick(REQUEST_TIMEOUT_MS);
    expect(call.code).toMatch("timeout");
    companion.settle(); // now the other answers
    companion.elect();
    companion.settle();
    expect(driven.contents()).toEqual(["a=1"]);
    expect(driven.group.machine.revision).toBe(2);
  });
});

describe("14: disks that contradict each other", () => {
  test("are refused, never repaired by forgetting", () => {
    const codes: string[] = [];
    const spoils: ((driven: DrivenGroup) => void)[] = [
      ({ logDisk }) => {
        logDisk.entries.length = 1; // what the state has applied is gone from the log's end
      },
      ({ logDisk }) => {
        logDisk.hardState = undefined;
        logDisk.snapshot = undefined;
        logDisk.entries = [];
      },
      ({ logDisk }) => {
        const { snapshot } = logDisk;
        if (snapshot !== undefined) logDisk.snapshot = { ...snapshot, index: 3 };
      },
    ];
    for (const spoil of spoils) {
      const driven = DrivenGroup.leading();
      for (let i = 0; i < 5; i++) {
        driven.put("a", String(i));
        driven.settle();
      }
      driven.tick();
      driven.settle();
      driven.store.sync();
      spoil(driven);
      try {
        driven.boot();
        codes.push("taken up");
      } catch (error) {
        codes.push(error instanceof AetherError ? error.code : String(error));
      }
    }
    expect(codes).toEqual(["corrupt", "corrupt", "corrupt"]);
  });
});

describe("15: identities", () => {
  test("of removed members stay in every state, so that none is given out again", () => {
    const { cluster, leader } = DrivenCluster.leading({ members: 4 });
    const gone = cluster.others(leader)[0] as DrivenMember;
    cluster.change(leader, "remove", gone.number);
    cluster.pass(2 * TICK_MS);
    gone.endLife();
    leader.crash();
    leader.start();
    cluster.pass(2 * ELECTION_MS);
    for (const { group, up } of cluster.members.values()) {
      if (up) expect(group.machine.isRemoved(gone.id)).toBe(true);
    }
  });
});

describe("16: a log write that fails, and so never answers", () => {
  test("acknowledges nothing, votes for nobody, and answers no call", () => {
    const { cluster, leader } = DrivenCluster.leading();
    const failing = cluster.others(leader)[0] as DrivenMember;
    const term = leader.group.term + 1;
    failing.logStalls = true;
    const sent: string[] = [];
    cluster.network.hold(({ from, what }) => {
      if (from === failing.number) sent.push(what);
      return false;
    });
    const put = failing.put("a", "1");
    cluster.settle();
    failing.group.receive([
      {
        type: "vote",
        from: leader.id,
        to: failing.id,
        term,
        lastIndex: 99,
        lastTerm: term,
        force: true,
      },
    ]);
    cluster.settle();
    cluster.pass(3 * TICK_MS);
    expect(sent).not.toContain("append-response");
    expect(sent).not.toContain("vote-response");
    expect(put.code).toBe("waiting");
    expect(failing.group.appliedIndex).toBeLessThan(leader.group.appliedIndex);
  });

  test("does not make a leader commit by itself, nor answer what it alone has", () => {
    const { cluster, leader } = DrivenCluster.leading();
    leader.logStalls = true;
    const put = leader.put("a", "1");
    cluster.pass(3 * TICK_MS);
    expect(put.code).toBe("waiting");
    const [other] = cluster.others(leader) as [DrivenMember];
    expect(other.contents()).toEqual(["a=1"]); // the others have it, and commit it
    const alone = DrivenGroup.leading();
    const lonely = alone.put("a", "1");
    alone.endTurns();
    alone.tick(1000);
    expect([lonely.code, alone.contents()]).toEqual(["waiting", []]);
  });
});
