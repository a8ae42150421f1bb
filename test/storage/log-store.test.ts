/** The Raft log on SQLite: the contract, and what only a file can do. */
import { Database } from "bun:sqlite";
import { afterAll, afterEach, describe, expect, test } from "bun:test";
import { copyFileSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { LogStore } from "../../src/node/ports.ts";
import { LogDatabase } from "../../src/storage/log-database.ts";
import { checksumSeed, encodeCompact, encodeWrite } from "../../src/storage/log-format.ts";
import { type LogStoreOptions, openLogStore } from "../../src/storage/log-store.ts";
import { MemoryLogDisk, MemoryLogStore } from "../../src/storage/memory-log.ts";
import {
  durable,
  entries,
  entry,
  type LogHarness,
  logStoreContract,
  snapshotAt,
  writing,
} from "./log-store.contract.ts";

function onFatal(error: Error): void {
  throw error;
}

function sqliteHarness(options: Partial<LogStoreOptions>): LogHarness {
  const home = mkdtempSync(join(tmpdir(), "aether-log-"));
  const path = join(home, "raft.db");
  return {
    open: () => openLogStore({ path, group: 1, onFatal, sync: false, ...options }),
    dispose: () => rmSync(home, { recursive: true }),
  };
}

logStoreContract("SQLite", () => sqliteHarness({}));
logStoreContract("SQLite without recent entries", () => sqliteHarness({ recentBytesMax: 0 }));
logStoreContract("SQLite with few recent entries", () => sqliteHarness({ recentBytesMax: 900 }));
logStoreContract("memory", () => {
  const disk = new MemoryLogDisk();
  return { open: async () => new MemoryLogStore(disk), dispose: () => {} };
});

describe("raft.db", () => {
  const home = mkdtempSync(join(tmpdir(), "aether-log-"));
  let path = "";
  let count = 0;
  let store: LogStore | undefined;
  const open = async (group = 1): Promise<LogStore> => {
    store = await openLogStore({ path, group, onFatal, sync: false, recentBytesMax: 0 });
    return store;
  };
  const filled = async (): Promise<void> => {
    path = join(home, `${++count}.db`);
    const log = await open();
    for (let i = 1; i <= 5; i++) await durable(log, { entries: [entry(i)] });
    await durable(log, { hardState: { term: 1, vote: 0n, commit: 4 } });
    await log.close();
  };
  const damage = (sql: string): void => {
    const db = new Database(path);
    db.run("PRAGMA busy_timeout = 10000"); // an open store may be at a checkpoint
    db.run(sql);
    db.close(true);
  };
  afterEach(async () => {
    await store?.close();
    store = undefined;
  });

  afterAll(() => rmSync(home, { recursive: true }));

  const damages: [string, string, string][] = [
    [
      "a flipped byte",
      "UPDATE segment SET entries = zeroblob(length(entries)) WHERE last = 3",
      "entries 3 to 3 fail their checksum",
    ],
    [
      "a lost entry",
      "DELETE FROM segment WHERE last = 3",
      "entries are missing: 2 is followed by 4",
    ],
    [
      "a lost tail",
      "DELETE FROM segment WHERE last > 3",
      "commit index 4 is after the last entry, 3",
    ],
    [
      "a lost tail that was not committed",
      "DELETE FROM segment WHERE last > 4",
      "the last entry is 4, and 5 was written",
    ],
    ["a moved row", "UPDATE segment SET id = id + 1, last = last + 1 WHERE last = 5", "missing"],
    [
      "a changed hard state",
      "UPDATE hard_state SET vote = '7'",
      "the hard state fails its checksum",
    ],
    [
      "a forged snapshot",
      "INSERT INTO snapshot VALUES (1, 3, 1, '{}', 0)",
      "snapshot position fails",
    ],
    ["another group", "UPDATE hard_state SET grp = 2", "another group than 1"],
    ["a newer format", "UPDATE format SET version = 3", "newer than this program's 2"],
    ["another program", "UPDATE format SET program = 'x'", "not a file of aether raft log"],
  ];
  for (const [name, sql, message] of damages) {
    test(`${name} refuses to start`, async () => {
      await filled();
      damage(sql);
      await expect(open()).rejects.toThrow(message);
    });
  }

  test("a log that was cut shorter is not taken for one that lost its tail", async () => {
    await filled();
    let log = await open();
    await durable(log, { entries: [entry(6)] });
    await log.close();
    log = await open();
    await durable(log, { entries: [entry(5, 2)] }); // 6 goes
    copyFileSync(path, `${path}-killed`);
    copyFileSync(`${path}-wal`, `${path}-killed-wal`);
    await log.close();
    path = `${path}-killed`;
    expect((await open()).stored.lastIndex).toBe(5);
  });

  test("a clean stop names the end, whatever came after the last hard state", async () => {
    await filled();
    const log = await open();
    await durable(log, { entries: [entry(6)] });
    await log.close();
    damage("DELETE FROM segment WHERE last = 6");
    await expect(open()).rejects.toThrow("the last entry is 5, and 6 was written");
  });

  test("a damaged row says what to do, and names the file", async () => {
    await filled();
    damage("UPDATE segment SET crc = crc + 1 WHERE last = 2");
    const error = await open().then(
      () => undefined,
      (refusal) => refusal,
    );
    expect(error?.code).toBe("corrupt");
    expect(error?.message).toBe(
      `corrupt: ${path}, group 1: entries 2 to 2 fail their checksum; remove this member from the` +
        " cluster, delete its data directory and add it as a new member",
    );
  });

  test("damage below what is checked at start is found when it is read", async () => {
    await filled();
    const log = await open();
    damage("UPDATE segment SET crc = crc + 1 WHERE last = 2");
    expect(log.read(3, 6, 1e9)).toHaveLength(3);
    expect(() => log.read(1, 6, 1e9)).toThrow("entries 2 to 2 fail their checksum");
    damage("DELETE FROM segment WHERE last = 4");
    expect(() => log.read(3, 6, 1e9)).toThrow("entries 4 to 4 are missing");
  });

  test("a file that is no database is refused with its name", async () => {
    path = join(home, "garbage.db");
    await Bun.write(path, "this is no database at all, it only looks like a file".repeat(100));
    await expect(open()).rejects.toThrow(`${path}: cannot be opened: SQLITE_NOTADB`);
  });

  test("entries that were left under a snapshot by a crash are no gap", () => {
    path = join(home, "stale.db");
    const seed = checksumSeed(1);
    const options = { path, group: 1, sync: "off" } as const;
    let db = LogDatabase.open(options);
    for (let i = 1; i <= 500; i++) db.commit([encodeWrite(writing({ entries: [entry(i)] }), seed)]);
    db.commit([encodeCompact(snapshotAt(400))]); // removes one slice only
    db.close();
    expect(rowCount(path)).toBeGreaterThan(400);
    db = LogDatabase.open(options);
    expect(db.found.lastIndex).toBe(500);
    while (db.work(true));
    db.close();
    expect(rowCount(path)).toBe(100);
  });

  test("a snapshot far after the log leaves no row behind", () => {
    path = join(home, "far.db");
    const seed = checksumSeed(1);
    const db = LogDatabase.open({ path, group: 1, sync: "off" });
    db.commit([encodeWrite(writing({ entries: entries(1, 300) }), seed)]);
    const far = { snapshot: snapshotAt(1e9), entries: entries(1e9 + 1, 1e9 + 3) };
    db.commit([encodeWrite(writing(far), seed)]);
    while (db.work(true));
    db.close();
    expect(rowCount(path)).toBe(1);
  });

  test("the WAL is recycled, not grown, and quiet moments make its room", () => {
    path = join(home, "wal.db");
    const db = LogDatabase.open({ path, group: 1, sync: "off" });
    db.quiet();
    const grown = statSync(`${path}-wal`).size;
    expect(grown).toBeGreaterThan(5 << 20);
    const seed = checksumSeed(1);
    for (let i = 1; i <= 4000; i++) {
      db.commit([encodeWrite(writing({ entries: [entry(i, 1, "x".repeat(4096))] }), seed)]);
      db.work(false);
    }
    expect(statSync(`${path}-wal`).size).toBe(grown);
    db.close();
  });

  test("writes that wait together share one transaction", async () => {
    path = join(home, "group-commit.db");
    store = await openLogStore({ path, group: 1, onFatal });
    await durable(store, {});
    const answers: Promise<void>[] = []; // too few to fill the WAL, where counting starts over
    for (let i = 1; i <= 400; i++) answers.push(durable(store, { entries: [entry(i)] }));
    await Promise.all(answers);
    const commits = walCommits(path);
    expect(commits).toBeGreaterThan(0);
    expect(commits).toBeLessThan(100);
  });
});

function rowCount(path: string): number {
  const db = new Database(path, { readonly: true });
  const row = db.query("SELECT count(*) AS n FROM segment").get() as { n: number };
  db.close(true);
  return row.n;
}

/** Commits in the current round of a WAL: frames that carry a database size (fileformat2 §4.1). */
function walCommits(path: string): number {
  const wal = readFileSync(`${path}-wal`);
  const salt = wal.subarray(16, 24);
  let commits = 0;
  for (let at = 32; at + 24 <= wal.length; at += 24 + 4096) {
    if (!wal.subarray(at + 8, at + 16).equals(salt)) break;
    if (wal.readUInt32BE(at + 4) !== 0) commits++;
  }
  return commits;
}
