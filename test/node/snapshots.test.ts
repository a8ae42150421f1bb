/** A member that the log cannot help any more is given the state: whatever happens meanwhile. */
import { describe, expect, test } from "bun:test";
import type { AetherError } from "../../src/base/errors.ts";
import { configurationOf } from "../../src/raft/membership/configuration.ts";
import type { MessageOf } from "../../src/raft/message.ts";
import { MemoryHeldState } from "../../src/storage/memory-state.ts";
import { DrivenCluster, ELECTION_MS, idOf } from "./driven-cluster.ts";
import { TICK_MS } from "./driven-group.ts";
import type { DrivenMember } from "./driven-member.ts";
import {
  CLOSE_CUT,
  farBehind,
  isInstalling,
  untilCopyLeaves,
  untilTaken,
  writeMany,
} from "./far-behind.ts";

describe("a follower that is too far behind for the log", () => {
  test("is given the state, and goes on with the log", () => {
    const { cluster, leader, behind } = farBehind();
    cluster.network.heal();
    cluster.pass(2 * ELECTION_MS);
    expect(behind.logDisk.snapshot?.index).toBeGreaterThan(20);
    writeMany(cluster, leader, 3);
    cluster.expectAgreement();
    expect(behind.receives).toBe(false);
    for (const { store } of cluster.members.values()) expect(store.holdCount).toBe(0);
  });

  test("serves reads and writes while and after it takes the state's copy", () => {
    const where = farBehind();
    untilTaken(where);
    const { cluster, behind } = where;
    const put = behind.put("meanwhile", "1");
    const read = behind.read();
    cluster.settle();
    expect(read.code).toBe("waiting"); // what it must see is not applied here
    behind.logStalls = false;
    cluster.pass(TICK_MS);
    expect([put.code, read.code]).toEqual(["ok", "ok"]);
    cluster.expectAgreement();
  });

  test("does not know what became of batches that the copy may hold, and says so", () => {
    const { cluster, leader } = DrivenCluster.leading(CLOSE_CUT);
    const behind = cluster.others(leader)[0] as DrivenMember;
    cluster.network.cutOneWay(leader.number, behind.number);
    const put = behind.put("mine", "1");
    behind.work();
    cluster.settle();
    cluster.isolate(behind);
    const unsent = behind.put("unsent", "2"); // placed with the same leader, and lost
    cluster.pass(2 * ELECTION_MS);
    writeMany(cluster, leader, 30);
    expect([put.code, unsent.code]).toEqual(["waiting", "waiting"]);
    cluster.network.heal();
    cluster.pass(ELECTION_MS);
    expect(behind.logDisk.snapshot?.index).toBeGreaterThan(20);
    expect([put.code, unsent.code]).toEqual(["timeout_leader_failure", "timeout_leader_failure"]);
    expect(behind.contents()).toContain("mine=1");
    expect(behind.contents()).not.toContain("unsent=2");
    cluster.expectAgreement();
  });

  test("says that an index is applied when the state is in place, not when Raft took it", () => {
    const where = farBehind();
    untilTaken(where);
    const { cluster, leader, behind } = where;
    let applied = false;
    behind.group.whenApplied(leader.group.appliedIndex, () => {
      applied = true;
    });
    const next = cluster.others(leader).find((member) => member !== behind) as DrivenMember;
    leader.group.transferLeadership(next.id);
    cluster.settle();
    expect([cluster.leader, behind.group.term]).toEqual([next, next.group.term]);
    expect(applied).toBe(false);
    behind.logStalls = false;
    cluster.pass(ELECTION_MS);
    expect(applied).toBe(true);
    cluster.expectAgreement();
  });
});

