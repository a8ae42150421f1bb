/** A group between its stores, one event at a time: what is answered, when, and what is not. */
import { describe, expect, test } from "bun:test";
import { asBuffer } from "../../src/base/bytes.ts";
import { AetherError } from "../../src/base/errors.ts";
import { READS_WAITING_MAX } from "../../src/node/reads.ts";
import { Member, RangeRequest } from "../../src/proto/gen/etcdserverpb.ts";
import { encodeChange } from "../../src/raft/membership/codec.ts";
import type { MessageOf } from "../../src/raft/message.ts";
import { batchSequence, CommandKind } from "../../src/state/command.ts";
import { encoded } from "../state/driver.ts";
import {
  Call,
  Companion,
  DrivenGroup,
  LEADER_WAIT_MS,
  MEMBER,
  PEER,
  putBody,
  REQUEST_TIMEOUT_MS,
  TICK_MS,
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
    driven.syncLog();
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
    driven.syncLog();
    expect(call.code).toBe("ok");
  });

  test("of later turns follow while an earlier write is under way, and share its fsync", () => {
    const driven = DrivenGroup.leading();
    const first = driven.put("a", "1");
    driven.endTurn();
    const second = driven.put("a", "2");
    driven.endTurn();
    expect(driven.log.pendingCount).toBe(2);
    driven.syncLog(1);
    expect([first.code, second.code]).toEqual(["ok", "waiting"]);
    driven.syncLog(1);
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
      driven.syncLog();
      code = call.code;
    }
    expect(code).toBe("too_many_requests");
    expect(count).toBeGreaterThan(90); // 128 MiB
    expect(driven.propose(CommandKind.leaseGrant, new Uint8Array(0)).code).toBe(
      "too_many_requests",
    );
    driven.settle();
    const call = driven.put("a", "");
    driven.settle();
    expect(call.code).toBe("ok");
  });
});

