/** hold() and install() of every StateStore, whatever it is made of: on SQLite and on memory. */
import { afterEach, describe, expect, test } from "bun:test";
import type { HeldState, StateStore } from "../../src/node/ports.ts";
import type { Row } from "../../src/state/ports.ts";
import { batch, checkpointed, compacted, ModelHistory, stored } from "./state-store.contract.ts";

/** One member's disk: stores on it come one after the other. */
export interface SnapshotHarness {
  /** `logStart`: the log begins after this index. */
  open(logStart?: number): Promise<StateStore>;
  /** Lays what another member's store holds beside this one's state, durably. */
  stage(store: StateStore, held: HeldState): Promise<void>;
  /** Removes what it made; every store is closed by then. */
  dispose(): void;
}

export function held(store: StateStore): Promise<HeldState> {
  return new Promise((resolve) => store.hold(resolve));
}

export function installed(store: StateStore, index: number): Promise<void> {
  return new Promise((resolve) => store.install(index, resolve));
}

const ALL = Number.MAX_SAFE_INTEGER;

export function plain(rows: Iterable<Row>): unknown[] {
  return Array.from(rows, (row) => ({ ...row, kv: text(row.kv) }));
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("latin1");
}

/** What can be read now. */
export function shown(store: StateStore): unknown[] {
  return plain(store.scan(0, ALL, ALL));
}

/** What was there when the store was opened or its state installed. */
export function found(store: StateStore): unknown {
  const { appliedIndex, appliedTerm, rows, records } = store.stored;
  return {
    ...{ appliedIndex, appliedTerm },
    rows: plain(rows),
    records: Array.from(records, ({ space, key, value }) => [space, key, text(value)]),
  };
}

function forgotten(): never {
  throw new Error("the old state answered");
}

/** The history after fill() from 1 to `index`. */
export function historyTo(index: number): ModelHistory {
  const history = new ModelHistory();
  for (let i = 1; i <= index; i++) history.change([`key${i % 7}`]);
  return history;
}

/** Writes batches `from` to `to`, a row and a record each, and waits until they are stored. */
export async function fill(
  store: StateStore,
  history: ModelHistory,
  from: number,
  to: number,
): Promise<void> {
  const writes: Promise<void>[] = [];
  for (let index = from; index <= to; index++) {
    const rows = history.change([`key${index % 7}`]);
    const records = [{ space: "meta", key: "last", value: Buffer.from(`${index}`) }];
    writes.push(stored(store, batch(index, { appliedTerm: 1 + (index >> 4), rows, records })));
  }
  await Promise.all(writes);
}

