/** Several groups as one cluster: what is promised at each member, whoever leads. */
import { describe, expect, test } from "bun:test";
import { AetherError } from "../../src/base/errors.ts";
import { MemberRemoveRequest } from "../../src/proto/gen/etcdserverpb.ts";
import { CommandKind } from "../../src/state/command.ts";
import { encoded } from "../state/driver.ts";
import { DrivenCluster, ELECTION_MS, idOf } from "./driven-cluster.ts";
import {
  type Call,
  DrivenGroup,
  LEADER_WAIT_MS,
  REQUEST_TIMEOUT_MS,
  TICK_MS,
} from "./driven-group.ts";
import type { DrivenMember } from "./driven-member.ts";
import { Watched } from "./watched.ts";

describe("a cluster that starts", () => {
  for (const members of [3, 5, 7]) {
    test(`has a leader before an election timeout is over, of ${members}`, () => {
      const cluster = new DrivenCluster({ members });
      const startedMs = cluster.clock.nowMs;
      const leader = cluster.elect();
      expect(cluster.clock.nowMs - startedMs).toBeLessThanOrEqual(ELECTION_MS);
      expect(leader.group.configuration.voters.length).toBe(members);
      cluster.pass(ELECTION_MS);
      expect(cluster.leader).toBe(leader);
      for (const { group } of cluster.members.values()) {
        expect([group.leader, group.isReady, group.leaderChanges]).toEqual([leader.id, true, 1]);
      }
      cluster.expectAgreement();
    });
  }
});

describe("calls at any member", () => {
  test("writes are decided by the leader, once, and seen by reads at every member", () => {
    const { cluster } = DrivenCluster.leading();
    const puts = [1, 2, 3].map((number) => cluster.member(number).put(`k${number}`, "v"));
    cluster.settle();
    expect(puts.map(({ code }) => code)).toEqual(["ok", "ok", "ok"]);
    for (const member of cluster.members.values()) {
      const read = member.read();
      cluster.settle();
      expect(read.code).toBe("ok");
      expect(member.contents()).toEqual(["k1=v", "k2=v", "k3=v"]);
    }
    cluster.expectAgreement();
  });
});

describe("reads at any member", () => {
  test("see every write that was answered before they were asked, wherever", () => {
    const { cluster, leader } = DrivenCluster.leading();
    const follower = cluster.others(leader)[0] as DrivenMember;
    follower.logStalls = true; // it applies nothing for now
    leader.put("a", "1");
    cluster.settle();
    const read = follower.read();
    cluster.pass(3 * TICK_MS);
    expect([read.code, follower.contents()]).toEqual(["waiting", []]);
    let seen: string[] = [];
    follower.group.read(() => {
      seen = follower.contents();
    });
    follower.logStalls = false;
    cluster.settle();
    expect([read.code, seen]).toEqual(["ok", ["a=1"]]);
  });

  test("are not answered by a leader that was replaced, and see its successor's writes", () => {
    const { cluster, leader } = DrivenCluster.leading();
    cluster.isolate(leader);
    const early = leader.read();
    cluster.settle();
    const next = cluster.elect(leader);
    next.put("a", "2");
    cluster.settle();
    const late = leader.read();
    cluster.settle();
    expect([early.code, late.code]).toEqual(["waiting", "waiting"]);
    cluster.network.heal();
    cluster.pass(5 * TICK_MS);
    expect([early.code, late.code, leader.contents()]).toEqual(["ok", "ok", ["a=2"]]);
  });

  test("are not run by an answer that was made for an earlier leader's term", () => {
    const { cluster, leader } = DrivenCluster.leading();
    const follower = cluster.others(leader)[0] as DrivenMember;
    const next = cluster.others(leader)[1] as DrivenMember;
    cluster.network.hold(({ what }) => what === "read-index-response");
    const read = follower.read();
    cluster.settle();
    leader.group.transferLeadership(next.id);
    cluster.settle();
    cluster.isolate(follower);
    next.put("a", "1");
    cluster.settle();
    cluster.network.hold(() => false); // both answers, one of each leader, come now: too late
    cluster.settle();
    expect([read.code, follower.contents()]).toEqual(["waiting", []]);
    cluster.network.heal();
    cluster.pass(3 * TICK_MS);
    expect([read.code, follower.contents()]).toEqual(["ok", ["a=1"]]);
  });

  test("fail with no leader where nobody leads for too long", () => {
    const { cluster, leader } = DrivenCluster.leading();
    for (const other of cluster.others(leader)) other.crash();
    const [read, put] = [leader.read(), leader.put("a", "1")];
    cluster.pass(LEADER_WAIT_MS + ELECTION_MS);
    expect(read.code).toBe("no_leader");
    expect(put.code).toBe("waiting"); // it is in a log, so it may happen yet
    const never = leader.put("b", "1");
    cluster.pass(REQUEST_TIMEOUT_MS);
    expect([put.code, never.code]).toEqual(["timeout_leader_failure", "no_leader"]);
    for (const other of cluster.others(leader)) other.start();
    cluster.pass(2 * ELECTION_MS);
    cluster.expectAgreement();
    expect(leader.contents()).toEqual(["a=1"]);
  });
});