describe("a copy of the state", () => {
  test("that Raft does not take is not said to have arrived", () => {
    const { leader, behind } = farBehind();
    const [old] = [leader.group.term - 1];
    const meta = { index: 30, term: old, configuration: leader.group.configuration };
    const answers = offer(behind, { from: leader.id, term: old, meta });
    expect(answers).toEqual(["leader_changed"]);
    const others = { ...meta, term: leader.group.term, configuration: configurationOf([idOf(7)]) };
    const envelope = { from: leader.id, term: leader.group.term };
    expect(offer(behind, { ...envelope, meta: others })).toEqual(["leader_changed"]);
  });

  test("that brings nothing new has arrived", () => {
    const { cluster, leader } = farBehind();
    const level = cluster.others(leader)[1] as DrivenMember;
    const { appliedIndex: index, term, configuration } = leader.group;
    const meta = { index, term, configuration };
    expect(offer(level, { from: leader.id, term, meta })).toEqual(["ok"]);
    expect(level.group.appliedIndex).toBe(index);
  });

  test("is not taken among other messages, where no copy comes with it", () => {
    const { cluster, leader, behind } = farBehind();
    const { appliedIndex, term, configuration } = leader.group;
    const meta = { index: appliedIndex, term, configuration };
    behind.group.receive([{ type: "snapshot", from: leader.id, to: behind.id, term, meta }]);
    cluster.settle();
    expect(behind.logDisk.snapshot?.index).toBe(1);
  });

  test("is refused while another one is installed", () => {
    const where = farBehind();
    untilTaken(where);
    const { leader, behind, cluster } = where;
    const { term, configuration, appliedIndex: index } = leader.group;
    const meta = { index, term, configuration };
    expect(offer(behind, { from: leader.id, term, meta })).toEqual(["too_many_requests"]);
    behind.logStalls = false;
    cluster.pass(ELECTION_MS);
    cluster.expectAgreement();
  });
});

type Offer = Pick<MessageOf<"snapshot">, "from" | "term" | "meta">;

function offer(to: DrivenMember, parts: Offer): string[] {
  const answers: string[] = [];
  const done = (error?: AetherError): unknown => answers.push(error?.code ?? "ok");
  to.group.receiveSnapshot({ type: "snapshot", to: to.id, ...parts }, done);
  return answers;
}

describe("a member that stops while it takes a copy", () => {
  test("answers who brought it, and asks nothing more of its stores", async () => {
    const where = farBehind();
    untilCopyLeaves(where);
    const { cluster, behind } = where;
    const answers: string[] = [];
    const { group } = behind;
    const receive = group.receiveSnapshot.bind(group);
    group.receiveSnapshot = (message, done) =>
      receive(message, (error) => {
        answers.push(error?.code ?? "ok");
        done(error);
      });
    behind.logStalls = true;
    cluster.network.heal();
    cluster.pass(2 * TICK_MS);
    expect(isInstalling(where)).toBe(true);
    const old = behind.stateDisk.current.appliedIndex;
    group.stop();
    expect(answers).toEqual(["stopped"]);
    await behind.log.close(); // the log begins after the copy now
    await behind.store.close();
    expect(behind.stateDisk.current.appliedIndex).toBe(old);
    behind.endLife();
    behind.logStalls = false;
    behind.start();
    expect(behind.group.appliedIndex).toBeGreaterThan(old);
    cluster.pass(ELECTION_MS);
    cluster.expectAgreement();
  });
});

describe("a member that is stopped by an answer", () => {
  test("when Raft takes the copy writes what Raft said, and begins with the copy", async () => {
    const { cluster, leader } = DrivenCluster.leading(CLOSE_CUT);
    const behind = cluster.others(leader)[0] as DrivenMember;
    cluster.network.cutOneWay(leader.number, behind.number);
    let closed: Promise<void> | undefined;
    behind.group.propose(1, new Uint8Array([0x0a, 1, 97]), 0, 3, () => {
      behind.group.stop();
      closed = behind.log.close();
    });
    behind.work();
    cluster.settle();
    cluster.isolate(behind);
    cluster.pass(2 * ELECTION_MS);
    writeMany(cluster, leader, 30);
    cluster.network.heal();
    cluster.pass(3 * TICK_MS);
    expect(closed).toBeDefined();
    await closed;
    behind.endLife();
    behind.start();
    expect(behind.group.appliedIndex).toBeGreaterThan(20);
    cluster.pass(ELECTION_MS);
    cluster.expectAgreement();
  });
});

