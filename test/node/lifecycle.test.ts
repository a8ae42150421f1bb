/** How groups begin and end: readiness, leadership handed over, removal, stops at any point. */
import { describe, expect, test } from "bun:test";
import { AetherError } from "../../src/base/errors.ts";
import { DrivenCluster, ELECTION_MS } from "./driven-cluster.ts";
import {
  type Call,
  Companion,
  DrivenGroup,
  MEMBER,
  PEER,
  putBody,
  REQUEST_TIMEOUT_MS,
  TICK_MS,
} from "./driven-group.ts";
import type { DrivenMember } from "./driven-member.ts";
import { Watched } from "./watched.ts";

/** Whether `promise` is resolved when everything that can run now has run. */
async function isResolved(promise: Promise<void>): Promise<boolean> {
  let resolved = false;
  void promise.then(() => {
    resolved = true;
  });
  await Promise.resolve();
  await Promise.resolve();
  return resolved;
}

describe("a member is ready", () => {
  test("when it hears its leader, also if there was nothing left to apply", async () => {
    const { cluster, leader } = DrivenCluster.leading();
    leader.put("a", "1");
    cluster.pass(TICK_MS);
    const follower = cluster.others(leader)[0] as DrivenMember;
    follower.group.stop();
    await follower.log.close();
    await follower.store.close();
    follower.boot();
    expect(follower.group.appliedIndex).toBe(leader.group.appliedIndex);
    const ready = follower.group.whenReady();
    follower.group.start();
    expect(await isResolved(ready)).toBe(false);
    cluster.pass(2 * TICK_MS);
    expect(follower.group.isReady).toBe(true);
    expect(await isResolved(ready)).toBe(true);
    expect(await isResolved(follower.group.whenReady())).toBe(true);
  });

  test("in order: who waits for an index is called when it is applied, by Raft too", () => {
    const { cluster, leader } = DrivenCluster.leading();
    const follower = cluster.others(leader)[0] as DrivenMember;
    const start = follower.group.appliedIndex;
    const seen: string[] = [];
    follower.group.whenApplied(start, () => seen.push("now"));
    follower.group.whenApplied(start + 2, () => {
      seen.push(`second at ${follower.group.appliedIndex - start}`);
      follower.group.whenApplied(start + 3, () => seen.push("asked inside"));
    });
    follower.group.whenApplied(start + 1, () => seen.push("first"));
    expect(seen).toEqual(["now"]);
    for (let i = 0; i < 3; i++) {
      leader.put("a", String(i));
      cluster.settle();
    }
    expect(seen).toEqual(["now", "first", "second at 2", "asked inside"]);
  });

  test("for what it had applied before it was started", () => {
    const driven = DrivenGroup.leading();
    driven.put("a");
    driven.settle();
    driven.tick();
    driven.settle();
    driven.store.sync();
    const { appliedIndex } = driven.group;
    driven.crash();
    driven.boot();
    let called = 0;
    driven.group.whenApplied(appliedIndex, () => called++);
    expect(called).toBe(1);
    driven.group.whenApplied(appliedIndex + 1, () => called++);
    expect(called).toBe(1);
  });

  test("not for what the machine has applied and Raft has not been told of", () => {
    const driven = DrivenGroup.leading();
    driven.put("a");
    driven.endTurn();
    driven.put("b");
    driven.endTurn();
    const last = driven.group.appliedIndex + 2;
    const seen: string[] = [];
    driven.group.propose(1, new Uint8Array([0x0a, 1, 97]), 0, 3, () => {
      driven.group.whenApplied(last, () => seen.push("applied"));
      expect(seen).toEqual([]);
    });
    driven.settle();
    expect(seen).toEqual(["applied"]);
  });
});