describe("a batch on its way to the leader", () => {
  test("that is lost is not known to be: its call times out, and it never happens", () => {
    const { cluster, leader } = DrivenCluster.leading();
    const follower = cluster.others(leader)[0] as DrivenMember;
    const call = follower.put("a", "1");
    follower.endTurns();
    expect(cluster.network.lose(({ what }) => what === "batch")).toBe(1);
    cluster.pass(REQUEST_TIMEOUT_MS - TICK_MS);
    expect(call.code).toBe("waiting");
    cluster.pass(TICK_MS);
    expect([call.code, leader.contents()]).toEqual(["timeout", []]);
  });

  test("that comes late is refused by whoever leads then, and happens once", () => {
    const { cluster, leader } = DrivenCluster.leading();
    const [follower, next] = cluster.others(leader) as [DrivenMember, DrivenMember];
    cluster.network.hold(({ what, to }) => what === "batch" && to === leader.number);
    const call = follower.put("a", "1");
    cluster.settle();
    leader.group.transferLeadership(next.id);
    cluster.settle();
    expect(call.code).toBe("ok"); // by the new leader, in whose term it is not in any log
    next.group.transferLeadership(leader.id);
    cluster.settle();
    expect(cluster.leader).toBe(leader);
    cluster.network.heal();
    cluster.pass(3 * TICK_MS);
    expect(leader.group.machine.revision).toBe(2);
    cluster.expectAgreement();
  });

  test("that a leader on its way out refuses goes to the next one", () => {
    const { cluster, leader } = DrivenCluster.leading();
    const [follower, next] = cluster.others(leader) as [DrivenMember, DrivenMember];
    next.paused = true;
    leader.group.transferLeadership(next.id);
    const calls = [follower.put("a", "1"), leader.put("b", "2")];
    cluster.pass(3 * TICK_MS);
    expect(calls.map(({ code }) => code)).toEqual(["waiting", "waiting"]);
    next.paused = false;
    cluster.pass(3 * TICK_MS);
    expect(calls.map(({ code }) => code)).toEqual(["ok", "ok"]);
    expect(cluster.leader).toBe(next);
  });
});

describe("a follower that was away", () => {
  test("catches up by the log, and its watchers see what they missed", () => {
    const { cluster, leader } = DrivenCluster.leading();
    const follower = cluster.others(leader)[0] as DrivenMember;
    const watcher = new Watched(follower.group);
    cluster.isolate(follower);
    for (let i = 0; i < 50; i++) leader.put("a", String(i));
    cluster.pass(3 * ELECTION_MS);
    expect(watcher.events).toEqual([]);
    cluster.network.heal();
    cluster.pass(TICK_MS);
    expect(watcher.revisions).toEqual(Array.from({ length: 50 }, (_, i) => i + 2));
    expect(follower.logDisk.snapshot?.index).toBe(1);
    expect(leader.group.leaderChanges).toBe(1); // nobody was disturbed
    cluster.expectAgreement();
  });
});

