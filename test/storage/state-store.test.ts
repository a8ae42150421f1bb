/** The state on SQLite: the contract, and what only a file can do. */
import { Database } from "bun:sqlite";
import { afterAll, afterEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { StateStore } from "../../src/node/ports.ts";
import { MemoryStateDisk, MemoryStateStore } from "../../src/storage/memory-state.ts";
import { StateDatabase, type StateEvent } from "../../src/storage/state-database.ts";
import { encodeBatch, encodeCompaction } from "../../src/storage/state-format.ts";
import { openStateStore } from "../../src/storage/state-store.ts";
import {
  batch,
  checkpointed,
  ModelHistory,
  type StateHarness,
  stateStoreContract,
  stored,
} from "./state-store.contract.ts";

function onFatal(error: Error): void {
  throw error;
}

stateStoreContract("SQLite", (): StateHarness => {
  const home = mkdtempSync(join(tmpdir(), "aether-state-"));
  const path = join(home, "state.db");
  return {
    open: () => openStateStore({ path, group: 1, onFatal, sync: false, logStart: undefined }),
    dispose: () => rmSync(home, { recursive: true }),
  };
});
stateStoreContract("memory", () => {
  const disk = new MemoryStateDisk();
  return { open: async () => new MemoryStateStore(disk), dispose: () => {} };
});

describe("state.db", () => {
  const home = mkdtempSync(join(tmpdir(), "aether-state-"));
  let store: StateStore | undefined;
  const open = async (path: string): Promise<StateStore> => {
    store = await openStateStore({ path, group: 1, onFatal, sync: false, logStart: undefined });
    return store;
  };
  afterEach(async () => {
    await store?.close();
    store = undefined;
  });
  afterAll(() => rmSync(home, { recursive: true }));

  test("compaction goes on after a crash where it was, and ends at the same rows", () => {
    const history = new ModelHistory();
    for (let i = 0; i < 6000; i++) history.change([`key${i % 10}`]);
    const rows = encodeBatch(batch(1, { rows: history.rows }));
    const events: StateEvent[] = [];
    const path = join(home, "resume.db");
    const options = { path, group: 1, sync: "off" } as const;
    let db = StateDatabase.open(options, (event) => events.push(event));
    db.commit([rows, encodeCompaction(5000)]);
    expect(db.work()).toBe(true);
    expect(db.work()).toBe(true);
    expect(events).not.toContainEqual({ compacted: 5000 });
    const half = rowCount(path);
    expect(half).toBeGreaterThan(3900);
    expect(half).toBeLessThan(4100);
    db.close(); // as a crash would: the pass is on disk, nobody waits for it any more
    db = StateDatabase.open(options, (event) => events.push(event));
    while (db.work());
    expect(events).toContainEqual({ compacted: 5000 });
    db.close();
    expect(rowCount(path)).toBe(1001 + 10); // revisions 5001 to 6001, and one row a key
  });

  test("an open reader holds a checkpoint back, never a batch", async () => {
    const path = join(home, "reader.db");
    const state = await open(path);
    const history = new ModelHistory();
    await stored(state, batch(1, { rows: history.change(["a"]) }));
    const other = new Database(path, { readonly: true });
    other.run("BEGIN");
    other.query("SELECT * FROM row").all();
    await stored(state, batch(2, { rows: history.change(["a"]) }));
    let answered = 0;
    state.checkpoint((index) => {
      answered = index;
    });
    for (let i = 3; i < 50; i++) await stored(state, batch(i, { rows: history.change(["a"]) }));
    expect(answered).toBe(0);
    expect(state.durableIndex()).toBe(0);
    other.run("COMMIT");
    other.close(true);
    expect(await checkpointed(state)).toBe(49);
    expect(answered).toBeGreaterThanOrEqual(2);
  });

  test("rows are walked while the writer goes on", async () => {
    const path = join(home, "walk.db");
    const state = await open(path);
    const history = new ModelHistory();
    for (let i = 0; i < 3500; i++) history.change([`key${i}`]);
    await stored(state, batch(1, { rows: history.rows }));
    let seen = 0;
    for (const row of state.stored.rows) {
      seen++;
      expect(row.seq).toBe(seen);
      if (seen === 1500) await checkpointed(state); // a walk that is open does not hold it back
    }
    expect(seen).toBe(3500);
  });

  test("a batch that contradicts what is stored is fatal: no answer after it", async () => {
    const path = join(home, "twice.db");
    const fatal = Promise.withResolvers<Error>();
    let fatals = 0;
    const state = await openStateStore({
      ...{ path, group: 1, sync: false, logStart: undefined },
      onFatal: (error) => {
        fatals++;
        fatal.resolve(error);
      },
    });
    const history = new ModelHistory();
    const rows = history.change(["a"]);
    await stored(state, batch(1, { rows }));
    const answers: number[] = [];
    for (let i = 2; i < 6; i++) state.write(batch(i, { rows }), () => answers.push(i));
    expect((await fatal.promise).message).toContain("SQLITE_CONSTRAINT");
    state.write(batch(9, {}), () => answers.push(9));
    expect(state.read(1)?.revision).toBe(2);
    await state.close();
    expect(answers).toEqual([]);
    expect(fatals).toBe(1);
  });

  test("another format and another group are refused", async () => {
    const path = join(home, "format.db");
    await (await open(path)).close();
    edit(path, "UPDATE format SET version = 4");
    await expect(open(path)).rejects.toThrow(`${path}: format 4 is newer than this program's 3`);
    edit(path, "UPDATE format SET version = 1");
    await expect(open(path)).rejects.toThrow(`${path}: format 1 is from before the first release`);
    edit(path, "UPDATE format SET version = 3");
    edit(path, "INSERT INTO applied VALUES (2, 1, 1, 0, 0, 0)");
    await expect(open(path)).rejects.toThrow("another group than 1");
  });
});

function edit(path: string, sql: string): void {
  const db = new Database(path);
  db.run(sql);
  db.close(true);
}

function rowCount(path: string): number {
  const db = new Database(path, { readonly: true });
  const row = db.query("SELECT count(*) AS n FROM row").get() as { n: number };
  db.close(true);
  return row.n;
}
