/** Leases of a group: counted by the leader, ended through the log, never early. */
import { describe, expect, test } from "bun:test";
import { AetherError } from "../../src/base/errors.ts";
import { EXPIRY_RETRY_MS } from "../../src/node/lease-clock.ts";
import { Companion, DrivenGroup, ELECTION_TICKS, MEMBER, PEER, TICK_MS } from "./driven-group.ts";

const GRACE_MS = ELECTION_TICKS * TICK_MS;

function granted(...leases: readonly [bigint, number][]): DrivenGroup {
  const driven = DrivenGroup.leading();
  for (const [id, ttl] of leases) driven.grant(id, ttl);
  driven.settle();
  for (const [id] of leases) driven.put(`k${id}`, "", { lease: id });
  driven.settle();
  return driven;
}

/** What a renewal comes to, and has come to when the turn is over. */
function renew(driven: DrivenGroup, id: bigint): (number | string)[] {
  const answers: (number | string)[] = [];
  driven.group.renewLease(id, (ttl) => answers.push(ttl instanceof AetherError ? ttl.code : ttl));
  driven.endTurns();
  return answers;
}

describe("a lease", () => {
  test("ends with its keys when its time is over, each in a revision of its own", () => {
    const driven = granted([1n, 2], [2n, 2], [3n, 60]);
    const { revision } = driven.group.machine;
    driven.pass(1900);
    expect(driven.contents().length).toBe(3);
    driven.pass(200);
    expect(driven.contents()).toEqual(["k3="]);
    expect(driven.group.machine.revision).toBe(revision + 2);
    expect(driven.group.machine.leaseCount).toBe(1);
  });

  test("that is renewed lives on, for the whole of its time", () => {
    const driven = granted([1n, 2]);
    for (let i = 0; i < 5; i++) {
      driven.pass(1500);
      expect(renew(driven, 1n)).toEqual([2]);
    }
    expect(driven.group.expiry.remainingMs(1n, driven.clock.nowMs)).toBe(2000);
    expect(driven.group.expiry.ttlSeconds(1n)).toBe(2);
  });

  test("that is unknown is renewed to 0", () => {
    const driven = granted([1n, 2]);
    expect(renew(driven, 99n)).toEqual([0]);
    expect(driven.group.expiry.remainingMs(99n, 0)).toBeUndefined();
    expect(driven.group.expiry.ttlSeconds(99n)).toBeUndefined();
  });

  test("whose end is under way is not renewed; the answer waits for the end", () => {
    const driven = granted([1n, 2]);
    driven.tick(2000); // proposed, not durable
    driven.endTurn();
    const answers = [renew(driven, 1n), renew(driven, 1n)];
    expect(answers).toEqual([[], []]);
    driven.tick(TICK_MS);
    driven.endTurns();
    expect(answers).toEqual([[], []]);
    driven.settle();
    driven.pass(TICK_MS);
    expect(answers).toEqual([[0], [0]]);
    expect(renew(driven, 1n)).toEqual([0]);
  });

  test("that is revoked while its end is under way ends once", () => {
    const driven = granted([1n, 2]);
    const revoke = driven.revoke(1n); // in the batch before the expiry
    driven.tick(2000);
    const again = driven.grant(1n, 60);
    const late = renew(driven, 1n);
    driven.settle();
    expect([revoke.code, again.code]).toEqual(["ok", "ok"]);
    driven.pass(TICK_MS);
    expect(late).toEqual([60]); // of the lease that has this id now
    expect(driven.group.expiry.ttlSeconds(1n)).toBe(60);
  });

  test("of the same id granted anew has its own time", () => {
    const driven = granted([1n, 2]);
    driven.pass(1500);
    driven.revoke(1n);
    driven.grant(1n, 2);
    driven.settle();
    driven.pass(1500);
    expect(driven.group.machine.hasLease(1n)).toBe(true);
    driven.pass(500);
    expect(driven.group.machine.hasLease(1n)).toBe(false);
  });

  test("of any 64-bit id ends", () => {
    const ids = [-1n, -(2n ** 63n), 2n ** 63n - 1n];
    const driven = granted(...ids.map((id) => [id, 2] as [bigint, number]));
    expect(driven.group.machine.leaseCount).toBe(3);
    driven.pass(2100);
    expect(driven.group.machine.leaseCount).toBe(0);
  });

  test("of the longest time is not taken for one that is over", () => {
    const driven = granted([1n, 9_000_000_000]);
    driven.pass(60_000);
    expect(renew(driven, 1n)).toEqual([9_000_000_000]);
  });
});

