/** The small parts by themselves: the tail, the writes, the inflight window, progress, reads. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Prng } from "../../src/base/prng.ts";
import { MemoryTail } from "../../src/raft/log/memory-tail.ts";
import { RaftLog } from "../../src/raft/log/raft-log.ts";
import { Writes } from "../../src/raft/log/writes.ts";
import { Inflights } from "../../src/raft/progress/inflights.ts";
import { Progress } from "../../src/raft/progress/progress.ts";
import { ForwardedReads } from "../../src/raft/reads/forwarded-reads.ts";
import { LeaderReads } from "../../src/raft/reads/leader-reads.ts";
import type { Entry } from "../../src/raft/types.ts";
import { member } from "./cluster.ts";
import { DiskLog } from "./disk-log.ts";

const SEED = 20261120;

function entry(index: number, term = 1, bytes = 1): Entry {
  return { index, term, kind: "normal", payload: new Uint8Array(bytes) };
}

describe("the tail in memory", () => {
  test("behaves as an array does, whatever is appended, cut and dropped", () => {
    const action = fc.oneof(
      fc.record({ do: fc.constant("append" as const), n: fc.integer({ min: 1, max: 400 }) }),
      fc.record({ do: fc.constant("truncate" as const), n: fc.integer({ min: 0, max: 60 }) }),
      fc.record({ do: fc.constant("drop" as const), n: fc.integer({ min: 0, max: 300 }) }),
      fc.record({ do: fc.constant("reset" as const), n: fc.integer({ min: 1, max: 900 }) }),
    );
    fc.assert(
      fc.property(fc.array(action, { maxLength: 12 }), (actions) => {
        const tail = new MemoryTail(5);
        let [first, model]: [number, Entry[]] = [5, []];
        for (const { do: what, n } of actions) {
          const next = first + model.length;
          if (what === "append") {
            for (let i = 0; i < n; i++) {
              tail.append(entry(next + i));
              model.push(entry(next + i));
            }
          } else if (what === "truncate") {
            tail.truncate(next - n);
            if (n > model.length) first = next - n;
            model = n > model.length ? [] : model.slice(0, model.length - n);
          } else if (what === "drop") {
            for (let i = 0; i < n && model.length > 0; i++) {
              tail.dropFront();
              model.shift();
              first++;
            }
          } else {
            tail.reset(n);
            [first, model] = [n, []];
          }
          tail.verify();
          expect([tail.first, tail.last]).toEqual([first, first + model.length - 1]);
        }
        if (model.length > 0) {
          const all = tail.slice(first, first + model.length, Infinity);
          expect(all.map(({ index }) => index)).toEqual(model.map(({ index }) => index));
        }
      }),
      { numRuns: 200, seed: SEED },
    );
  });

  test("gives at least one entry, then what fits", () => {
    const tail = new MemoryTail(1);
    for (let index = 1; index <= 4; index++) tail.append(entry(index, 1, 36)); // 100 bytes each
    expect(tail.bytes).toBe(400);
    expect(tail.slice(1, 5, 1).length).toBe(1);
    expect(tail.slice(1, 5, 299).length).toBe(2);
    expect(tail.slice(1, 5, 300).length).toBe(3);
    expect(() => tail.slice(4, 6, 1)).toThrow("outside the tail");
    expect(() => tail.append(entry(9))).toThrow("contiguous");
  });
});

describe("writes under way", () => {
  test("prove what they wrote, less what was cut off since", () => {
    const writes = new Writes();
    const a = writes.begin(1, 10);
    const b = writes.begin(1, 20);
    writes.truncate(15);
    const c = writes.begin(2, 17);
    expect(writes.end(a)).toBe(10);
    expect(writes.end(b)).toBe(14);
    expect(writes.end(c)).toBe(17);
    expect(writes.count).toBe(0);
  });

  test("end with all before them; ends that are repeated or altered are noticed", () => {
    const writes = new Writes();
    writes.begin(1, 10);
    const b = writes.begin(1, 20);
    expect(() => writes.end({ ...b, index: 21 })).toThrow("altered");
    expect(writes.end(b)).toBe(20);
    expect(writes.end(b)).toBe(0);
    expect(() => writes.end({ sequence: 9, term: 1, index: 1 })).toThrow("never began");
  });
});

describe("the log", () => {
  function logOf(terms: readonly number[], committed = 0): RaftLog {
    const disk = new DiskLog();
    disk.write({
      hardState: undefined,
      snapshot: undefined,
      entries: terms.map((term, i) => entry(i + 1, term)),
    });
    return new RaftLog(disk, { start: { index: 0, term: 0 }, committed, applied: 0 }, 1000);
  }

  test("finds the last index of a term or below, as looking at each would", () => {
    const rising = fc.array(fc.integer({ min: 0, max: 2 }), { maxLength: 30 }).map((deltas) => {
      let term = 1;
      return deltas.map((delta) => {
        term += delta;
        return term;
      });
    });
    const probe = fc.integer({ min: 0, max: 40 });
    fc.assert(
      fc.property(rising, probe, probe, (terms, index, term) => {
        const log = logOf(terms);
        let slow = Math.min(index, terms.length);
        while (slow > 0 && log.term(slow) > term) slow--;
        expect(log.lastIndexWithin(index, term)).toEqual({ index: slow, term: log.term(slow) });
      }),
      { numRuns: 1000, seed: SEED },
    );
  });

  test("answers for what is before its start with nothing at all", () => {
    const log = logOf([2, 2, 5, 5], 3);
    log.appliedTo(0);
    expect(log.lastIndexWithin(4, 1)).toEqual({ index: 0, term: 0 });
    expect(log.term(5)).toBe(-1);
    expect(log.isUpToDate(1, 6)).toBe(true);
    expect(log.isUpToDate(9, 4)).toBe(false);
    expect(log.isUpToDate(3, 5)).toBe(false);
    expect(log.isUpToDate(4, 5)).toBe(true);
  });

  test("lets go of durable entries beyond its bound, never of others", () => {
    const disk = new DiskLog();
    const log = new RaftLog(disk, { start: { index: 0, term: 0 }, committed: 0, applied: 0 }, 300);
    for (let index = 1; index <= 10; index++) log.append(entry(index, 1, 36));
    const entries = log.submit();
    const ack = log.beginWrite(true);
    expect(log.entries(1, 11, Infinity).length).toBe(10);
    expect(disk.readCount).toBe(0);
    disk.write({ hardState: undefined, snapshot: undefined, entries });
    log.endWrite(ack);
    expect(log.entries(1, 11, Infinity).length).toBe(7); // what is left to the disk
    expect(disk.readCount).toBe(7);
    expect(log.entries(8, 11, Infinity).length).toBe(3);
    log.verify();
  });
});

describe("the inflight window", () => {
  test("is bounded by count and by bytes, and an answer frees all it covers", () => {
    const window = new Inflights(3, 100);
    window.add(5, 10);
    window.add(7, 10);
    window.add(9, 10);
    expect(window.full).toBe(true);
    expect(() => window.add(11, 1)).toThrow("beyond");
    window.freeTo(4);
    expect(window.count).toBe(3);
    window.freeTo(7);
    expect([window.count, window.bytes]).toEqual([1, 10]);
    window.add(12, 500); // one may pass the bound on bytes
    expect(window.full).toBe(true);
    window.freeTo(12);
    expect([window.count, window.bytes, window.full]).toEqual([0, 0, false]);
  });
});

describe("progress", () => {
  const limits = { countMax: 2, bytesMax: 1000 };

  test("streams only while replicating, and waits while probing", () => {
    const progress = new Progress(member(2), 5, limits);
    expect(progress.paused).toBe(false);
    progress.sent(3, 10);
    expect([progress.paused, progress.next]).toEqual([true, 5]);
    expect(progress.acknowledge(7)).toBe(true);
    progress.becomeReplicate();
    expect([progress.match, progress.next]).toEqual([7, 8]);
    progress.sent(2, 10);
    progress.sent(1, 10);
    expect([progress.next, progress.paused]).toEqual([11, true]);
    expect(progress.acknowledge(7)).toBe(false);
    progress.verify();
  });

  test("goes back where a rejection points, never below what was acknowledged", () => {
    const progress = new Progress(member(2), 20, limits);
    expect(progress.reject(10, 5)).toBe(false); // answers an older probe
    expect(progress.reject(19, 12)).toBe(true);
    expect(progress.next).toBe(13);
    progress.acknowledge(12);
    progress.becomeReplicate();
    progress.sent(5, 10);
    expect(progress.reject(12, 3)).toBe(false); // we know better
    expect(progress.reject(17, 3)).toBe(true);
    expect(progress.next).toBe(13);
  });

  test("is silent during a snapshot and goes on after it", () => {
    const progress = new Progress(member(2), 5, limits);
    progress.becomeSnapshot(30);
    expect([progress.paused, progress.next]).toEqual([true, 31]);
    expect(progress.reject(4, 1)).toBe(false);
    progress.becomeProbe();
    expect([progress.paused, progress.next]).toEqual([false, 31]);
    progress.verify();
  });
});

describe("reads of the leader", () => {
  test("are confirmed by their round or a later one, each once", () => {
    const reads = new LeaderReads();
    reads.add(1);
    expect(reads.start(10, 100)).toBe(1);
    reads.add(2);
    expect(reads.start(11, 200)).toBe(2);
    expect(reads.confirm(0)).toEqual([]);
    expect(reads.confirm(1).map(({ ids, index }) => [ids, index])).toEqual([[[1], 10]]);
    expect(reads.confirmedMs).toBe(100);
    expect(reads.confirm(1)).toEqual([]);
    expect(reads.confirm(2).map(({ ids }) => ids)).toEqual([[2]]);
    expect([reads.waiting, reads.confirmedMs]).toEqual([0, 200]);
    reads.verify();
  });

  test("gather while enough rounds are under way", () => {
    const reads = new LeaderReads();
    for (let id = 1; id <= 4; id++) {
      reads.add(id);
      reads.start(1, 0);
    }
    reads.add(5);
    expect(reads.wantsRound).toBe(false);
    reads.confirm(1);
    expect(reads.wantsRound).toBe(true);
    expect(reads.reset()).toEqual([2, 3, 4, 5]);
    expect(reads.round).toBe(0);
  });
});

describe("reads that a follower passes on", () => {
  test("are served by the answer to their batch or a later one of this start", () => {
    const reads = new ForwardedReads(new Prng(1));
    const before = new ForwardedReads(new Prng(2));
    before.add(9);
    reads.add(1);
    const first = reads.start();
    reads.add(2);
    const second = reads.start();
    expect(second).toBe(first + 1);
    expect(reads.answer(before.start())).toBeUndefined();
    expect(reads.answer(second + 1)).toBeUndefined();
    expect(reads.answer(second)).toEqual([1, 2]);
    expect(reads.answer(first)).toBeUndefined();
    reads.verify();
  });

  test("are asked again under a new number when the answer does not come", () => {
    const reads = new ForwardedReads(new Prng(1));
    reads.add(1);
    const lost = reads.start();
    expect([reads.tick(2), reads.tick(2)]).toEqual([false, true]);
    reads.retry();
    reads.add(2);
    const again = reads.start();
    expect(reads.answer(lost)).toBeUndefined();
    expect(reads.answer(again)).toEqual([1, 2]);
  });
});
