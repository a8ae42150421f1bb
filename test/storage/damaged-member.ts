/** A member's data directory for tests of damage: made, opened as a server opens it, looked at. */
import { AetherError } from "../../src/base/errors.ts";
import type { LogStore, StateStore } from "../../src/node/ports.ts";
import { requireFiles, requireFit } from "../../src/storage/data-check.ts";
import { type DataDir, openDataDir } from "../../src/storage/data-dir.ts";
import { writeIdentity } from "../../src/storage/identity.ts";
import { openLogStore } from "../../src/storage/log-store.ts";
import { openStateStore } from "../../src/storage/state-store.ts";
import { StorageError } from "../../src/storage/storage-error.ts";
import { durable, entries, snapshotAt } from "./log-store.contract.ts";
import { fill, found } from "./state-snapshot.contract.ts";
import { batch, ModelHistory, stored } from "./state-store.contract.ts";

export const IDENTITY = {
  clusterId: 0xc1a5n,
  memberId: 0x8e9e05c52164694dn,
  name: "a",
  begun: true,
};
export const WAY_OUT = "remove this member from the cluster, delete its data directory";

export function onFatal(error: Error): void {
  throw error;
}

interface Opened {
  readonly log: LogStore;
  readonly state: StateStore;
}

/** Opens what a server opens, in its order, and looks at all of it. */
export async function start(path: string): Promise<unknown> {
  const dataDir = openDataDir(path);
  let log: LogStore | undefined;
  let state: StateStore | undefined;
  try {
    requireFiles(dataDir, 1);
    const options = { group: 1, onFatal, sync: false };
    log = await openLogStore({ ...options, path: dataDir.logPath, recentBytesMax: 0 });
    const logStart = log.stored.snapshot?.index;
    state = await openStateStore({ ...options, path: dataDir.statePath(1), logStart });
    const seen = found(state);
    const { appliedIndex } = state.stored;
    const identity = requireFit(dataDir, 1, { log: log.stored, appliedIndex });
    const { firstIndex, lastIndex } = log.stored;
    return { identity, seen, log: log.stored, entries: log.read(firstIndex, lastIndex + 1, 1e9) };
  } finally {
    await log?.close();
    await state?.close();
    dataDir.release();
  }
}

/** What start() found, or why it refused; anything but a refusal is a failure of the test. */
export async function startOrRefuse(path: string): Promise<{ seen?: unknown; refusal?: string }> {
  try {
    return { seen: await start(path) };
  } catch (error) {
    const expected = error instanceof StorageError;
    if (!expected && !(error instanceof AetherError && error.code === "corrupt")) throw error;
    return { refusal: error.message };
  }
}

export async function withStores(
  path: string,
  use: (opened: Opened, dataDir: DataDir) => Promise<void>,
): Promise<void> {
  const dataDir = openDataDir(path);
  const options = { group: 1, onFatal };
  const log = await openLogStore({ ...options, path: dataDir.logPath });
  const logStart = log.stored.snapshot?.index;
  const state = await openStateStore({ ...options, path: dataDir.statePath(1), logStart });
  await use({ log, state }, dataDir);
  await log.close();
  await state.close();
  dataDir.release();
}

const LOG_START = 50;
export const APPLIED = 120;

/** A member whose log begins after LOG_START and ends with entries that are not committed yet. */
export async function makeMember(path: string): Promise<void> {
  await withStores(path, async ({ log, state }, dataDir) => {
    writeIdentity(dataDir.path, IDENTITY);
    const hardState = { term: 2, vote: 3n, commit: APPLIED };
    await durable(log, {
      snapshot: snapshotAt(LOG_START),
      hardState: { ...hardState, commit: 50 },
    });
    for (let index = LOG_START + 1; index <= APPLIED + 3; index++) {
      await durable(log, { entries: entries(index, index + 1) });
    }
    await durable(log, { hardState });
    await fill(state, new ModelHistory(), 1, APPLIED);
    const records = Array.from({ length: 200 }, (_, i) => ({
      ...{ space: "lease", key: `lease ${i}`, value: Buffer.from(`value ${i}`) },
    }));
    await stored(state, batch(APPLIED, { appliedTerm: 8, records }));
  });
}