describe("a member that stops while the copy takes its state's place", () => {
  test("looks at nothing any more, and begins with it at its next start", () => {
    const where = farBehind();
    untilTaken(where);
    const { cluster, behind } = where;
    behind.stateStalls = true;
    behind.logStalls = false;
    cluster.settle();
    const { machine, appliedIndex } = behind.group;
    behind.group.stop();
    behind.store.store();
    expect(behind.group.machine).toBe(machine);
    expect(behind.stateDisk.current.appliedIndex).toBeGreaterThan(appliedIndex);
    behind.endLife();
    behind.stateStalls = false;
    behind.start();
    cluster.pass(ELECTION_MS);
    cluster.expectAgreement();
  });
});

describe("a copy on its way", () => {
  test("is not sent to a member it does not know", () => {
    const where = farBehind();
    untilCopyLeaves(where);
    const { cluster, leader } = where;
    cluster.newcomer(4);
    const added = cluster.change(leader, "learn", 4);
    cluster.pass(ELECTION_MS);
    expect(added.code).toBe("ok");
    const heading = (): number[] =>
      cluster.network.waiting.filter(({ what }) => what === "snapshot").map(({ to }) => to);
    expect(heading()).toEqual([where.behind.number]); // what is held is older than the newcomer
    cluster.network.hold(({ what, to }) => what === "snapshot" && to === 4);
    cluster.pass(ELECTION_MS);
    expect(heading()).toEqual([4]);
    cluster.network.heal();
    cluster.pass(2 * ELECTION_MS);
    cluster.expectAgreement();
    expect(cluster.member(4).group.machine.members().length).toBe(4);
  });

  test("of an earlier term says nothing of one of this term", () => {
    const where = farBehind(5);
    untilCopyLeaves(where);
    const { cluster, leader, behind } = where;
    leader.group.receive([
      {
        type: "heartbeat",
        from: behind.id,
        to: leader.id,
        term: leader.group.term + 1,
        commit: 0,
        round: 0,
      },
    ]);
    cluster.settle();
    expect(leader.group.isLeader).toBe(false);
    for (let i = 0; cluster.leader !== leader && i < 40; i++) {
      cluster.leader?.group.transferLeadership(leader.id);
      cluster.pass(TICK_MS);
    }
    cluster.pass(3 * TICK_MS);
    const copies = cluster.network.waiting.filter(({ to }) => to === behind.number);
    expect(copies.map(({ what }) => what)).toEqual(["snapshot", "snapshot"]);
    const sending = leader.group.sendingSnapshots;
    cluster.network.lose((parcel) => parcel === copies[0]);
    cluster.pass(3 * TICK_MS);
    expect(leader.group.sendingSnapshots).toBe(sending - 1); // no third one was begun
    cluster.network.heal();
    cluster.pass(2 * ELECTION_MS);
    cluster.expectAgreement();
  });

  test("ends with the leader, and everything that was held is let go", () => {
    const where = farBehind();
    untilCopyLeaves(where);
    const { cluster, leader } = where;
    expect(leader.store.holdCount).toBe(1);
    leader.group.stop();
    expect(leader.store.holdCount).toBe(0);
    leader.endTurns();
    cluster.network.lose(({ what }) => what === "snapshot");
    expect([leader.store.holdCount, leader.endTurns()]).toEqual([0, false]);
  });
});

test("what is held is what is sent", () => {
  const where = farBehind();
  untilCopyLeaves(where);
  const { cluster, leader } = where;
  let index = 0;
  leader.store.hold((held) => {
    expect(held).toBeInstanceOf(MemoryHeldState);
    index = held.index;
    held.release();
  });
  writeMany(cluster, leader, 3);
  expect(index).toBeGreaterThan(0);
  expect(leader.stateDisk.durableIndex).toBe(index); // checkpoints wait
  cluster.network.heal();
  cluster.pass(2 * ELECTION_MS);
  expect(leader.stateDisk.durableIndex).toBeGreaterThan(index);
});
