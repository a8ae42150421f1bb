/** What a node has on disk: its directory, its log, its state, and who it is. */

import type { LogStore, StateStore } from "../node/ports.ts";
import { type DataDir, openDataDir } from "../storage/data-dir.ts";
import { readIdentity, type StoredIdentity, writeIdentity } from "../storage/identity.ts";
import { openLogStore } from "../storage/log-store.ts";
import { openStateStore } from "../storage/state-store.ts";
import { DAMAGE_ADVICE, StorageError } from "../storage/storage-error.ts";

/** The first group owns the whole key space; regions will add more. */
export const FIRST_GROUP = 1;

/** EX_IOERR of sysexits.h: the log or the state could not be written. */
const EXIT_IO_ERROR = 74;

export interface Stores {
  readonly dataDir: DataDir;
  readonly log: LogStore;
  readonly state: StateStore;
  /** Who this node is, if it has begun: with a log that says so. */
  readonly identity: StoredIdentity | undefined;
}

/** Opens everything in the order in which it is relied upon. Rejects with a text for people. */
export async function openStores(path: string): Promise<Stores> {
  const dataDir = openDataDir(path);
  let log: LogStore | undefined;
  let state: StateStore | undefined;
  try {
    const options = { group: FIRST_GROUP, onFatal: dieOfStorage };
    log = await openLogStore({ ...options, path: dataDir.logPath });
    const logStart = log.stored.snapshot?.index;
    state = await openStateStore({ ...options, path: dataDir.statePath(FIRST_GROUP), logStart });
    return { dataDir, log, state, identity: knownIdentity(dataDir.path, log, state) };
  } catch (error) {
    await log?.close();
    await state?.close();
    dataDir.release();
    throw error;
  }
}

export async function closeStores({ log, state, dataDir }: Stores): Promise<void> {
  await log.close();
  await state.close();
  dataDir.release();
}

/**
 * The identity is durable before the log begins, and says so once it has: a log without one is
 * somebody's, not ours, and one that is gone takes promises with it that nobody may break.
 */
function knownIdentity(path: string, log: LogStore, state: StateStore): StoredIdentity | undefined {
  const identity = readIdentity(path);
  const hasLog = log.stored.hardState !== undefined;
  const hasStart = log.stored.snapshot !== undefined;
  if (identity === undefined && (hasLog || state.stored.appliedIndex > 0)) {
    const lost = `${path}/identity.json: gone, but there is a Raft log or a state beside it`;
    throw new StorageError("unusable", `${lost}; ${DAMAGE_ADVICE}`);
  }
  if (identity === undefined || hasStart) return identity;
  if (identity.begun || state.stored.appliedIndex > 0) {
    throw new StorageError("unusable", `${path}/raft.db: the Raft log is gone; ${DAMAGE_ADVICE}`);
  }
  return undefined; // it never had a state, and so promised nothing of one: it begins again
}

/** Notes that the log has begun: from now on a directory without it is damaged. */
export function noteBegun({ dataDir, identity }: Stores): void {
  if (identity === undefined || identity.begun) return;
  writeIdentity(dataDir.path, { ...identity, begun: true });
}

/** Nothing may be answered after a failed write, so the process ends here and now. */
function dieOfStorage(error: Error): never {
  process.stderr.write(
    `aether: ${error.message}\naether: stopping: a failed write is not retried\n`,
  );
  process.exit(EXIT_IO_ERROR);
}
