/** What every LogStore must do, whatever it is made of: run on SQLite and on memory. */
import { afterEach, describe, expect, test } from "bun:test";
import type { LogStore, LogWrite } from "../../src/node/ports.ts";
import type { Entry, HardState, MemberId, SnapshotMeta } from "../../src/raft/types.ts";

export interface LogHarness {
  open(): Promise<LogStore>;
  /** Removes what open() made; every store is closed by then. */
  dispose(): void;
}

export function entry(index: number, term = 1, text = `entry ${index} of ${term}`): Entry {
  return { index, term, kind: "normal", payload: Buffer.from(text) };
}

export function entries(from: number, to: number, term = 1): Entry[] {
  return Array.from({ length: to - from }, (_, i) => entry(from + i, term));
}

export function snapshotAt(index: number, term = 1): SnapshotMeta {
  const configuration = {
    voters: [1n, 2n ** 64n - 1n] as MemberId[],
    votersOutgoing: [3n] as MemberId[],
    learners: [4n] as MemberId[],
    learnersNext: [],
    autoLeave: true,
  };
  return { index, term, configuration };
}

export function writing(parts: Partial<LogWrite>): LogWrite {
  return { hardState: undefined, entries: [], snapshot: undefined, ...parts };
}

/** Ends when the write is durable. */
export function durable(store: LogStore, parts: Partial<LogWrite>): Promise<void> {
  return new Promise((resolve) => store.write(writing(parts), resolve));
}

const EVERYTHING = Number.POSITIVE_INFINITY;

function plain(list: readonly Entry[]): unknown[] {
  return list.map(({ index, term, kind, payload }) => [
    index,
    term,
    kind,
    Buffer.from(payload).toString(),
  ]);
}

