/** What every StateStore must do, whatever it is made of: run on SQLite and on memory. */
import { afterEach, describe, expect, test } from "bun:test";
import { Prng } from "../../src/base/prng.ts";
import type { StateStore } from "../../src/node/ports.ts";
import { encodeKeyValue, keyOf } from "../../src/proto/hot/key-value.ts";
import { extendChain, KeyEntry } from "../../src/state/key-entry.ts";
import type { Row, StateBatch, StateRecord } from "../../src/state/ports.ts";
import { encodeTombstone } from "../../src/state/stored-form.ts";

export interface StateHarness {
  open(): Promise<StateStore>;
  dispose(): void;
}

export function batch(appliedIndex: number, parts: Partial<StateBatch> = {}): StateBatch {
  return { appliedIndex, appliedTerm: 1, rows: [], records: [], ...parts };
}

export function stored(store: StateStore, what: StateBatch): Promise<void> {
  return new Promise((resolve) => store.write(what, resolve));
}

export function compacted(store: StateStore, revision: number): Promise<void> {
  return new Promise((resolve) => store.compact(revision, resolve));
}

export function checkpointed(store: StateStore): Promise<number> {
  return new Promise((resolve) => store.checkpoint(resolve));
}

/** A history of a few keys, as the state machine would write it, with what each revision shows. */
export class ModelHistory {
  readonly rows: Row[] = [];
  revision = 1;
  readonly #entries = new Map<string, KeyEntry>();

  /** One revision that changes `keys`; those in `deleted` get a tombstone. */
  change(keys: readonly string[], deleted: ReadonlySet<string> = new Set()): Row[] {
    this.revision++;
    const made = keys.map((key, sub) => this.#row(key, sub, deleted.has(key)));
    this.rows.push(...made);
    return made;
  }

  /** key → seq of what is visible at `revision`, from any list of rows. */
  static view(rows: Iterable<Row>, revision: number): Map<string, number> {
    const view = new Map<string, number>();
    for (const row of rows) {
      if (row.revision > revision) break;
      const key = keyOf(row.kv);
      if (row.tombstone) view.delete(key);
      else view.set(key, row.seq);
    }
    return view;
  }

  #row(key: string, sub: number, tombstone: boolean): Row {
    const { revision } = this;
    const entry = this.#entries.get(key) ?? new KeyEntry(key);
    this.#entries.set(key, entry);
    const prev = entry.seq;
    const seq = this.rows.length + sub + 1;
    const jump = extendChain(entry, seq);
    if (entry.tombstone) entry.createRevision = revision;
    entry.version = tombstone ? 0 : entry.version + 1;
    const { createRevision, version, depth } = entry;
    const value = Buffer.from(`${revision}`);
    const live = { key, createRevision, modRevision: revision, version, value, lease: 0n };
    const kv = tombstone ? encodeTombstone(key, revision) : encodeKeyValue(live);
    return { seq, revision, sub, prev, jump, depth, tombstone, kv };
  }
}

function plain(rows: Iterable<Row>): unknown[] {
  return Array.from(rows, (row) => ({ ...row, kv: Buffer.from(row.kv).toString("latin1") }));
}

function seqs(rows: Iterable<Row>): number[] {
  return Array.from(rows, (row) => row.seq);
}

const ALL = Number.MAX_SAFE_INTEGER;