export function snapshotContract(name: string, makeHarness: () => SnapshotHarness): void {
  describe(`${name} as a StateStore that is copied`, () => {
    const harnesses: SnapshotHarness[] = [];
    const stores = new Set<StateStore>();
    const harness = (): SnapshotHarness => {
      const made = makeHarness();
      harnesses.push(made);
      return made;
    };
    const open = async (of: SnapshotHarness, logStart?: number): Promise<StateStore> => {
      const store = await of.open(logStart);
      stores.add(store);
      return store;
    };
    const close = async (store: StateStore): Promise<void> => {
      stores.delete(store);
      await store.close();
    };
    afterEach(async () => {
      for (const store of stores) await close(store);
      for (const made of harnesses.splice(0)) made.dispose();
    });

    /** A member that has applied `index` entries, and the state it holds. */
    const leader = async (index: number): Promise<{ store: StateStore; given: HeldState }> => {
      const store = await open(harness());
      await fill(store, new ModelHistory(), 1, index);
      return { store, given: await held(store) };
    };

    test("what is held is durable and stays, while writes go on and checkpoints wait", async () => {
      const store = await open(harness());
      const history = new ModelHistory();
      await fill(store, history, 1, 40);
      const before = shown(store);
      const first = await held(store);
      expect([first.index, first.term, store.durableIndex()]).toEqual([40, 3, 40]);
      await fill(store, history, 41, 80);
      await compacted(store, 60);
      let durable = 0;
      store.checkpoint((index) => {
        durable = index;
      });
      const second = await held(store);
      expect([second.index, second.term, durable, store.durableIndex()]).toEqual([40, 3, 0, 40]);
      first.release();
      first.release(); // means nothing
      await fill(store, history, 81, 90);
      expect([durable, store.durableIndex()]).toEqual([0, 40]);

      const other = harness();
      const copy = await open(other);
      await other.stage(copy, second);
      await installed(copy, 40);
      const records = [["meta", "last", "40"]];
      expect(found(copy)).toEqual({ appliedIndex: 40, appliedTerm: 3, rows: before, records });
      expect(shown(copy)).toEqual(before);
      second.release();
      expect(await checkpointed(store)).toBe(90);
      expect(durable).toBeGreaterThanOrEqual(80);
    });

    test("a hold after the last release is of the newest state", async () => {
      const store = await open(harness());
      const history = new ModelHistory();
      await fill(store, history, 1, 5);
      let inside = true;
      const early = [1, 2].map(
        () =>
          new Promise<number>((resolve) =>
            store.hold((given) => {
              expect(inside).toBe(false); // never inside the call
              given.release();
              resolve(given.index);
            }),
          ),
      );
      inside = false;
      expect(await Promise.all(early)).toEqual([5, 5]);
      await fill(store, history, 6, 9);
      const later = await held(store);
      expect(later.index).toBe(9);
      const shared = held(store); // asked for before the release, answered after it
      later.release();
      expect((await shared).index).toBe(9);
      (await shared).release();
    });

    test("an installed state takes the place of the old one, durably", async () => {
      const { store: from, given } = await leader(50);
      for (const behind of [0, 3, 400]) {
        const member = harness();
        let store = await open(member);
        await fill(store, new ModelHistory(), 1, Math.min(behind, 49));
        for (let i = 0; i < behind; i++) store.write(batch(49), () => {}); // a WAL to be rid of
        await member.stage(store, given);
        await installed(store, 50);
        expect(shown(store)).toEqual(shown(from));
        expect([store.stored.appliedIndex, store.durableIndex()]).toEqual([50, 50]);
        const row = { ...(store.read(50) as Row), seq: 51, prev: 0 };
        await stored(store, batch(51, { rows: [row] }));
        expect(store.read(51)?.seq).toBe(51);
        expect(await checkpointed(store)).toBe(51);
        await close(store);
        store = await open(member, 50);
        expect(store.stored.appliedIndex).toBe(51);
        expect(store.scan(0, ALL, ALL)).toHaveLength(51);
        await close(store);
      }
    });

    test("who waits for the old state is not answered, nor who asks too early", async () => {
      const { given } = await leader(20);
      const member = harness();
      const store = await open(member);
      await fill(store, new ModelHistory(), 1, 5);
      await member.stage(store, given);
      const old = await held(store);
      const ask = (index: number): void => {
        store.write(batch(index), forgotten);
        store.compact(index, forgotten);
        store.checkpoint(forgotten);
        store.hold(forgotten);
      };
      ask(6);
      const done = installed(store, 20);
      ask(7);
      expect(() => store.write(batch(20), forgotten)).toThrow("when it is installed");
      expect(store.read(5)?.seq).toBe(5); // history is the old one's until then
      expect(store.read(6)).toBeUndefined();
      await done;
      expect(store.read(20)?.seq).toBe(20);
      await compacted(store, 3);
      expect(await checkpointed(store)).toBe(20);
      old.release(); // of a state that is gone
      const fresh = await held(store);
      expect(fresh.index).toBe(20);
      expect(store.stored.appliedIndex).toBe(20);
    });

    test("a start finishes an install if the log begins there, else drops the copy", async () => {
      const { store: from, given } = await leader(30);
      const member = harness();
      let store = await open(member);
      await fill(store, new ModelHistory(), 1, 4);
      await member.stage(store, given);
      for (const logStart of [4, 31, undefined]) {
        await close(store);
        store = await open(member, logStart);
        expect(store.stored.appliedIndex).toBe(4);
        await close(store);
        store = await open(member, 30); // the copy is gone
        expect(store.stored.appliedIndex).toBe(4);
        await member.stage(store, given);
      }
      await close(store);
      store = await open(member, 30);
      expect([store.stored.appliedIndex, store.durableIndex()]).toEqual([30, 30]);
      expect(shown(store)).toEqual(shown(from));
    });

    test("one state is installed after the other", async () => {
      const { store: from, given } = await leader(10);
      const member = harness();
      const store = await open(member);
      await member.stage(store, given);
      await installed(store, 10);
      given.release();
      const history = new ModelHistory();
      for (let i = 0; i < 10; i++) history.change(["x"]);
      await fill(from, history, 11, 25);
      const newer = await held(from);
      await member.stage(store, newer);
      await installed(store, 25);
      expect(store.stored.appliedIndex).toBe(25);
      expect(store.scan(0, ALL, ALL)).toHaveLength(25);
    });
  });
}