describe("many leases", () => {
  test("that end together end in slices, all of them", () => {
    const driven = DrivenGroup.leading();
    for (let id = 1n; id <= 1200n; id++) driven.grant(id, 2);
    driven.settle();
    const before = driven.group.appliedIndex;
    driven.pass(2000);
    expect(driven.group.machine.leaseCount).toBe(700);
    driven.pass(200);
    expect(driven.group.machine.leaseCount).toBe(0);
    expect(driven.group.appliedIndex).toBe(before + 3);
  });
});

describe("an expiry that is lost", () => {
  test("is proposed again", () => {
    const driven = new DrivenGroup({ voters: [MEMBER, PEER] });
    const companion = new Companion(driven);
    driven.group.start();
    companion.elect();
    companion.settle();
    driven.grant(1n, 2);
    companion.settle();
    const tick = (ms: number): void => {
      for (let passed = 0; passed < ms; passed += TICK_MS) {
        driven.tick();
        companion.settle();
      }
    };
    tick(1900);
    const hold = driven.group.expiry;
    hold.tick(driven.clock.nowMs + TICK_MS, driven.group.term - 1); // as of an older term: void
    tick(EXPIRY_RETRY_MS - TICK_MS);
    expect(driven.group.machine.leaseCount).toBe(1);
    tick(3 * TICK_MS);
    expect(driven.group.machine.leaseCount).toBe(0);
  });
});

describe("a change of leaders", () => {
  function leadingOfTwo(): { driven: DrivenGroup; companion: Companion } {
    const driven = new DrivenGroup({ voters: [MEMBER, PEER] });
    const companion = new Companion(driven);
    driven.group.start();
    companion.elect();
    companion.settle();
    driven.grant(1n, 2);
    companion.settle();
    return { driven, companion };
  }

  test("a deposed leader neither counts nor renews: it asks its successor", () => {
    const { driven, companion } = leadingOfTwo();
    for (let ms = 0; ms < 1900; ms += TICK_MS) {
      driven.tick();
      companion.settle();
    }
    companion.depose();
    const waiting = renew(driven, 1n);
    expect(driven.group.expiry.remainingMs(1n, driven.clock.nowMs)).toBeUndefined();
    const [question] = driven.transport.leaseQuestions.splice(0);
    expect([question?.kind, question?.to, question?.ids]).toEqual(["renew", PEER, [1n]]);
    question?.onAnswer([{ id: 1n, leftMs: 2000, ttlSeconds: 2 }]);
    expect(waiting).toEqual([2]);
  });

  test("an expiry decided in one term and proposed in the next does nothing", () => {
    const { driven, companion } = leadingOfTwo();
    driven.group.expiry.tick(driven.clock.nowMs + 2000, driven.group.term);
    companion.depose(); // before the turn ends
    companion.elect();
    companion.settle();
    expect(driven.group.machine.leaseCount).toBe(1);
  });

  test("gives every lease its whole time and an election timeout", () => {
    const { driven, companion } = leadingOfTwo();
    driven.tick(1500);
    companion.settle();
    companion.depose();
    companion.elect();
    const { nowMs } = driven.clock;
    expect(driven.group.expiry.remainingMs(1n, nowMs)).toBe(2000 + GRACE_MS);
    const renewed = renew(driven, 1n);
    companion.settle();
    expect(renewed).toEqual([2]);
    expect(driven.group.expiry.remainingMs(1n, nowMs)).toBe(2000 + GRACE_MS);
  });

  test("as does a restart", () => {
    const driven = granted([1n, 2]);
    driven.pass(1500);
    driven.crash();
    driven.boot();
    driven.group.start();
    driven.settle();
    driven.pass(1900);
    expect(driven.group.machine.leaseCount).toBe(1);
    driven.pass(GRACE_MS + 200);
    expect(driven.group.machine.leaseCount).toBe(0);
  });
});
