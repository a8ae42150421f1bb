/**
 * Damaged, shortened and missing files of a data directory: a start finds what was written, or
 * refuses with the name of a file and the way out. It never finds something else.
 */
import { Database } from "bun:sqlite";
import { afterAll, describe, expect, test } from "bun:test";
import {
  copyFileSync,
  cpSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Prng } from "../../src/base/prng.ts";
import { writeIdentity } from "../../src/storage/identity.ts";
import { openLogStore } from "../../src/storage/log-store.ts";
import { openStill } from "../../src/storage/sqlite.ts";
import type { HeldFile } from "../../src/storage/state-holds.ts";
import { stageState } from "../../src/storage/state-staging.ts";
import { openStateStore } from "../../src/storage/state-store.ts";
import {
  APPLIED,
  IDENTITY,
  makeMember,
  onFatal,
  start,
  startOrRefuse,
  WAY_OUT,
  withStores,
} from "./damaged-member.ts";
import { durable, entries, snapshotAt } from "./log-store.contract.ts";
import { fill, held } from "./state-snapshot.contract.ts";
import { batch, ModelHistory, stored } from "./state-store.contract.ts";

const home = mkdtempSync(join(tmpdir(), "aether-damage-"));
afterAll(() => rmSync(home, { recursive: true }));

/** A start takes 20 ms, on a busy machine five times as long. */
const FLIPS = 24;
const SLOW_MS = 60_000;

const member = join(home, "member");
const files = {
  log: join(member, "raft.db"),
  state: join(member, "group-1", "state.db"),
  identity: join(member, "identity.json"),
};
await makeMember(member);
const whole = await start(member);
let copies = 0;

/** A copy of the member, changed; what its start says. */
async function startAfter(
  change: (copy: string) => void,
): Promise<{ seen?: unknown; refusal?: string; path: string }> {
  const path = join(home, `copy-${++copies}`);
  cpSync(member, path, { recursive: true });
  change(path);
  const result = { ...(await startOrRefuse(path)), path };
  rmSync(path, { recursive: true });
  return result;
}

function flipBit(file: string, bit: number): void {
  const bytes = readFileSync(file);
  bytes[bit >> 3] = (bytes[bit >> 3] as number) ^ (1 << (bit & 7));
  writeFileSync(file, bytes);
}

const PAGE_BITS = 4096 * 8;

/** Bits worth flipping: in pages that hold something, in turn in their heads and their cells. */
function bitsToFlip(file: string, seed: number): number[] {
  const prng = new Prng(seed);
  const size = statSync(file).size * 8;
  if (!file.includes(".db")) return Array.from({ length: FLIPS }, () => prng.below(size));
  const db = openStill(file);
  const pages = db.query("SELECT pageno, unused FROM dbstat WHERE ncell > 0").values();
  db.close(true);
  return Array.from({ length: FLIPS }, (_, i) => {
    const [page, unused] = prng.pick(pages as [number, number][]);
    const inCells = unused * 8 + prng.below((4096 - unused) * 8); // they lie at a page's end
    return (page - 1) * PAGE_BITS + (i % 2 === 0 ? inCells : prng.below(24 * 8));
  });
}

describe("one bit flipped", () => {
  for (const [name, file] of Object.entries(files)) {
    const work = async (): Promise<void> => {
      const relative = file.slice(member.length + 1);
      let refused = 0;
      for (const bit of bitsToFlip(file, 20260802)) {
        const change = (copy: string): void => flipBit(join(copy, relative), bit);
        const { seen, refusal, path } = await startAfter(change);
        if (refusal === undefined) expect({ bit, seen }).toEqual({ bit, seen: whole });
        else {
          refused++;
          expect(refusal).toContain(join(path, relative));
          expect(refusal).toContain(refusal.includes("newer") ? "start the newer" : WAY_OUT);
        }
      }
      expect(refused).toBeGreaterThan(FLIPS / 8);
    };
    test(`anywhere in ${name}: what was written is found, or the file is named`, work, SLOW_MS);
  }
});

test("a file that has lost all its tables is not taken for a new one", async () => {
  for (const file of [files.log, files.state]) {
    const path = join(home, `no-tables-${++copies}.db`);
    copyFileSync(file, path);
    const bytes = readFileSync(path);
    bytes.writeUInt16BE(0, 100 + 3); // cells of the schema's page (fileformat2 §1.6)
    writeFileSync(path, bytes);
    const open = file === files.log ? openLogStore : openStateStore;
    const message = new RegExp(`${path}: not a file of aether .*; if it was one, ${WAY_OUT}`);
    await expect(open({ path, group: 1, onFatal, logStart: undefined })).rejects.toThrow(message);
  }
});