describe("handing over", () => {
  test("goes to the best voter at any moment of an election timeout", () => {
    for (let ticks = 0; ticks < 12; ticks++) {
      const { cluster, leader } = DrivenCluster.leading();
      cluster.pass(2 * ELECTION_MS + ticks * TICK_MS);
      cluster.tick(); // the others were asked, and have not answered
      let done = 0;
      leader.group.handOver(() => done++);
      cluster.settle();
      expect([ticks, done, leader.group.isLeader]).toEqual([ticks, 1, false]);
      expect(cluster.leader).not.toBe(leader);
    }
  });

  test("prefers who has the most of the log, and leaves out who is silent or learns", () => {
    const { cluster, leader } = DrivenCluster.leading({ members: 5 });
    const [slow, silent, best] = cluster.others(leader) as [
      DrivenMember,
      DrivenMember,
      DrivenMember,
      DrivenMember,
    ];
    const last = cluster.others(leader)[3] as DrivenMember;
    slow.logStalls = true;
    last.logStalls = true;
    silent.crash();
    cluster.newcomer(9);
    cluster.change(leader, "learn", 9);
    for (let i = 0; i < 2 * ELECTION_MS; i += TICK_MS) cluster.pass(TICK_MS);
    last.logStalls = false;
    cluster.pass(TICK_MS);
    last.logStalls = true;
    const put = leader.put("a", "1"); // on two of five: not decided
    cluster.settle();
    expect(put.code).toBe("waiting");
    let done = false;
    leader.group.handOver(() => {
      done = true;
    });
    slow.logStalls = false;
    last.logStalls = false;
    cluster.settle();
    expect([done, cluster.leader?.number, put.code]).toEqual([true, best.number, "ok"]);
  });

  test("ends at once where nobody could take it", () => {
    const alone = DrivenGroup.leading();
    let done = 0;
    alone.group.handOver(() => done++);
    const { cluster, leader } = DrivenCluster.leading();
    const follower = cluster.others(leader)[0] as DrivenMember;
    follower.group.handOver(() => done++);
    expect(done).toBe(2);
    follower.group.stop();
    follower.group.handOver(() => done++);
    leader.group.stop();
    leader.group.handOver(() => done++);
    expect(done).toBe(4);
  });

  test("ends when the heir does not take it, and the leader leads on", () => {
    const { cluster, leader } = DrivenCluster.leading();
    cluster.network.hold(({ what }) => what === "timeout-now");
    let done = 0;
    leader.group.handOver(() => done++);
    leader.group.handOver(() => done++); // to the same, under way
    const put = leader.put("a", "1");
    cluster.pass(ELECTION_MS - TICK_MS);
    expect([done, put.code]).toEqual([0, "waiting"]);
    cluster.pass(2 * TICK_MS);
    expect([done, leader.group.isLeader, put.code]).toEqual([2, true, "ok"]);
  });

  test("ends when the heir dies on its way and nobody else can lead", () => {
    const { cluster, leader } = DrivenCluster.leading({ members: 2 });
    const heir = cluster.others(leader)[0] as DrivenMember;
    let done = 0;
    leader.group.handOver(() => done++);
    for (let i = 0; leader.group.isLeader && i < 100; i++) {
      heir.work();
      leader.work();
      cluster.network.move(() => true);
    }
    heir.crash();
    cluster.pass(ELECTION_MS);
    expect(leader.group.leader).toBe(0n as typeof leader.id);
    cluster.pass(2 * ELECTION_MS);
    expect(done).toBe(1);
  });

  test("to another than asked before still ends both", () => {
    const { cluster, leader } = DrivenCluster.leading();
    const [one, two] = cluster.others(leader) as [DrivenMember, DrivenMember];
    one.paused = true;
    leader.group.transferLeadership(one.id);
    leader.put("a"); // waits: leadership is being handed over
    cluster.settle();
    let done = 0;
    leader.group.handOver(() => done++);
    leader.group.transferLeadership(two.id);
    cluster.settle();
    expect([done, cluster.leader]).toEqual([1, two]);
  });
});

describe("a member that is removed", () => {
  test("is told once, as a follower or as a learner that hears of it", () => {
    const { cluster, leader } = DrivenCluster.leading({ members: 4 });
    const follower = cluster.others(leader)[0] as DrivenMember;
    const learner = cluster.newcomer(9);
    expect(cluster.change(leader, "learn", 9).code).toBe("waiting");
    cluster.pass(ELECTION_MS);
    expect(learner.group.isReady).toBe(true);
    expect(learner.removals).toBe(0);
    for (const member of [follower, learner]) {
      const call = cluster.change(leader, "remove", member.number);
      cluster.settle();
      expect(call.code).toBe("ok");
      cluster.pass(3 * ELECTION_MS);
      expect(member.removals).toBe(1);
    }
    expect(leader.removals).toBe(0);
  });

  test("leads until the others know, and is told then", () => {
    const { cluster, leader } = DrivenCluster.leading();
    const [one, two] = cluster.others(leader) as [DrivenMember, DrivenMember];
    one.logStalls = true;
    const call = cluster.change(leader, "remove", leader.number);
    cluster.settle();
    expect([call.code, leader.removals]).toEqual(["ok", 0]);
    expect(leader.group.isLeader).toBe(true);
    one.logStalls = false;
    cluster.settle();
    cluster.pass(ELECTION_MS);
    expect(leader.removals).toBe(1);
    leader.crash();
    const put = two.put("a", "1");
    cluster.pass(2 * ELECTION_MS);
    expect(put.code).toBe("ok");
    expect(cluster.leader?.group.configuration.voters).toEqual([one.id, two.id]);
  });

  test("is told at its next start if it ended before it could act", () => {
    const { cluster, leader } = DrivenCluster.leading();
    const follower = cluster.others(leader)[0] as DrivenMember;
    cluster.change(leader, "remove", follower.number);
    cluster.pass(2 * TICK_MS);
    expect(follower.removals).toBe(1);
    expect(follower.stateDisk.durableIndex).toBe(follower.group.appliedIndex);
    follower.crash();
    follower.start();
    expect(follower.removals).toBe(2);
    cluster.pass(ELECTION_MS);
    expect(follower.removals).toBe(2);
  });

  test("is not taken for removed before it was added", () => {
    const { cluster, leader } = DrivenCluster.leading();
    const newcomer = cluster.newcomer(4);
    cluster.pass(ELECTION_MS);
    newcomer.crash();
    newcomer.start();
    cluster.pass(ELECTION_MS);
    expect(newcomer.removals).toBe(0);
    cluster.change(leader, "add", 4);
    cluster.pass(ELECTION_MS);
    expect([newcomer.removals, newcomer.group.isReady]).toEqual([0, true]);
  });
});

