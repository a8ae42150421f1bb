/** Snapshots as files beside the data: made off the main thread, few at once, gone afterwards. */
import { afterAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AetherError } from "../../src/base/errors.ts";
import type { StateStore } from "../../src/node/ports.ts";
import { encodeKeyValue } from "../../src/proto/hot/key-value.ts";
import type { SnapshotSpool } from "../../src/rpc/snapshot.ts";
import { FileSpools, SNAPSHOTS_MAX } from "../../src/server/snapshot-spools.ts";
import type { Row } from "../../src/state/ports.ts";
import { openStateStore } from "../../src/storage/state-store.ts";
import { listed } from "../storage/bbolt/bbolt-files.ts";
import { until } from "../support/processes.ts";

const root = mkdtempSync(join(tmpdir(), "aether-spools-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const quiet = { trace() {}, debug() {}, info() {}, warn() {}, error() {} };

interface Bench {
  readonly store: StateStore;
  readonly spools: FileSpools;
  readonly directory: string;
  /** Puts `count` keys, one revision each; the index after. */
  put(count: number, onStored?: () => void): number;
  readonly names: () => string[];
}

let made = 0;

/** A state that is written to, and spools over it; `index` says what is applied. */
async function bench(index?: () => number): Promise<Bench> {
  const directory = join(root, String(++made));
  mkdirSync(join(directory, "snapshot-spool"), { recursive: true });
  writeFileSync(join(directory, "snapshot-spool", "1.db"), "what a crash left");
  const path = join(directory, "state.db");
  const onFatal = (error: Error): void => {
    throw error;
  };
  const store = await openStateStore({ path, group: 1, logStart: undefined, onFatal, sync: false });
  let applied = 1;
  let seq = 0;
  const appliedIndex = index ?? (() => applied);
  const spools = new FileSpools({ dataDir: directory, path, group: 1, appliedIndex, log: quiet });
  const put: Bench["put"] = (count, onStored = () => {}) => {
    const rows: Row[] = [];
    for (let i = 0; i < count; i++) {
      const revision = ++seq + 1;
      const key = `k${seq}`;
      const value = Buffer.alloc(200, 120);
      const version = { createRevision: revision, modRevision: revision, version: 1, lease: 0n };
      const kv = encodeKeyValue({ key, value, ...version });
      const chain = { prev: 0, jump: 0, depth: 1, tombstone: false };
      rows.push({ seq, revision, sub: 0, ...chain, kv });
    }
    store.write({ appliedIndex: ++applied, appliedTerm: 1, rows, records: [] }, onStored);
    return applied;
  };
  const names = (): string[] => readdirSync(join(directory, "snapshot-spool"));
  return { store, spools, directory, put, names };
}

function take(spools: FileSpools): Promise<SnapshotSpool | AetherError> {
  return new Promise((resolve) => spools.take(resolve));
}

async function taken(spools: FileSpools): Promise<SnapshotSpool> {
  const spool = await take(spools);
  if (spool instanceof AetherError) throw spool;
  return spool;
}

/** How many revisions a snapshot holds, after a check of all of it. */
async function revisionsOf(spool: SnapshotSpool, directory: string): Promise<number> {
  const bytes = await spool.read(0, spool.bytes);
  return listed(directory, bytes).filter((line) => line.startsWith("key/")).length;
}

describe("a snapshot", () => {
  test("has what was applied when it was asked for", async () => {
    const { spools, put, store, directory } = await bench();
    put(5000);
    const asked = take(spools);
    put(300); // may be in it or not
    const spool = (await asked) as SnapshotSpool;
    expect(await revisionsOf(spool, directory)).toBeGreaterThanOrEqual(5000);
    spool.close();
    await store.close();
  });

  test("is one state, while writes and compactions go on", async () => {
    const { spools, put, store, directory } = await bench();
    put(20_000);
    const asked = taken(spools);
    let writes = 0;
    let ended = false;
    void asked.finally(() => {
      ended = true;
    });
    while (!ended) {
      await new Promise<void>((resolve) => put(50, resolve));
      writes++;
    }
    const spool = await asked;
    expect((await revisionsOf(spool, directory)) % 50).toBe(0); // whole batches
    expect(writes).toBeGreaterThan(1);
    spool.close();
    await store.close();
  });

  test("leaves nothing behind, nor does an earlier process", async () => {
    const { spools, store, names, directory, put } = await bench();
    expect(existsSync(join(directory, "snapshot-spool"))).toBeFalse();
    put(1);
    const spool = await taken(spools);
    expect(names()).toEqual([]);
    expect((await spool.read(0, 4096)).length).toBe(4096);
    spool.close();
    await store.close();
  });

  test("nobody waits for any more is not made", async () => {
    let index = 1_000_000; // never applied: it would be waited for
    const { spools, store, names, put } = await bench(() => index);
    put(1);
    let told = false;
    const giveUp = spools.take(() => {
      told = true;
    });
    await until("it is being made", () => names().length === 1);
    giveUp();
    index = 1;
    const next = await taken(spools);
    expect([told, names()]).toEqual([false, []]);
    next.close();
    await store.close();
  });
});

describe("bounds", () => {
  test("so many at once, and as many again when they have ended", async () => {
    const { spools, store, put } = await bench();
    put(10);
    for (let round = 0; round < 2; round++) {
      const all = Array.from({ length: SNAPSHOTS_MAX }, () => taken(spools));
      const refused = await take(spools);
      expect(refused instanceof AetherError && refused.code).toBe("too_many_snapshots");
      for (const spool of await Promise.all(all)) spool.close();
    }
    await store.close();
  });

  test("a state that cannot be read is told, and the next one is made", async () => {
    const { spools, store, directory, put } = await bench();
    put(10);
    rmSync(join(directory, "snapshot-spool"), { recursive: true, force: true });
    writeFileSync(join(directory, "snapshot-spool"), "a file where the directory should be");
    const failed = await take(spools);
    expect(failed instanceof AetherError && failed.code).toBe("unhealthy");
    rmSync(join(directory, "snapshot-spool"));
    (await taken(spools)).close();
    await store.close();
  });
});
