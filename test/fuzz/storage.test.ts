/**
 * Files that were damaged, opened as a server, a receiver of a copy or whoever restores opens them.
 * Each finds what was written, or refuses by name; it never finds something else, and never ends
 * with another error. Bits that are flipped at chosen places: test/storage/damage.test.ts.
 */
import { afterAll, expect, test } from "bun:test";
import {
  copyFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { AetherError } from "../../src/base/errors.ts";
import { importState } from "../../src/storage/etcd/import-state.ts";
import { historyHash } from "../../src/storage/etcd/inspect.ts";
import { openSnapshot, type SnapshotFile } from "../../src/storage/etcd/snapshot-file.ts";
import type { HeldFile } from "../../src/storage/state-holds.ts";
import { stageState } from "../../src/storage/state-staging.ts";
import { openStateStore } from "../../src/storage/state-store.ts";
import { StorageError } from "../../src/storage/storage-error.ts";
import {
  APPLIED,
  makeMember,
  onFatal,
  start,
  startOrRefuse,
  withStores,
} from "../storage/damaged-member.ts";
import { sampleSnapshot } from "../storage/etcd/sample-snapshot.ts";
import { durable, entries } from "../storage/log-store.contract.ts";
import { fill, found, held } from "../storage/state-snapshot.contract.ts";
import { batch, ModelHistory, stored } from "../storage/state-store.contract.ts";
import { type Damage, damaged, damages } from "./damage.ts";
import { fuzz } from "./fuzz.ts";

const home = mkdtempSync(join(tmpdir(), "aether-fuzz-storage-"));
afterAll(() => rmSync(home, { recursive: true, force: true }));

let copies = 0;

/** A copy of a directory with a file of it damaged; what its start says, and removed again. */
async function startDamaged(
  directory: string,
  file: string,
  all: readonly Damage[],
): Promise<{ seen?: unknown; refusal?: string }> {
  const path = join(home, `copy-${++copies}`);
  cpSync(directory, path, { recursive: true });
  try {
    writeFileSync(join(path, file), damaged(readFileSync(join(path, file)), all));
    return await startOrRefuse(path);
  } finally {
    rmSync(path, { recursive: true, force: true });
  }
}

const member = join(home, "member");
await makeMember(member);
const whole = await start(member);

fuzz({
  name: "damaged-files",
  inputs: [fc.constantFrom("raft.db", "group-1/state.db", "identity.json"), damages],
  check: async (file, all) => {
    const { seen, refusal } = await startDamaged(member, file, all);
    if (refusal === undefined) expect(seen).toEqual(whole);
  },
  runs: 40,
});

/** A member that was killed: some of it is in the write-ahead logs alone. */
const killed = join(home, "killed");
{
  const living = join(home, "living");
  cpSync(member, living, { recursive: true });
  await withStores(living, async ({ log, state }) => {
    const hardState = { term: 2, vote: 3n, commit: APPLIED + 7 };
    await durable(log, { entries: entries(APPLIED + 4, APPLIED + 8), hardState });
    await stored(state, batch(APPLIED + 7, { appliedTerm: 9 }));
    cpSync(living, killed, { recursive: true });
  });
}

fuzz({
  name: "damaged-wal",
  inputs: [
    fc.constantFrom("raft.db-wal", "group-1/state.db-wal", "raft.db-shm", "group-1/state.db-shm"),
    damages,
  ],
  // What a torn end takes cannot be told from damage (SQLite's format): no other error is asked.
  check: async (file, all) => {
    await startDamaged(killed, file, all);
  },
  runs: 20,
});

const copy = join(home, "copy.db");
const COPY_INDEX = 300;
const COPY_TERM = 19;
let copySeen: unknown;
{
  const options = { path: join(home, "sender.db"), group: 1, onFatal, logStart: undefined };
  const sender = await openStateStore(options);
  await fill(sender, new ModelHistory(), 1, COPY_INDEX);
  copyFileSync(((await held(sender)) as HeldFile).path, copy);
  await sender.close();
  const again = await openStateStore(options); // what a store found is what it opened with
  copySeen = found(again);
  await again.close();
}

/** What a member finds that took the copy after `all` of this was done to it. */
async function taken(all: readonly Damage[]): Promise<unknown> {
  const folder = join(home, `received-${++copies}`);
  mkdirSync(folder);
  const [received, path] = [join(folder, "part"), join(folder, "state.db")];
  writeFileSync(received, damaged(readFileSync(copy), all));
  try {
    await stageState({ received, path, group: 1, index: COPY_INDEX, term: COPY_TERM });
    renameSync(`${path}.next`, path);
    const state = await openStateStore({ path, group: 1, onFatal, logStart: undefined });
    const seen = found(state);
    await state.close();
    return seen;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

test("an undamaged copy is taken", async () => {
  expect(await taken([])).toEqual(copySeen);
});

fuzz({
  name: "received-state",
  inputs: [damages],
  check: async (all) => {
    const seen = await taken(all).catch((error: unknown) => {
      if (isRefusal(error)) return copySeen;
      throw error;
    });
    expect(seen).toEqual(copySeen);
  },
  runs: 60,
});

function isRefusal(error: unknown): boolean {
  const typed = error instanceof AetherError && error.code === "corrupt";
  return typed || error instanceof StorageError;
}

const snapshot = sampleSnapshot(home);
const snapshotPath = join(home, "snapshot.db");

/** What is done with a snapshot, each by itself: one that another refuses must not end this one. */
const USES: readonly ((snapshot: SnapshotFile) => unknown)[] = [
  ({ reader }) => reader.check(() => undefined),
  ({ reader, damaged: damage }) => historyHash(reader, 0, damage),
  ({ reader, damaged: damage }) => {
    const rest = { members: [], appliedIndex: 1, appliedTerm: 1, bumpRevision: 0 };
    importState(reader, { damaged: damage, ...rest, store: () => undefined });
  },
  ({ hashed, mismatch }) => {
    if (!hashed || mismatch() !== undefined) return;
    expect(readFileSync(snapshotPath).equals(snapshot)).toBe(true);
  },
];

fuzz({
  name: "etcd-snapshot",
  inputs: [damages],
  check: async (all) => {
    writeFileSync(snapshotPath, damaged(snapshot, all));
    for (const use of USES) {
      try {
        await openSnapshot(snapshotPath, use);
      } catch (error) {
        if (!isRefusal(error)) throw error;
      }
    }
  },
  runs: 300,
});
