/** Space that compaction frees: used again, given back in slices, and when somebody asks. */
import { afterAll, afterEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { HeldState, StateStore } from "../../src/node/ports.ts";
import { StateDatabase, type StateEvent } from "../../src/storage/state-database.ts";
import { encodeBatch, encodeCompaction, encodeKind } from "../../src/storage/state-format.ts";
import { openStateStore } from "../../src/storage/state-store.ts";
import { batch, compacted, ModelHistory, stored } from "./state-store.contract.ts";

const home = mkdtempSync(join(tmpdir(), "aether-free-"));
const PAGE = 4096;
const MIB = 2 ** 20;

let store: StateStore | undefined;
afterEach(async () => {
  await store?.close();
  store = undefined;
});
afterAll(() => rmSync(home, { recursive: true }));

async function open(path: string): Promise<StateStore> {
  const onFatal = (error: Error): never => {
    throw error;
  };
  store = await openStateStore({ path, group: 1, onFatal, sync: false, logStart: undefined });
  return store;
}

/** `count` versions of one key, `bytes` each: all but the newest can go. */
function versions(count: number, bytes: number): ModelHistory {
  const history = new ModelHistory();
  for (let i = 0; i < count; i++) history.change(["key"]);
  const filler = Buffer.alloc(bytes, "x");
  for (const [i, row] of history.rows.entries()) {
    history.rows[i] = { ...row, kv: Buffer.concat([row.kv, filler]) };
  }
  return history;
}

function defragmented(state: StateStore): Promise<void> {
  return new Promise((resolve) => state.defragment(resolve));
}

describe("state.db", () => {
  test("is small when it is empty: a quota of 13 pages leaves room to write", async () => {
    const state = await open(join(home, "empty.db"));
    expect(state.sizeBytes()).toBeLessThan(9 * PAGE);
    expect(state.sizeInUseBytes()).toBeLessThanOrEqual(state.sizeBytes());
  });

  test("gives everything that is free back when somebody asks", async () => {
    const path = join(home, "all.db");
    const state = await open(path);
    const history = versions(1000, 3000);
    await stored(state, batch(1, { rows: history.rows }));
    const full = state.sizeBytes();
    expect(full).toBeGreaterThan(3_000_000);
    await compacted(state, history.revision);
    expect(state.sizeInUseBytes()).toBeLessThan(10 * PAGE);
    await Promise.all([defragmented(state), defragmented(state)]);
    expect(state.sizeBytes()).toBe(state.sizeInUseBytes());
    expect(statSync(path).size).toBe(state.sizeBytes());
    expect(state.read(1000)?.revision).toBe(history.revision);
    await defragmented(state); // nothing is left to give: it is answered all the same
  });

  test("keeps a reserve after a compaction, and gives back what is more", async () => {
    const path = join(home, "reserve.db");
    const events: StateEvent[] = [];
    const options = { path, group: 1, sync: "off" } as const;
    const db = StateDatabase.open(options, (event) => events.push(event));
    const history = versions(4000, 3000);
    db.commit([encodeBatch(batch(1, { rows: history.rows })), encodeCompaction(4000)]);
    while (db.work());
    while (db.quiet());
    db.close();
    expect(events).toContainEqual({ compacted: 4000 });
    const size = statSync(path).size;
    expect(size).toBeGreaterThan(4 * MIB);
    expect(size).toBeLessThan(5.1 * MIB);
  });

  test("rests between slices of compaction, unless somebody waits for the space", () => {
    const path = join(home, "pace.db");
    const events: StateEvent[] = [];
    const compaction = { sliceRows: 10, restMs: 60_000 };
    const options = { path, group: 1, sync: "off", compaction } as const;
    const db = StateDatabase.open(options, (event) => events.push(event));
    const history = versions(35, 100);
    db.commit([encodeBatch(batch(1, { rows: history.rows })), encodeCompaction(30)]);
    expect(db.work()).toBe(60_000);
    for (let i = 0; i < 5; i++) expect(db.work()).toBeGreaterThan(0); // messages came meanwhile
    expect(events).not.toContainEqual({ compacted: 30 });
    db.commit([encodeKind("defragment")]);
    while (db.work());
    db.close();
    expect(events).toContainEqual({ compacted: 30 });
    expect(events).toContainEqual({ defragmented: 1 });
  });

  test("does not move while it is held: who asks waits until it is let go of", async () => {
    const path = join(home, "held.db");
    const state = await open(path);
    const history = versions(1000, 3000);
    await stored(state, batch(1, { rows: history.rows }));
    const held = await new Promise<HeldState>((resolve) => state.hold(resolve));
    const before = statSync(path).size;
    await compacted(state, history.revision);
    let done = false;
    const ended = defragmented(state).then(() => {
      done = true;
    });
    await stored(state, batch(2, {})); // the Worker has had its turn
    expect(done).toBe(false);
    expect([statSync(path).size, state.sizeBytes()]).toEqual([before, before]);
    held.release();
    await ended;
    expect(statSync(path).size).toBeLessThan(10 * PAGE);
  });
});