test("a page that shows one cell twice has lost another", async () => {
  for (const [table, message] of [
    ["record", "its records are out of order"],
    ["row", "row 1 stands after row 1"],
  ]) {
    const db = openStill(files.state);
    const page = db
      .query("SELECT min(pageno) AS n FROM dbstat WHERE name = ? AND pagetype = 'leaf'")
      .get(table ?? "") as { n: number };
    db.close(true);
    const pointers = (page.n - 1) * 4096 + 8; // of two bytes each (fileformat2 §1.6)
    const { refusal } = await startAfter((copy) => {
      const file = join(copy, "group-1", "state.db");
      const bytes = readFileSync(file);
      bytes.copyWithin(pointers + 2, pointers, pointers + 2);
      writeFileSync(file, bytes);
    });
    expect(refusal).toContain(`state.db: ${message}; ${WAY_OUT}`);
  }
});

describe("a file that ends too early", () => {
  for (const [name, file] of Object.entries(files)) {
    test(`${name}: refused by name`, async () => {
      const relative = file.slice(member.length + 1);
      const { size } = statSync(file);
      for (const kept of [0, 1, 50, Math.floor(size / 2), size - 4096]) {
        if (kept < 0) continue;
        const result = await startAfter((copy) => truncateSync(join(copy, relative), kept));
        expect(result.refusal ?? `${kept} bytes are enough`).toContain(join(result.path, relative));
        expect(result.refusal).toContain(WAY_OUT);
      }
    });
  }
});

describe("a file that is gone", () => {
  const missing: [string, string, string][] = [
    ["raft.db", "raft.db", "it is gone, and this member has begun"],
    ["state.db", "group-1/state.db", "it is gone, and this member has begun"],
    ["the folder of a group", "group-1", "group-1/state.db: it is gone"],
    ["identity.json", "identity.json", "it is gone, and there is a log or a state"],
  ];
  for (const [name, relative, message] of missing) {
    test(`${name}: refused, and not founded again`, async () => {
      const { refusal } = await startAfter((copy) =>
        rmSync(join(copy, relative), { recursive: true }),
      );
      expect(refusal).toContain(message);
      expect(refusal).toContain(WAY_OUT);
    });
  }

  test("log and state together: refused, however little else is missing", async () => {
    const both = ["raft.db", "group-1"];
    for (const gone of [both, [...both, "format"], [...both, "lock.db", "lock.pid"]]) {
      const { refusal } = await startAfter((copy) => {
        for (const name of gone) rmSync(join(copy, name), { recursive: true, force: true });
      });
      expect(refusal).toContain(gone.includes("format") ? "not a data directory" : "it is gone");
    }
  });

  test("the log's WAL after a kill: the state has applied what the log has not", async () => {
    const path = join(home, "killed");
    const killed = `${path}-copy`;
    cpSync(member, path, { recursive: true });
    await withStores(path, async ({ log, state }) => {
      const hardState = { term: 2, vote: 3n, commit: 130 };
      await durable(log, { entries: entries(APPLIED + 4, 131), hardState });
      await stored(state, batch(130, { appliedTerm: 9 }));
      cpSync(path, killed, { recursive: true });
    });
    rmSync(join(killed, "raft.db-wal"));
    const { refusal } = await startOrRefuse(killed);
    expect(refusal).toContain(`raft.db: it ends at ${APPLIED + 3}, and 130 was applied`);
    expect(refusal).toContain(WAY_OUT);
  });
});