/** Puts `count` keys in one entry; the first one's answer does `act`. */
function stopInside(driven: DrivenGroup, count: number, act: () => void): Call[] {
  driven.group.propose(1, new Uint8Array([0x0a, 1, 97]), 0, 3, act);
  return Array.from({ length: count }, (_, i) => driven.put(`b${i}`, "1"));
}

describe("a group that was stopped", () => {
  test("answers renewals that wait, and takes none", () => {
    const driven = new DrivenGroup({ voters: [MEMBER, PEER] });
    driven.group.start();
    const answers: unknown[] = [];
    driven.group.renewLease(1n, (ttl) => answers.push(ttl));
    driven.endTurns();
    driven.group.stop();
    driven.group.leaseLife(1n, (life) => answers.push(life));
    const codes = answers.map((answer) => (answer instanceof AetherError ? answer.code : answer));
    expect(codes).toEqual(["stopped", "stopped"]);
  });

  test("hears, takes and sends nothing more", () => {
    const { cluster, leader } = DrivenCluster.leading();
    const follower = cluster.others(leader)[0] as DrivenMember;
    const watcher = new Watched(follower.group, 2);
    leader.put("a", "1");
    cluster.settle();
    follower.logStalls = true;
    leader.put("b", "2");
    cluster.settle();
    expect(follower.log.pendingCount).toBeGreaterThan(0);
    const late = new Watched(follower.group, 2);
    follower.group.stop();
    cluster.network.lose(() => true);
    const { term, appliedIndex } = follower.group;
    const envelope = { from: leader.id, to: follower.id, term: term + 1 };
    follower.group.receive([{ type: "heartbeat", ...envelope, commit: 0, round: 0 }]);
    follower.group.unreachable(leader.id);
    follower.group.proposalRefused(1, new AetherError("not_leader"));
    follower.logStalls = false;
    follower.work();
    for (let i = 0; i < 30; i++) follower.tick();
    follower.group.wakeHub();
    follower.work();
    const { group } = follower;
    expect([group.term, group.appliedIndex]).toEqual([term, appliedIndex]);
    expect([watcher.events.length, late.events]).toEqual([1, []]);
    const sent = cluster.network.waiting.filter(({ what }) => what !== "append-response");
    expect(sent).toEqual([]);
    let answer = "";
    group.receiveSnapshot(
      {
        type: "snapshot",
        from: leader.id,
        to: follower.id,
        term,
        meta: { index: 99, term, configuration: group.configuration },
      },
      (error) => {
        answer = error?.code ?? "ok";
      },
    );
    expect(answer).toBe("stopped");
  });
});

describe("what an answer leads to", () => {
  test("waits until everything before it is done: entries are not applied inside another", () => {
    const driven = new DrivenGroup({
      voters: [MEMBER, PEER],
      raft: { committedBytesMax: 1 }, // one entry is handed out at a time
    });
    const companion = new Companion(driven);
    driven.group.start();
    companion.elect();
    companion.settle();
    const order: string[] = [];
    const body = putBody("big", "x".repeat(1_100_000));
    driven.group.propose(1, new Uint8Array([0x0a, 1, 97]), 0, 3, () => {
      driven.group.propose(1, body, 0, body.length, () => order.push("third")); // leaves at once
      order.push("first");
    });
    driven.endTurns();
    driven.group.propose(1, new Uint8Array([0x0a, 1, 98]), 0, 3, () => order.push("second"));
    companion.settle();
    expect(order).toEqual(["first", "second", "third"]);
  });
});