export function stateStoreContract(name: string, makeHarness: () => StateHarness): void {
  describe(`${name} as a StateStore`, () => {
    let harness: StateHarness | undefined;
    let store: StateStore | undefined;
    const open = async (): Promise<StateStore> => {
      harness ??= makeHarness();
      store = await harness.open();
      return store;
    };
    const reopen = async (): Promise<StateStore> => {
      await store?.close();
      return open();
    };
    afterEach(async () => {
      await store?.close();
      store = undefined;
      harness?.dispose();
      harness = undefined;
    });

    test("a new state is empty", async () => {
      const state = await open();
      const { appliedIndex, appliedTerm, rows, records } = state.stored;
      expect([appliedIndex, appliedTerm, [...rows], [...records]]).toEqual([0, 0, [], []]);
      expect(state.read(1)).toBeUndefined();
      expect(state.scan(0, ALL, 10)).toEqual([]);
      expect(state.seek(1)).toBeUndefined();
      expect(state.durableIndex()).toBe(0);
    });

    test("rows, records and the applied index come back as they were", async () => {
      let state = await open();
      const big = 2 ** 52;
      const rows: Row[] = [
        { seq: 1, revision: 2, sub: 0, prev: 0, jump: 0, depth: 1, tombstone: false, kv: bytes(0) },
        {
          ...{ seq: big, revision: big, sub: 9, prev: 1, jump: 1, depth: 2, tombstone: true },
          kv: Buffer.from([0, 255, 128]),
        },
      ];
      const records: StateRecord[] = [
        { space: "lease", key: "\0\xff", value: bytes(1) },
        { space: "lease", key: "gone", value: bytes(1) },
        { space: "meta", key: "", value: bytes(0) },
        { space: "meta", key: "k", value: bytes(70_000) },
      ];
      await stored(state, batch(7, { appliedTerm: 3, rows, records }));
      const change: StateRecord[] = [
        { space: "lease", key: "gone", value: undefined },
        { space: "meta", key: "k", value: Buffer.from("new") },
      ];
      await stored(state, batch(9, { appliedTerm: 4, records: change }));
      expect(plain(state.scan(0, ALL, 10))).toEqual(plain(rows));
      state = await reopen();
      expect([state.stored.appliedIndex, state.stored.appliedTerm]).toEqual([9, 4]);
      expect(plain(state.stored.rows)).toEqual(plain(rows));
      const found = Array.from(state.stored.records, (r) => [r.space, r.key, r.value.length]);
      expect(found).toEqual([
        ["lease", "\0\xff", 1],
        ["meta", "", 0],
        ["meta", "k", 3],
      ]);
      expect(state.durableIndex()).toBe(9);
    });

    test("a batch can be read when it is answered, and answers keep their order", async () => {
      const state = await open();
      const history = new ModelHistory();
      const answers: number[] = [];
      await new Promise<void>((resolve) => {
        for (let i = 1; i <= 200; i++) {
          const rows = history.change(["a", "b"]);
          state.write(batch(i, { rows }), () => {
            answers.push(i);
            expect(state.read(2 * i)?.revision).toBe(i + 1);
            if (i === 200) resolve();
          });
        }
      });
      expect(answers).toEqual(Array.from({ length: 200 }, (_, i) => i + 1));
      expect(plain(state.scan(100, 110, ALL))).toEqual(plain(history.rows.slice(99, 109)));
      expect(seqs(state.scan(100, 110, 3))).toEqual([100, 101, 102]);
    });

    test("seek finds the first row of a revision, with rows missing too", async () => {
      const state = await open();
      const history = new ModelHistory();
      for (let i = 0; i < 60; i++) history.change(["k", "l", "m"].slice(0, 1 + (i % 3)));
      await stored(state, batch(1, { rows: history.rows }));
      const check = (): void => {
        const rows = state.scan(0, ALL, ALL);
        for (let revision = 0; revision <= 63; revision++) {
          expect(state.seek(revision)).toBe(rows.find((row) => row.revision >= revision)?.seq);
        }
      };
      check();
      await compacted(state, 40);
      check();
    });

    test("compaction keeps what a revision ≥ its own needs, and nothing else", async () => {
      let state = await open();
      const history = new ModelHistory();
      history.change(["a", "b", "c"]); // 2: seqs 1, 2, 3
      history.change(["a"]); // 3: seq 4
      history.change(["b"], new Set(["b"])); // 4: seq 5, a tombstone
      history.change(["c"], new Set(["c"])); // 5: seq 6, a tombstone
      history.change(["b"]); // 6: seq 7, b again
      history.change(["a"]); // 7: seq 8
      await stored(state, batch(1, { rows: history.rows }));
      await compacted(state, 5);
      // b's tombstone is below 5 and goes; c's is at 5 and stays until the next compaction.
      expect(seqs(state.scan(0, ALL, ALL))).toEqual([4, 6, 7, 8]);
      await compacted(state, 3); // already done: answered, nothing comes back
      expect(seqs(state.scan(0, ALL, ALL))).toEqual([4, 6, 7, 8]);
      state = await reopen();
      await compacted(state, 6);
      expect(seqs(state.scan(0, ALL, ALL))).toEqual([4, 7, 8]);
      await compacted(state, 7);
      expect(seqs(state.scan(0, ALL, ALL))).toEqual([7, 8]);
    });

    test("compactions queue, and views at and after them stay what they were", async () => {
      const prng = new Prng(20260731);
      const state = await open();
      const history = new ModelHistory();
      const keys = Array.from({ length: 40 }, (_, i) => `key${i}`);
      let compactRevision = 0;
      const waiting: Promise<void>[] = [];
      for (let index = 1; index <= 30; index++) {
        const rows: Row[] = [];
        for (let i = 0; i < 100; i++) rows.push(...randomChange(history, keys, prng));
        waiting.push(stored(state, batch(index, { rows })));
        if (!prng.chance(30)) continue;
        compactRevision += prng.below(history.revision - compactRevision + 1);
        waiting.push(compacted(state, compactRevision));
      }
      await Promise.all(waiting);
      const left = state.scan(0, ALL, ALL);
      for (let revision = compactRevision; revision <= history.revision; revision += 7) {
        const expected = ModelHistory.view(history.rows, revision);
        expect(ModelHistory.view(left, revision)).toEqual(expected);
      }
      expect(seqs(left)).toEqual(keptSeqs(history.rows, compactRevision));
    });

    test("a checkpoint makes durable what was written before it", async () => {
      const state = await open();
      const history = new ModelHistory();
      for (let i = 1; i <= 5; i++) state.write(batch(i, { rows: history.change(["a"]) }), () => {});
      expect(state.durableIndex()).toBeLessThan(5);
      expect(await checkpointed(state)).toBeGreaterThanOrEqual(5);
      expect(state.durableIndex()).toBe(5);
      expect(await checkpointed(state)).toBe(5);
    });

    test("sizes grow with the rows", async () => {
      const state = await open();
      const kv = bytes(200_000);
      const row = { seq: 1, revision: 2, sub: 0, prev: 0, jump: 0, depth: 1, tombstone: false, kv };
      await stored(state, batch(1, { rows: [row] }));
      expect(state.sizeBytes()).toBeGreaterThanOrEqual(200_000);
      expect(state.sizeInUseBytes()).toBeGreaterThanOrEqual(200_000);
      expect(state.sizeInUseBytes()).toBeLessThanOrEqual(state.sizeBytes());
    });
  });
}

function bytes(count: number): Buffer {
  return Buffer.alloc(count, 7);
}

function randomChange(history: ModelHistory, keys: readonly string[], prng: Prng): Row[] {
  const changed = new Set<string>();
  for (let i = prng.below(3); i >= 0; i--) changed.add(prng.pick(keys));
  const deleted = new Set<string>();
  for (const key of changed) if (prng.chance(20)) deleted.add(key);
  return history.change([...changed], deleted);
}

/** What is left of `rows` after compaction, said another way than the stores do it. */
function keptSeqs(rows: readonly Row[], compactRevision: number): number[] {
  const newest = new Map<string, Row>();
  for (const row of rows) {
    if (row.revision > compactRevision) break;
    newest.set(keyOf(row.kv), row);
  }
  const kept = new Set<number>();
  for (const row of newest.values()) {
    if (!row.tombstone || row.revision === compactRevision) kept.add(row.seq);
  }
  return rows.filter((r) => r.revision > compactRevision || kept.has(r.seq)).map((r) => r.seq);
}