describe("while the state store is far behind", () => {
  test("leases end and are revoked still, up to a tenth more", () => {
    const driven = DrivenGroup.leading();
    for (const id of [1n, 2n]) driven.grant(id, 2);
    driven.grant(3n, 60);
    driven.settle();
    const put = (): string => {
      const call = driven.put("a", "x".repeat(1_400_000));
      driven.endTurns();
      driven.syncLog();
      return call.code;
    };
    for (let i = 0; put() === "ok"; i++) expect(i).toBeLessThan(200);
    const revoke = driven.revoke(3n);
    driven.tick(2000);
    driven.endTurns();
    driven.syncLog();
    expect([revoke.code, driven.group.machine.leaseCount, put()]).toEqual([
      "ok",
      0,
      "too_many_requests",
    ]);
    driven.settle();
    expect(put()).toBe("ok");
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
    driven.syncLog(2);
    expect([driven.group.isLeader, driven.group.isReady]).toEqual([true, false]);
    const reads = [driven.read(), driven.read()];
    driven.endTurn();
    expect(reads.map(({ code }) => code)).toEqual(["waiting", "waiting"]);
    driven.syncLog();
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

  test("without a leader wait for one, but not for ever", () => {
    const lonely = new DrivenGroup({ voters: TWO });
    lonely.group.start();
    const read = lonely.read();
    lonely.endTurns();
    lonely.tick(LEADER_WAIT_MS - TICK_MS);
    expect(read.code).toBe("waiting");
    lonely.tick(2 * TICK_MS);
    expect(read.code).toBe("no_leader");
  });

  test("are refused when too many wait, and answered when they can be", () => {
    const lonely = new DrivenGroup({ voters: TWO });
    lonely.group.start();
    let answered = 0;
    for (let i = 0; i < READS_WAITING_MAX; i++) lonely.group.read(() => answered++);
    expect([lonely.read().code, answered]).toEqual(["too_many_requests", 0]);
    lonely.endTurns();
    expect([lonely.read().code, answered]).toEqual(["too_many_requests", 0]);
    lonely.tick(LEADER_WAIT_MS + TICK_MS);
    expect([answered, lonely.read().code]).toEqual([READS_WAITING_MAX, "waiting"]);
  });

  test("that Raft will not take are refused, those before them go on", () => {
    const driven = new DrivenGroup({ voters: TWO, raft: { readsWaitingMax: 1 } });
    const companion = new Companion(driven);
    driven.group.start();
    companion.elect();
    const [first, same] = [driven.read(), driven.read()]; // of one turn: one question
    driven.endTurns();
    const second = driven.read();
    driven.endTurns();
    expect([first, same, second].map(({ code }) => code)).toEqual([
      "waiting",
      "waiting",
      "too_many_requests",
    ]);
    companion.settle();
    expect([first, same].map(({ code }) => code)).toEqual(["ok", "ok"]);
  });

  test("that nobody confirms time out", () => {
    const driven = new DrivenGroup();
    driven.group.start();
    driven.syncLog(2);
    const read = driven.read();
    driven.endTurn();
    driven.tick(REQUEST_TIMEOUT_MS - 100);
    expect(read.code).toBe("waiting");
    driven.tick(200);
    expect(read.code).toBe("timeout");
    driven.settle(); // the grant that comes now finds nobody
  });

  test("of a leader wait for a round, and for its successor when it is deposed", () => {
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
    expect(lost.code).toBe("waiting");
    const asked = driven.sent.filter(({ type }) => type === "read-index").at(-1);
    expect(asked).toMatchObject({ to: PEER, term: driven.group.term });
    const { sequence } = asked as MessageOf<"read-index">;
    const envelope = { from: PEER, to: MEMBER, term: driven.group.term };
    const { appliedIndex: index } = driven.group;
    driven.group.receive([{ type: "read-index-response", ...envelope, sequence, index }]);
    driven.endTurns();
    expect(lost.code).toBe("ok");
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

  test("a proposal without a leader waits for one, but not for ever", () => {
    const driven = new DrivenGroup({ voters: TWO });
    const companion = new Companion(driven);
    driven.group.start();
    const early = driven.put("a", "1");
    driven.endTurns();
    expect(early.code).toBe("waiting");
    companion.elect();
    companion.settle();
    expect(early.code).toBe("ok");
    const lonely = new DrivenGroup({ voters: TWO });
    lonely.group.start();
    const late = lonely.put("a");
    lonely.endTurns();
    lonely.tick(LEADER_WAIT_MS + TICK_MS);
    expect(late.code).toBe("no_leader");
  });

  test("proposals that wait for a leader are bounded by their bytes", () => {
    const lonely = new DrivenGroup({ voters: TWO });
    lonely.group.start();
    const calls: Call[] = [];
    for (let i = 0; i < 100; i++) {
      calls.push(lonely.put("a", "x".repeat(1_400_000)));
      lonely.endTurns();
    }
    const refused = calls.filter(({ code }) => code === "too_many_requests").length;
    expect(refused).toBeGreaterThan(45); // 64 MiB wait
    expect(calls.filter(({ code }) => code === "waiting").length).toBe(100 - refused);
    lonely.tick(LEADER_WAIT_MS + TICK_MS);
    expect(lonely.put("a").code).toBe("waiting");
  });

  test("a proposal goes to the leader of the term, and to the next one if it was not taken", () => {
    const driven = new DrivenGroup({ voters: TWO });
    const companion = new Companion(driven);
    driven.group.start();
    companion.depose();
    const call = driven.put("a", "1");
    driven.settle();
    const [first] = driven.transport.proposals.splice(0);
    expect([first?.to, first?.term]).toEqual([PEER, driven.group.term]);
    const refused = batchSequence(asBuffer(first?.payload ?? new Uint8Array(0)));
    driven.group.proposalRefused(refused, new AetherError("not_leader"));
    expect([call.code, driven.transport.proposals.length]).toEqual(["waiting", 0]);
    driven.tick();
    const [second] = driven.transport.proposals.splice(0);
    const again = batchSequence(asBuffer(second?.payload ?? new Uint8Array(0)));
    expect(again).not.toBe(refused);
    driven.group.proposalRefused(refused, new AetherError("not_leader")); // repeated, late
    driven.tick();
    expect(driven.transport.proposals).toEqual([]);
    driven.group.proposalRefused(again, new AetherError("too_many_requests"));
    expect(call.code).toBe("too_many_requests");
    expect(driven.group.leaderChanges).toBe(1);
  });

  test("a proposal that was lost with its leader is made again by the next one, once", () => {
    const driven = new DrivenGroup({ voters: TWO });
    const companion = new Companion(driven);
    driven.group.start();
    companion.elect();
    companion.settle();
    const call = driven.put("a", "1");
    driven.settle(); // durable here, not at the other
    const lost = driven.group.machine.appliedIndex + 1;
    companion.depose();
    const { term } = driven.group;
    const envelope = { from: PEER, to: MEMBER, term };
    const entry = { index: lost, term, kind: "noop", payload: new Uint8Array(0) } as const;
    const before = { prevIndex: lost - 1, prevTerm: driven.group.machine.appliedTerm };
    driven.group.receive([
      { type: "append", ...envelope, ...before, commit: lost, entries: [entry] },
    ]);
    driven.settle();
    expect(call.code).toBe("waiting");
    const given = driven.transport.proposals.splice(0);
    expect(given.map(({ to, term: of }) => [to, of])).toEqual([[PEER, term]]);
    const payload = given[0]?.payload ?? new Uint8Array(0);
    const second = { index: lost + 1, term, kind: "normal", payload } as const;
    const after = { prevIndex: lost, prevTerm: term };
    driven.group.receive([
      { type: "append", ...envelope, ...after, commit: lost + 1, entries: [second] },
    ]);
    driven.settle();
    expect(call.result().revision).toBe(2);
    expect(driven.contents()).toEqual(["a=1"]);
  });

  test("a proposal whose fate is not known in time says so", () => {
    const driven = new DrivenGroup({ voters: TWO });
    const companion = new Companion(driven);
    driven.group.start();
    companion.elect();
    const call = driven.put("a", "1");
    driven.settle();
    companion.depose();
    driven.tick(REQUEST_TIMEOUT_MS);
    expect(call.code).toBe("timeout_leader_failure");
  });

  test("a proposal that an answer led to be placed is not placed a second time", () => {
    const driven = new DrivenGroup({ raft: { uncommittedBytesMax: 1000 } });
    driven.group.start();
    const [big, tooMuch] = ["a", "b"].map((key) => {
      const call = driven.put(key, "x".repeat(600));
      driven.endTurn();
      return call;
    });
    let changes = 0;
    driven.group.propose(
      1,
      putBody("c", "x".repeat(600)),
      0,
      putBody("c", "x".repeat(600)).length,
      () => {
        changes++;
        driven.group.proposeChange({ steps: [] }, 8, new Uint8Array(0), () => changes++);
      },
    );
    driven.endTurn();
    const small = driven.put("d", "1");
    driven.endTurn();
    driven.log.sync(); // it leads now; the end of the turn would tell it
    driven.group.tick();
    driven.settle();
    expect([big?.code, tooMuch?.code, small.code]).toEqual(["ok", "too_many_requests", "ok"]);
    expect(changes).toBe(2);
    expect(driven.group.machine.revision).toBe(3);
  });

  test("where forwarding is off, a follower refuses proposals", () => {
    const driven = new DrivenGroup({ voters: TWO, forward: false });
    driven.group.start();
    new Companion(driven).depose();
    const call = driven.put("a");
    driven.settle();
    expect(call.code).toBe("not_leader");
  });
});

describe("a change of the membership", () => {
  const change = { steps: [{ action: "add-learner", id: 9n as typeof PEER }] } as const;
  const body = encoded(Member, { ID: 9n, peerURLs: ["http://m9:2380"], isLearner: true });

  function propose(driven: DrivenGroup): Call {
    const call = new Call();
    driven.group.proposeChange(change, CommandKind.memberAdd, body, call.done);
    return call;
  }

  test("that does not fit when it is applied changes nothing, and its record neither", () => {
    const driven = new DrivenGroup({ voters: TWO });
    const companion = new Companion(driven);
    driven.group.start();
    companion.elect();
    companion.settle();
    const call = propose(driven);
    driven.settle(); // durable here, not at the other
    const { appliedIndex, appliedTerm } = driven.group.machine;
    const ours = driven.logDisk.entries.at(-1)?.payload ?? new Uint8Array(0);
    companion.depose();
    const { term } = driven.group;
    const steps = [{ action: "add-learner", id: 8n as typeof PEER }] as const;
    const joint = { transition: "joint-manual", steps, context: new Uint8Array(0) } as const;
    const entries = [encodeChange(joint), ours].map((payload, i) => {
      return { index: appliedIndex + 1 + i, term, kind: "config" as const, payload };
    });
    const envelope = { from: PEER, to: MEMBER, term };
    const before = { prevIndex: appliedIndex, prevTerm: appliedTerm };
    const commit = appliedIndex + entries.length;
    driven.group.receive([{ type: "append", ...envelope, ...before, commit, entries }]);
    driven.settle();
    expect(call.code).toBe("leader_changed");
    expect(driven.group.machine.member(9n)).toBeUndefined();
    expect(driven.group.configuration.learners).toEqual([8n as typeof PEER]);
    expect(driven.group.appliedIndex).toBe(commit);
    expect([driven.group.pendingProposals, driven.group.failedProposals]).toEqual([0, 1]);
  });

  test("is refused while too much waits, and after the stop, and counted as such", () => {
    const driven = DrivenGroup.leading();
    for (let i = 0; i < 110; i++) {
      driven.put("a", "x".repeat(1_400_000));
      driven.endTurns();
      driven.syncLog(); // and the state store is not
    }
    const { failedProposals } = driven.group;
    expect(propose(driven).code).toBe("too_many_requests");
    driven.settle();
    expect(driven.group.failedProposals).toBe(failedProposals + 1);
    driven.group.stop();
    expect(propose(driven).code).toBe("stopped");
    expect(driven.group.failedProposals).toBe(failedProposals + 2);
    expect(driven.group.machine.members()).toEqual([]);
  });
});

describe("stop", () => {
  test("answers everything that waits, and nothing twice", () => {
    const driven = new DrivenGroup();
    driven.group.start();
    driven.syncLog(2);
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
    driven.syncLog();
    const answers: string[] = [];
    driven.group.compactor.whenRemoved(2, (error) => answers.push(error?.code ?? "done"));
    driven.group.stop();
    driven.group.compactor.whenRemoved(2, (error) => answers.push(error?.code ?? "done"));
    driven.store.store();
    expect(answers).toEqual(["stopped", "stopped"]);
  });
});