describe("the watch hub", () => {
  test("catches up a step a turn, however often it is woken", () => {
    const driven = DrivenGroup.leading();
    for (let i = 0; i < 3000; i++) driven.put("a", String(i));
    driven.settle();
    const watcher = new Watched(driven.group, 2);
    let steps = 0;
    driven.endTurns();
    expect(watcher.revisions.length).toBe(driven.group.machine.revision - 1);
    new Watched(driven.group, 2);
    const { hub } = driven.group;
    const step = hub.step.bind(hub);
    hub.step = () => {
      steps++;
      step();
    };
    for (let turn = 1; hub.hasWork; turn++) {
      driven.group.wakeHub();
      driven.put("b");
      driven.endTurn();
      expect(steps).toBe(turn);
    }
    expect(steps).toBeGreaterThan(2);
  });
});

describe("a tick", () => {
  test("tells watchers that nothing happened, now and then", () => {
    const driven = DrivenGroup.leading();
    driven.put("a");
    driven.settle();
    const watcher = new Watched(driven.group);
    driven.tick(11 * 60_000); // etcd's interval is ten minutes
    expect(watcher.marks).toEqual([2]);
  });

  test("forgets keys that are gone, thousands at a time", () => {
    const driven = DrivenGroup.leading();
    for (let i = 0; i < 3000; i++) driven.put(`k${i}`);
    driven.settle();
    for (let i = 0; i < 3000; i++) driven.delete(`k${i}`);
    driven.settle();
    const { machine } = driven.group;
    driven.compact(machine.revision);
    driven.settle();
    expect(machine.sweep(0)).toBe(true);
    driven.pass(3 * TICK_MS);
    expect(machine.sweep(0)).toBe(false);
  });
});

describe("what is sent to a member that cannot be reached", () => {
  test("is one append at a time, until it answers", () => {
    const driven = new DrivenGroup({ voters: [MEMBER, PEER] });
    const companion = new Companion(driven);
    driven.group.start();
    companion.elect();
    companion.settle();
    const appends = (): number => {
      driven.sent.length = 0;
      for (let i = 0; i < 3; i++) {
        driven.put("a", String(i));
        driven.endTurns();
      }
      return driven.sent.filter(({ type }) => type === "append").length;
    };
    expect(appends()).toBe(3);
    companion.settle();
    driven.group.unreachable(PEER);
    expect(appends()).toBe(1);
  });
});

describe("a stop in the middle of", () => {
  test("an entry leaves no half of it in the store", () => {
    for (const count of [1, 600]) {
      const driven = DrivenGroup.leading();
      driven.put("before"); // applied, and not handed to the store yet
      driven.settle();
      const calls = stopInside(driven, count, () => {
        driven.group.stop();
        void driven.store.close(); // nothing is written after this
      });
      driven.endTurn();
      driven.syncLog();
      expect(calls.map(({ code }) => code)).not.toContain("waiting");
      driven.tick();
      driven.store.sync();
      driven.crash();
      driven.boot();
      driven.group.start();
      driven.settle();
      expect(driven.contents().length).toBe(count + 2);
      expect(driven.group.machine.revision).toBe(count + 3);
    }
  });

  test("a tick asks nothing of the stores afterwards", () => {
    const driven = DrivenGroup.leading({ snapshotTriggerEntries: 4 });
    for (let i = 0; i < 20; i++) {
      driven.put("a", String(i));
      driven.settle();
    }
    driven.compact(3);
    driven.group.propose(1, new Uint8Array([0x0a, 1, 98]), 0, 3, () => {
      driven.group.stop();
      void driven.store.close();
    });
    driven.endTurn();
    driven.clock.nowMs += REQUEST_TIMEOUT_MS;
    driven.group.tick(); // its call has waited for too long: the answer stops the group
    driven.tick(1000);
    expect(driven.log.pendingCount).toBeGreaterThan(0);
  });

  test("a change of leaders applies nothing afterwards", () => {
    const { cluster, leader } = DrivenCluster.leading();
    let done = 0;
    leader.group.handOver(() => {
      done++;
      leader.group.stop();
      void leader.store.close();
    });
    cluster.others(leader)[0]?.put("a", "1");
    cluster.pass(TICK_MS);
    expect(done).toBe(1);
    const applied = leader.group.appliedIndex;
    cluster.pass(ELECTION_MS);
    expect(leader.group.appliedIndex).toBe(applied);
  });

  test("proposing again what was lost with a leader proposes nothing", () => {
    const { cluster, leader } = DrivenCluster.leading();
    cluster.isolate(leader);
    const change = cluster.change(leader, "learn", 9, () => leader.group.stop());
    const put = leader.put("b", "2");
    cluster.settle();
    cluster.elect(leader);
    cluster.network.heal();
    cluster.network.hold(({ what }) => what === "batch");
    cluster.pass(ELECTION_MS);
    expect([change.code, put.code]).toEqual(["leader_changed", "stopped"]);
    expect(cluster.network.waiting).toEqual([]);
  });
});
