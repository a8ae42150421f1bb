/** Copies of the state: the contract on both stores, and what only files can do. */
import { Database } from "bun:sqlite";
import { afterAll, afterEach, describe, expect, test } from "bun:test";
import {
  copyFileSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { StateStore } from "../../src/node/ports.ts";
import {
  MemoryHeldState,
  MemoryStateDisk,
  MemoryStateStore,
} from "../../src/storage/memory-state.ts";
import { HeldFile } from "../../src/storage/state-holds.ts";
import { stageState } from "../../src/storage/state-staging.ts";
import { openStateStore } from "../../src/storage/state-store.ts";
import { fill, held, installed, shown, snapshotContract } from "./state-snapshot.contract.ts";
import { batch, checkpointed, ModelHistory, stored } from "./state-store.contract.ts";

function onFatal(error: Error): void {
  throw error;
}

snapshotContract("SQLite", () => {
  const home = mkdtempSync(join(tmpdir(), "aether-copy-"));
  const path = join(home, "state.db");
  return {
    open: (logStart) => openStateStore({ path, group: 1, onFatal, sync: false, logStart }),
    stage: async (_, held) => {
      if (!(held instanceof HeldFile)) throw new Error("it is not a file that is held");
      const { index, term } = held;
      const received = join(home, "received.part");
      copyFileSync(held.path, received);
      await stageState({ received, path, group: 1, index, term });
    },
    dispose: () => rmSync(home, { recursive: true }),
  };
});
snapshotContract("memory", () => {
  const disk = new MemoryStateDisk();
  return {
    open: async (logStart) => new MemoryStateStore(disk, { acknowledge: "soon", logStart }),
    stage: (store, held) => {
      if (!(held instanceof MemoryHeldState)) throw new Error("it is not held in memory");
      return new Promise((resolve) => (store as MemoryStateStore).stage(held.image, resolve));
    },
    dispose: () => {},
  };
});

describe("state.db, copied", () => {
  const home = mkdtempSync(join(tmpdir(), "aether-copy-"));
  const stores: StateStore[] = [];
  let count = 0;
  const newPath = (): string => join(home, `${++count}.db`);
  const open = async (path: string, heldWalBytesMax = 1 << 30): Promise<StateStore> => {
    const options = { path, group: 1, onFatal, sync: false, logStart: undefined };
    const store = await openStateStore({ ...options, heldWalBytesMax });
    stores.push(store);
    return store;
  };
  const holding = async (store: StateStore): Promise<HeldFile> => {
    const given = await held(store);
    if (!(given instanceof HeldFile)) throw new Error("it is not a file that is held");
    return given;
  };
  /** A received file of the state after 20 entries. */
  const received = async (): Promise<string> => {
    const store = await open(newPath());
    await fill(store, new ModelHistory(), 1, 20);
    const { path } = await holding(store);
    copyFileSync(path, `${path}.part`);
    return `${path}.part`;
  };
  const stage = (copy: string, path: string): Promise<void> =>
    stageState({ received: copy, path, group: 1, index: 20, term: 2 });
  afterEach(async () => {
    for (const store of stores.splice(0)) await store.close();
  });
  afterAll(() => rmSync(home, { recursive: true }));

  test("the file that is held stays byte for byte what it is", async () => {
    const store = await open(newPath());
    const history = new ModelHistory();
    await fill(store, history, 1, 3000);
    const given = await holding(store);
    const before = hashOf(given.path);
    await fill(store, history, 3001, 9000);
    await new Promise<void>((resolve) => store.compact(6000, resolve));
    expect(hashOf(given.path)).toBe(before);
    given.release();
    expect(await checkpointed(store)).toBe(9000);
    expect(hashOf(given.path)).not.toBe(before);
  });

  test("a hold ends when its WAL is full: its holders hear it before it changes", async () => {
    const store = await open(newPath(), 400_000);
    const history = new ModelHistory();
    await fill(store, history, 1, 10);
    const [first, second] = [await holding(store), await holding(store)];
    const before = hashOf(first.path);
    let told = "";
    let index = 10;
    first.onBroken = () => {
      told = hashOf(first.path);
      expect([first.broken, second.broken]).toEqual([true, true]);
    };
    while (told === "") {
      await fill(store, history, index + 1, index + 100);
      index += 100;
    }
    expect(told).toBe(before);
    expect(await checkpointed(store)).toBe(index);
    first.release(); // means nothing
    second.release();
    const third = await holding(store);
    expect([third.index, third.broken]).toEqual([index, false]);
  });

  test("an install and the end of the store break what is held", async () => {
    const path = newPath();
    const store = await open(path);
    await stage(await received(), path);
    const during = await holding(store);
    await installed(store, 20);
    expect(during.broken).toBe(true);
    const last = await holding(store);
    expect(last.broken).toBe(false);
    await store.close();
    expect(last.broken).toBe(true);
  });

  test("the WAL that grew beside a held state is given back", async () => {
    const path = newPath();
    const store = await open(path);
    const given = await holding(store);
    const head = { sub: 0, prev: 0, jump: 0, depth: 1, tombstone: false };
    const kv = Buffer.alloc(1 << 20, 1);
    for (let seq = 1; seq <= 80; seq++) {
      await stored(store, batch(seq, { rows: [{ ...head, seq, revision: seq + 1, kv }] }));
    }
    expect(statSync(`${path}-wal`).size).toBeGreaterThan(80 << 20);
    given.release();
    await checkpointed(store);
    await stored(store, batch(81)); // the first commit that starts the WAL over
    expect(statSync(`${path}-wal`).size).toBeLessThanOrEqual(64 << 20);
  });

  const refusals: [string, string, string][] = [
    ["another index", "UPDATE applied SET idx = 21", "the applied index fails its checksum"],
    ["a damaged row", "UPDATE row SET kv = x'00' WHERE seq = 7", "row 7 fails its checksum"],
    ["a moved row", "UPDATE row SET seq = 99 WHERE seq = 20", "row 99 fails its checksum"],
    ["a lost row", "DELETE FROM row WHERE seq = 7", "19 rows and 1 records instead of 20 rows"],
    [
      "a damaged record",
      "UPDATE record SET value = x'00'",
      'record meta "last" fails its checksum',
    ],
    ["a lost record", "DELETE FROM record", "20 rows and 0 records instead of 20 rows"],
    ["another group", "UPDATE applied SET grp = 2", "it holds another group than 1"],
    ["another format", "UPDATE format SET version = 99", "newer than this program's"],
    ["another program", "UPDATE format SET program = 'x'", "not a file of aether state"],
  ];
  for (const [name, sql, message] of refusals) {
    test(`a copy with ${name} is refused and left where it is`, async () => {
      const [path, copy] = [newPath(), await received()];
      const db = new Database(copy);
      db.run("PRAGMA journal_mode = DELETE");
      db.run(sql);
      db.close(true);
      await expect(stage(copy, path)).rejects.toThrow(message);
      expect([existsSync(copy), existsSync(`${path}.next`)]).toEqual([true, false]);
    });
  }

  test("a copy of another state than Raft says, and what is no copy, are refused", async () => {
    const [path, copy] = [newPath(), await received()];
    const as = (index: number, term: number): Promise<void> =>
      stageState({ received: copy, path, group: 1, index, term });
    await expect(as(19, 2)).rejects.toThrow("is the state after 20 of term 2, not after 19 of 2");
    await expect(as(20, 3)).rejects.toThrow("its sender's may be damaged");
    const whole = readFileSync(copy);
    writeFileSync(copy, whole.subarray(0, whole.length - 4096));
    await expect(as(20, 2)).rejects.toThrow("corrupt");
    writeFileSync(copy, "no database at all".repeat(1000));
    await expect(as(20, 2)).rejects.toThrow("SQLITE_NOTADB");
    writeFileSync(copy, "");
    await expect(as(20, 2)).rejects.toThrow("not a file of aether state");
    expect(existsSync(`${path}.next`)).toBe(false);
  });

  test("what is read while a state is installed is the old one or the new one", async () => {
    const path = newPath();
    const store = await open(path);
    const history = new ModelHistory();
    history.revision = 100;
    await fill(store, history, 1, 9);
    const old = shown(store);
    await stage(await received(), path);
    let done = false;
    const ended = installed(store, 20).then(() => {
      done = true;
    });
    let reads = 0;
    for (; !done; reads++) {
      expect(shown(store)).toEqual(old);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await ended;
    expect(reads).toBeGreaterThan(0);
    expect(shown(store)).toHaveLength(20);
  });
});

function hashOf(path: string): string {
  return new Bun.CryptoHasher("sha256").update(readFileSync(path)).digest("hex");
}
