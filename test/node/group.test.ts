/** A group between its stores, one event at a time: what is answered, when, and what is not. */
import { describe, expect, test } from "bun:test";
import { RangeRequest } from "../../src/proto/gen/etcdserverpb.ts";
import {
  type Call,
  Companion,
  DrivenGroup,
  MEMBER,
  PEER,
  REQUEST_TIMEOUT_MS,
} from "./driven-group.ts";

const TWO = [MEMBER, PEER];

describe("proposals", () => {
  test("of one turn are one entry, answered in their order", () => {
    const driven = DrivenGroup.leading();
    const before = driven.group.appliedIndex;
    const calls = [driven.put("a", "1"), driven.put("a", "2"), driven.delete("a")];
    expect(driven.group.pendingProposals).toBe(3);
    driven.endTurn();
    expect(driven.log.pendingCount).toBe(1);
    driven.log.sync();
    expect(calls.map((call) => call.result().revision)).toEqual([2, 3, 4]);
    expect(driven.group.appliedIndex).toBe(before + 1);
    expect(driven.group.pendingProposals).toBe(0);
  });

  test("are answered when their write is durable, and not before", () => {
    const driven = DrivenGroup.leading();
    const call = driven.put("a", "1");
    driven.endTurn();
    driven.tick(1000);
    expect(call.code).toBe("waiting");
    expect(driven.contents()).toEqual([]);
    driven.log.sync();
    expect(call.code).toBe("ok");
  });

  test("of later turns follow while an earlier write is under way, and share its fsync", () => {
    const driven = DrivenGroup.leading();
    const first = driven.put("a", "1");
    driven.endTurn();
    const second = driven.put("a", "2");
    driven.endTurn();
    expect(driven.log.pendingCount).toBe(2);
    driven.log.sync(1);
    expect([first.code, second.code]).toEqual(["ok", "waiting"]);
    driven.log.sync(1);
    expect(second.result().revision).toBe(3);
  });

  test("that fill a batch leave before the turn ends, the rest with it", () => {
    const driven = DrivenGroup.leading();
    const big = "x".repeat(700_000);
    const calls = [driven.put("a", big), driven.put("b", big), driven.put("c", big)];
    expect(driven.log.pendingCount).toBe(1);
    driven.endTurn();
    expect(driven.log.pendingCount).toBe(2);
    driven.settle();
    expect(calls.map((call) => call.result().revision)).toEqual([2, 3, 4]);
  });

  test("made by an answer go into the next batch", () => {
    const driven = DrivenGroup.leading();
    let second: Call | undefined;
    driven.group.propose(1, new Uint8Array([0x0a, 1, 97]), 0, 3, () => {
      second = driven.put("b", "");
    });
    driven.settle();
    expect(second?.result().revision).toBe(3);
    expect(driven.contents()).toEqual(["a=", "b="]);
  });

  test("that fail when applied change nothing and disturb nobody beside them", () => {
    const driven = DrivenGroup.leading();
    const calls = [
      driven.put("a", "1"),
      driven.put("a", "", { lease: 99n }),
      driven.put("gone", "", { ignoreValue: true }),
      driven.compact(77),
      driven.revoke(99n),
      driven.put("b", "2"),
    ];
    driven.settle();
    expect(calls.map((call) => call.code)).toEqual([
      "ok",
      "lease_not_found",
      "key_not_found",
      "future_revision",
      "lease_not_found",
      "ok",
    ]);
    expect(driven.contents()).toEqual(["a=1", "b=2"]);
  });

  test("that take too long fail, and may still happen", () => {
    const driven = DrivenGroup.leading();
    const old = driven.put("a", "1");
    driven.endTurn();
    driven.tick(1000);
    const young = driven.put("b", "2");
    driven.endTurn();
    driven.tick(REQUEST_TIMEOUT_MS - 1000);
    expect([old.code, young.code]).toEqual(["timeout", "waiting"]);
    driven.settle();
    expect([old.code, young.code]).toEqual(["timeout", "ok"]);
    expect(driven.group.failedProposals).toBe(1);
    expect(driven.contents()).toEqual(["a=1", "b=2"]);
  });

  test("are refused while the state store is far behind, and taken again later", () => {
    const driven = DrivenGroup.leading();
    const big = "x".repeat(1_400_000);
    let code = "ok";
    let count = 0;
    for (; code === "ok" && count < 200; count++) {
      const call = driven.put("a", big);
      for (; driven.endTurn(); );
      driven.log.sync();
      code = call.code;
    }
    expect(code).toBe("too_many_requests");
    expect(count).toBeGreaterThan(90); // 128 MiB
    driven.settle();
    const call = driven.put("a", "");
    driven.settle();
    expect(call.code).toBe("ok");
  });
});