export function logStoreContract(name: string, makeHarness: () => LogHarness): void {
  describe(`${name} as a LogStore`, () => {
    let harness: LogHarness;
    let store: LogStore | undefined;
    const open = async (): Promise<LogStore> => {
      harness ??= makeHarness();
      store = await harness.open();
      return store;
    };
    const reopen = async (): Promise<LogStore> => {
      await store?.close();
      return open();
    };
    afterEach(async () => {
      await store?.close();
      store = undefined;
      harness.dispose();
      harness = undefined as unknown as LogHarness;
    });

    test("a new log is empty", async () => {
      const log = await open();
      expect(log.stored).toEqual({
        hardState: undefined,
        snapshot: undefined,
        firstIndex: 1,
        lastIndex: 0,
      });
      expect(log.read(1, 10, EVERYTHING)).toEqual([]);
      expect(log.term(1)).toBeUndefined();
    });

    test("what was durable is there after a restart, byte for byte", async () => {
      let log = await open();
      const hardState: HardState = { term: 7, vote: 2n ** 64n - 2n, commit: 2 };
      const kinds: Entry[] = [
        { index: 1, term: 6, kind: "noop", payload: Buffer.alloc(0) },
        { index: 2, term: 7, kind: "config", payload: Buffer.from([0, 255, 1]) },
        { index: 3, term: 2 ** 40, kind: "normal", payload: Buffer.alloc(200_000, 9) },
      ];
      await durable(log, { hardState, entries: kinds });
      expect(plain(log.read(1, 4, EVERYTHING))).toEqual(plain(kinds));
      log = await reopen();
      expect(log.stored).toEqual({ hardState, snapshot: undefined, firstIndex: 1, lastIndex: 3 });
      expect(plain(log.read(1, 4, EVERYTHING))).toEqual(plain(kinds));
      expect([1, 2, 3, 4].map((index) => log.term(index))).toEqual([6, 7, 2 ** 40, undefined]);
    });

    test("answers come once each, in the order of the writes", async () => {
      const log = await open();
      const answers: number[] = [];
      await new Promise<void>((resolve) => {
        for (let i = 1; i <= 300; i++) {
          log.write(writing({ entries: [entry(i)] }), () => {
            answers.push(i);
            if (i === 300) resolve();
          });
        }
      });
      expect(answers).toEqual(Array.from({ length: 300 }, (_, i) => i + 1));
      expect(log.read(1, 301, EVERYTHING)).toHaveLength(300);
    });

    test("an entry is not read before it is durable", async () => {
      const log = await open();
      await durable(log, { entries: entries(1, 4) });
      const done = durable(log, { entries: [entry(4)] });
      expect(log.read(1, 9, EVERYTHING)).toHaveLength(3);
      expect(log.term(4)).toBeUndefined();
      await done;
      expect(log.read(1, 9, EVERYTHING)).toHaveLength(4);
    });

    test("a write replaces the entries from its first one on", async () => {
      let log = await open();
      await durable(log, { entries: entries(1, 101) });
      await durable(log, { entries: entries(51, 53, 2) });
      const expected = plain([...entries(1, 51), ...entries(51, 53, 2)]);
      expect(plain(log.read(1, 200, EVERYTHING))).toEqual(expected);
      log = await reopen();
      expect(log.stored.lastIndex).toBe(52);
      expect(plain(log.read(1, 200, EVERYTHING))).toEqual(expected);
      await durable(log, { entries: entries(1, 2, 3) });
      expect(plain(log.read(1, 200, EVERYTHING))).toEqual(plain(entries(1, 2, 3)));
    });

    test("an entry about to be replaced is not read, nor its stale answer counted", async () => {
      const log = await open();
      await durable(log, { entries: entries(1, 6) });
      const late = durable(log, { entries: [entry(6)] });
      const replaced = durable(log, { entries: entries(3, 5, 2) });
      expect(plain(log.read(1, 9, EVERYTHING))).toEqual(plain(entries(1, 3)));
      await late;
      expect(log.term(6)).toBeUndefined();
      await replaced;
      const expected = [...entries(1, 3), ...entries(3, 5, 2)];
      expect(plain(log.read(1, 9, EVERYTHING))).toEqual(plain(expected));
    });

    test("reads keep within their bytes, but give at least one entry", async () => {
      let log = await open();
      const big = Array.from({ length: 20 }, (_, i) => entry(i + 1, 1, "x".repeat(1000)));
      await durable(log, { entries: big });
      for (let round = 0; round < 2; round++) {
        expect(log.read(1, 21, 3500)).toHaveLength(3);
        expect(log.read(5, 21, 3000)).toHaveLength(3);
        expect(log.read(5, 21, 1).map((e) => e.index)).toEqual([5]);
        expect(log.read(20, 21, 0).map((e) => e.index)).toEqual([20]);
        expect(log.read(7, 9, EVERYTHING).map((e) => e.index)).toEqual([7, 8]);
        expect(log.read(7, 7, EVERYTHING)).toEqual([]);
        log = await reopen();
      }
    });

    test("compaction drops the front, in the middle of a write too", async () => {
      let log = await open();
      await durable(log, { entries: entries(1, 101) });
      log.compact(snapshotAt(40));
      log.compact(snapshotAt(30)); // never back
      expect(() => log.read(40, 50, EVERYTHING)).toThrow("compacted");
      expect(log.term(40)).toBeUndefined();
      expect(plain(log.read(41, 200, EVERYTHING))).toEqual(plain(entries(41, 101)));
      await durable(log, { entries: entries(101, 103) });
      log = await reopen();
      expect(log.stored.snapshot).toEqual(snapshotAt(40));
      expect(log.stored.firstIndex).toBe(41);
      expect(log.stored.lastIndex).toBe(102);
      expect(plain(log.read(41, 200, EVERYTHING))).toEqual(plain(entries(41, 103)));
      log.compact(snapshotAt(102));
      await durable(log, { entries: [entry(103)] });
      log = await reopen();
      expect(log.stored.firstIndex).toBe(103);
      expect(plain(log.read(103, 200, EVERYTHING))).toEqual(plain([entry(103)]));
    });

    test("an installed snapshot restarts the log: after its end", async () => {
      let log = await open();
      await durable(log, { entries: entries(1, 11) });
      const hardState = { term: 5, vote: 0n, commit: 500 };
      await durable(log, { snapshot: snapshotAt(500, 5), hardState });
      expect(() => log.read(1, 11, EVERYTHING)).toThrow("compacted");
      expect(log.read(501, 600, EVERYTHING)).toEqual([]);
      await durable(log, { entries: entries(501, 504, 5) });
      log = await reopen();
      expect(log.stored).toEqual({
        hardState,
        snapshot: snapshotAt(500, 5),
        firstIndex: 501,
        lastIndex: 503,
      });
      expect(plain(log.read(501, 600, EVERYTHING))).toEqual(plain(entries(501, 504, 5)));
    });

    test("an installed snapshot restarts the log: in its middle, with entries", async () => {
      let log = await open();
      await durable(log, { entries: entries(1, 101) });
      await durable(log, { snapshot: snapshotAt(50, 2), entries: entries(51, 53, 2) });
      expect(plain(log.read(51, 200, EVERYTHING))).toEqual(plain(entries(51, 53, 2)));
      log = await reopen();
      expect(log.stored.firstIndex).toBe(51);
      expect(log.stored.lastIndex).toBe(52);
      expect(plain(log.read(51, 200, EVERYTHING))).toEqual(plain(entries(51, 53, 2)));
    });

    test("a hard state alone is kept, and close() waits for what was written", async () => {
      let log = await open();
      await durable(log, { entries: entries(1, 3) });
      let answered = false;
      log.write(writing({ hardState: { term: 9, vote: 3n, commit: 1 } }), () => {
        answered = true;
      });
      log = await reopen();
      expect(answered).toBe(true);
      expect(log.stored.hardState).toEqual({ term: 9, vote: 3n, commit: 1 });
      expect(log.stored.lastIndex).toBe(2);
    });

    test("a gap is refused", async () => {
      const log = await open();
      await durable(log, { entries: entries(1, 4) });
      expect(() => log.write(writing({ entries: [entry(5)] }), () => {})).toThrow("follows");
      expect(() => log.compact(snapshotAt(9))).toThrow("within the log");
    });

    test("the size grows with what is kept", async () => {
      const log = await open();
      expect(log.sizeBytes()).toBeLessThan(8_000_000); // a quiet moment may have grown the WAL
      const values = Array.from({ length: 10 }, (_, at) => entry(at + 1, 1, "x".repeat(1_000_000)));
      await durable(log, { entries: values });
      expect(log.sizeBytes()).toBeGreaterThan(9_999_999);
    });
  });
}