describe("a copy beside the state", () => {
  /** A member whose copy was staged and, if `committed`, its log restarted after it. */
  const staged = async (path: string, committed: boolean): Promise<void> => {
    await withStores(path, async ({ log, state }, dataDir) => {
      writeIdentity(dataDir.path, IDENTITY);
      const hardState = { term: 1, vote: 0n, commit: 1 };
      await durable(log, { snapshot: snapshotAt(1), hardState });
      await durable(log, { entries: entries(2, 8), hardState });
      await fill(state, new ModelHistory(), 1, 7);
      const copy = { received: join(path, "received"), path: dataDir.statePath(1) };
      await sendCopy(copy.received);
      await stageState({ ...copy, group: 1, index: 40, term: 3 });
      if (!committed) return;
      const after = { ...hardState, term: 3, commit: 40 };
      await durable(log, { snapshot: snapshotAt(40, 3), hardState: after });
    });
  };
  const sendCopy = async (received: string): Promise<void> => {
    const path = `${received}.db`;
    const sender = await openStateStore({
      path,
      group: 1,
      onFatal,
      sync: false,
      logStart: undefined,
    });
    await fill(sender, new ModelHistory(), 1, 40);
    const given = await held(sender);
    copyFileSync((given as HeldFile).path, received);
    await sender.close();
    for (const suffix of ["", "-wal", "-shm"]) rmSync(`${path}${suffix}`, { force: true });
  };
  const next = join("group-1", "state.db.next");

  const needed = async (): Promise<void> => {
    const before = join(home, "committed");
    await staged(before, true);
    const sent = await startOrRefuseCopy(before);
    expect(sent.refusal).toBeUndefined();
    let refused = 0;
    for (const bit of bitsToFlip(join(before, next), 20260803)) {
      const change = (copy: string): void => flipBit(join(copy, next), bit);
      const { seen, refusal } = await startOrRefuseCopy(before, change);
      if (refusal === undefined) expect({ bit, seen }).toEqual({ bit, seen: sent.seen });
      else {
        refused++;
        expect(refusal).toMatch(/group-1\/state\.db(\.next)?: /);
        expect(refusal).toContain(refusal.includes("newer") ? "start the newer" : WAY_OUT);
      }
    }
    expect(refused).toBeGreaterThan(FLIPS / 8);
    for (const kept of [0, 100, statSync(join(before, next)).size - 4096]) {
      const cut = await startOrRefuseCopy(before, (copy) => truncateSync(join(copy, next), kept));
      expect(cut.refusal).toMatch(/group-1\/state\.db(\.next)?: .*remove this member/);
    }
    const gone = await startOrRefuseCopy(before, (copy) => rmSync(join(copy, next)));
    expect(gone.refusal).toContain("state.db: it ends at 7, and the log begins after 40");
  };
  test("damaged where the log needs it: it is found as sent, or named", needed, SLOW_MS);

  test("damaged where the log does not need it: it is dropped", async () => {
    const before = join(home, "staged");
    await staged(before, false);
    for (const change of [
      (file: string) => truncateSync(file, 100),
      (file: string) => flipBit(file, 3),
    ]) {
      const { seen } = await startOrRefuseCopy(before, (copy) => change(join(copy, next)));
      expect((seen as { seen: { appliedIndex: number } }).seen.appliedIndex).toBe(7);
    }
  });
});

/** Starts a copy of the directory, changed. */
async function startOrRefuseCopy(
  before: string,
  change: (copy: string) => void = () => {},
): Promise<{ seen?: unknown; refusal?: string }> {
  const path = join(home, `copy-${++copies}`);
  cpSync(before, path, { recursive: true });
  change(path);
  return startOrRefuse(path);
}

describe("damage found while the node runs", () => {
  const edit = (path: string, sql: string): void => {
    const db = new Database(path);
    db.run(sql);
    db.close(true);
  };

  test("a row of the state: whoever reads it gets nothing, and the node must stop", async () => {
    const path = join(home, "running-state.db");
    const fatal: string[] = [];
    const state = await openStateStore({
      path,
      group: 1,
      onFatal: (e) => fatal.push(e.message),
      logStart: undefined,
    });
    await fill(state, new ModelHistory(), 1, 20);
    edit(path, "UPDATE row SET kv = x'00' WHERE seq = 7");
    expect(state.scan(1, 7, 100)).toHaveLength(6);
    expect(() => state.read(7)).toThrow("row 7 fails its checksum");
    expect(() => state.scan(1, 20, 100)).toThrow(`${path}: row 7 fails its checksum`);
    expect(fatal).toEqual([expect.stringMatching(/row 7 fails its checksum; remove this member/)]);
    await state.close();
  });

  test("an entry of the log: as with the state", async () => {
    const path = join(home, "running-raft.db");
    const fatal: string[] = [];
    const log = await openLogStore({
      ...{ path, group: 1, recentBytesMax: 0 },
      onFatal: (error) => fatal.push(error.message),
    });
    for (let i = 1; i <= 3; i++) await durable(log, { entries: entries(i, i + 1) });
    edit(path, "UPDATE segment SET entries = x'00' WHERE last = 2");
    expect(log.read(3, 4, 1e9)).toHaveLength(1);
    expect(() => log.term(2)).toThrow("entries 2 to 2 fail their checksum");
    expect(() => log.read(1, 4, 1e9)).toThrow("entries 2 to 2 fail their checksum");
    expect(fatal).toEqual([expect.stringMatching(/fail their checksum; remove this member/)]);
    await log.close();
  });

  test("a state that was installed and does not read as it was checked", async () => {
    const path = join(home, "running-install.db");
    const sender = await openStateStore({
      path: `${path}.sender`,
      group: 1,
      onFatal,
      logStart: undefined,
    });
    await fill(sender, new ModelHistory(), 1, 20);
    const given = await held(sender);
    copyFileSync((given as HeldFile).path, `${path}.part`);
    await sender.close();
    const fatal = Promise.withResolvers<Error>();
    const state = await openStateStore({
      path,
      group: 1,
      onFatal: fatal.resolve,
      logStart: undefined,
    });
    await stageState({ received: `${path}.part`, path, group: 1, index: 20, term: 2 });
    edit(`${path}.next`, "PRAGMA journal_mode = DELETE");
    edit(`${path}.next`, "DELETE FROM row WHERE seq = 3");
    state.install(20, () => [...state.stored.rows]);
    expect((await fatal.promise).message).toContain(`${path}: it holds 19 rows instead of 20`);
    await state.close();
  });
});