describe("reads", () => {
  test("run at once when nothing has to be confirmed", () => {
    const driven = DrivenGroup.leading();
    expect(driven.read().code).toBe("ok");
  });

  test("wait until the leader has applied an entry of its term", () => {
    const driven = new DrivenGroup();
    driven.group.start();
    driven.log.sync(2);
    expect([driven.group.isLeader, driven.group.isReady]).toEqual([true, false]);
    const reads = [driven.read(), driven.read()];
    driven.endTurn();
    expect(reads.map(({ code }) => code)).toEqual(["waiting", "waiting"]);
    driven.log.sync();
    expect(reads.map(({ code }) => code)).toEqual(["ok", "ok"]);
  });

  test("see what was answered before they were asked", () => {
    const driven = DrivenGroup.leading();
    let seen: string[] = [];
    driven.group.propose(1, new Uint8Array([0x0a, 1, 97]), 0, 3, () => {
      // Inside the entry: the read must not run before the entry is applied as a whole.
      driven.group.read(() => {
        seen = driven.contents();
      });
    });
    driven.put("b", "2");
    driven.settle();
    expect(seen).toEqual(["a=", "b=2"]);
  });

  test("without a leader fail at once; unconfirmed ones after a while", () => {
    const lonely = new DrivenGroup({ voters: TWO });
    lonely.group.start();
    const early = lonely.read();
    lonely.endTurn();
    expect(early.code).toBe("no_leader");
    const driven = new DrivenGroup();
    driven.group.start();
    driven.log.sync(2);
    const read = driven.read();
    driven.endTurn();
    driven.tick(REQUEST_TIMEOUT_MS - 100);
    expect(read.code).toBe("waiting");
    driven.tick(200);
    expect(read.code).toBe("timeout");
    driven.settle(); // the grant that comes now finds nobody
  });

  test("of a leader among others wait for a round, and fail when it is deposed", () => {
    const driven = new DrivenGroup({ voters: TWO });
    const companion = new Companion(driven);
    driven.group.start();
    companion.elect();
    companion.settle();
    const confirmed = driven.read();
    driven.endTurn();
    expect(confirmed.code).toBe("waiting");
    companion.settle();
    expect(confirmed.code).toBe("ok");
    const lost = driven.read();
    driven.endTurn();
    companion.depose();
    expect(lost.code).toBe("leader_changed");
  });
});

describe("leadership", () => {
  test("a member alone leads at once and says when it is ready", async () => {
    const driven = new DrivenGroup();
    const ready = driven.group.whenReady();
    driven.group.start();
    driven.settle();
    await ready;
    await driven.group.whenReady();
    expect(driven.group.leader).toBe(MEMBER);
    expect(driven.group.leaderChanges).toBe(1);
  });

  test("without a leader a proposal is refused; with another one too", () => {
    const driven = new DrivenGroup({ voters: TWO });
    const companion = new Companion(driven);
    driven.group.start();
    const early = driven.put("a");
    driven.settle();
    expect(early.code).toBe("no_leader");
    companion.elect();
    companion.depose();
    const late = driven.put("a");
    driven.settle();
    expect(late.code).toBe("not_leader");
    expect(driven.group.leaderChanges).toBe(2);
  });

  test("a proposal that was not committed when leadership went is answered once", () => {
    const driven = new DrivenGroup({ voters: TWO });
    const companion = new Companion(driven);
    driven.group.start();
    companion.elect();
    const call = driven.put("a", "1");
    driven.settle(); // durable here, not at the other
    expect(call.code).toBe("waiting");
    companion.depose();
    driven.tick(REQUEST_TIMEOUT_MS);
    expect(call.code).toBe("timeout");
  });
});

describe("stop", () => {
  test("answers everything that waits, and nothing twice", () => {
    const driven = new DrivenGroup();
    driven.group.start();
    driven.log.sync(2);
    const read = driven.read();
    driven.endTurn();
    const second = driven.read();
    const sent = driven.put("a");
    driven.endTurn();
    const filling = driven.put("b");
    driven.group.stop();
    expect([read.code, second.code]).toEqual(["stopped", "stopped"]);
    expect([sent.code, filling.code]).toEqual(["stopped", "stopped"]);
    expect([driven.put("c").code, driven.read().code]).toEqual(["stopped", "stopped"]);
    expect(driven.group.failedProposals).toBe(3);
    driven.settle();
    driven.group.stop();
  });

  test("nothing is asked of stores that are closing", async () => {
    const driven = DrivenGroup.leading({ snapshotTriggerEntries: 4 });
    for (let i = 0; i < 20; i++) {
      driven.put("a", String(i));
      driven.settle();
    }
    const cursor = driven.group.machine.openRange(RangeRequest.create({ key: "a", revision: 2 }));
    driven.compact(3);
    driven.settle();
    driven.tick(); // a checkpoint is asked for, and not answered yet
    const { firstIndex } = driven.logDisk;
    driven.group.stop();
    await driven.log.close();
    driven.store.store();
    driven.store.sync(); // answers the checkpoint: the log must be left alone
    await driven.store.close();
    cursor.close(); // rows could be removed now
    driven.tick(1000);
    driven.group.wakeHub();
    driven.settle();
    expect(driven.logDisk.firstIndex).toBe(firstIndex);
  });

  test("ends the wait for a physical compaction", () => {
    const driven = DrivenGroup.leading();
    driven.put("a", "1");
    driven.put("a", "2");
    driven.settle();
    driven.compact(2);
    driven.endTurn();
    driven.log.sync();
    const answers: string[] = [];
    driven.group.whenCompacted(2, (error) => answers.push(error?.code ?? "done"));
    driven.group.stop();
    driven.group.whenCompacted(2, (error) => answers.push(error?.code ?? "done"));
    driven.store.store();
    expect(answers).toEqual(["stopped", "stopped"]);
  });
});