describe("changes of the membership", () => {
  test("are taken by the leader alone, one by one, and recorded by their command", () => {
    const { cluster, leader } = DrivenCluster.leading();
    const follower = cluster.others(leader)[0] as DrivenMember;
    expect(cluster.change(follower, "add", 4).code).toBe("not_leader");
    const first = cluster.change(leader, "add", 4);
    const second = cluster.change(leader, "add", 5);
    expect([first.code, second.code]).toEqual(["waiting", "unhealthy"]);
    cluster.settle();
    expect(first.result()).toMatchObject({ kind: "member", member: { ID: 4n } });
    cluster.settle();
    for (const { group } of cluster.members.values()) {
      expect(group.configuration.voters).toEqual([1, 2, 3, 4].map(idOf));
      expect(group.machine.members().map(({ ID }) => ID)).toEqual([1n, 2n, 3n, 4n]);
    }
    cluster.newcomer(4);
    cluster.pass(ELECTION_MS);
    cluster.expectAgreement();
  });

  test("do what was asked before them first", () => {
    const { cluster, leader } = DrivenCluster.leading();
    const order: string[] = [];
    const note = (name: string) => (): unknown => order.push(name);
    leader.group.propose(CommandKind.put, new Uint8Array([0x0a, 1, 97]), 0, 3, note("put"));
    cluster.change(leader, "learn", 9, note("change"));
    leader.group.propose(CommandKind.put, new Uint8Array([0x0a, 1, 97]), 0, 3, note("second"));
    cluster.settle();
    expect(order).toEqual(["put", "change", "second"]);
  });

  test("that do not fit any more are refused where they were asked, and recorded nowhere", () => {
    const driven = DrivenGroup.leading();
    const { appliedIndex, term } = driven.group;
    const answers: string[] = [];
    const body = encoded(MemberRemoveRequest, { ID: 1n });
    driven.group.proposeChange({ steps: [] }, CommandKind.memberRemove, body, (outcome) => {
      answers.push(outcome instanceof AetherError ? outcome.code : "ok");
    });
    driven.settle();
    expect(answers).toEqual(["invalid_argument"]);
    expect([driven.group.appliedIndex, driven.group.term]).toEqual([appliedIndex, term]);
  });

  test("that are lost with their leader fail, and may be asked again", () => {
    const { cluster, leader } = DrivenCluster.leading();
    cluster.isolate(leader);
    const lost = cluster.change(leader, "learn", 9);
    cluster.settle();
    const next = cluster.elect(leader);
    next.put("a", "1");
    cluster.network.heal();
    cluster.pass(5 * TICK_MS);
    expect([lost.code, leader.group.machine.members().length]).toEqual(["leader_changed", 3]);
    const again = cluster.change(next, "learn", 9);
    cluster.settle();
    expect(again.code).toBe("ok");
    cluster.expectAgreement();
  });

  test("that outlive their leader are answered as done at it when it is back", () => {
    const { cluster, leader } = DrivenCluster.leading();
    const call = cluster.change(leader, "learn", 9);
    cluster.network.hold(({ what, to }) => what === "append-response" && to === leader.number);
    cluster.settle(); // the others have it, and it does not know
    leader.paused = true;
    const next = cluster.elect(leader);
    expect(next.group.configuration.learners).toEqual([idOf(9)]);
    expect(call.code).toBe("waiting");
    leader.paused = false;
    cluster.network.heal();
    cluster.pass(5 * TICK_MS);
    expect(call.code).toBe("ok");
    cluster.expectAgreement();
  });

  test("grow a cluster of one to three, and shrink it again, under writes at every member", () => {
    const { cluster } = DrivenCluster.leading({ members: 1 });
    const calls: Call[] = [];
    const change = (action: "learn" | "promote" | "remove", number: number): void => {
      const leader = cluster.leader as DrivenMember;
      if (action === "learn") cluster.newcomer(number);
      const call = cluster.change(leader, action, number);
      for (const member of cluster.members.values()) {
        const isIn = member.group.isReady && member.removals === 0 && member.number !== number;
        if (isIn) calls.push(member.put(`${action}${number}`, String(calls.length)));
      }
      cluster.pass(ELECTION_MS);
      expect([action, number, call.code]).toEqual([action, number, "ok"]);
    };
    for (const number of [2, 3]) {
      change("learn", number);
      expect(cluster.member(number).group.configuration.learners).toEqual([idOf(number)]);
      change("promote", number);
    }
    cluster.expectAgreement();
    expect(cluster.member(3).group.configuration.voters.length).toBe(3);
    change("remove", 1);
    cluster.member(1).endLife();
    cluster.pass(2 * ELECTION_MS);
    change("remove", (cluster.leader as DrivenMember).number === 2 ? 3 : 2);
    for (const call of calls) expect(call.code).toBe("ok");
    const [last] = [...cluster.members.values()].filter(({ removals }) => removals === 0);
    expect(last?.group.machine.removedMembers().length).toBe(2);
    expect(last?.group.isLeader).toBe(true);
  });
});
