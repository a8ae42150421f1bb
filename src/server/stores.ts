/** What a node has on disk: its directory, its log, its state, and who it is. */

import { rmSync } from "node:fs";
import type { LogStore, StateStore } from "../node/ports.ts";
import { type Founding, storeFounding } from "../node/start.ts";
import type { MemberId } from "../raft/types.ts";
import { requireFiles, requireFit } from "../storage/data-check.ts";
import { type DataDir, openDataDir } from "../storage/data-dir.ts";
import { readIdentity, type StoredIdentity, writeIdentity } from "../storage/identity.ts";
import { openLogStore } from "../storage/log-store.ts";
import type { CompactionPace } from "../storage/state-database.ts";
import { openStateStore } from "../storage/state-store.ts";
import { StorageError } from "../storage/storage-error.ts";
import { standAlone } from "./stand-alone.ts";
import { random } from "./world.ts";

/** The first group owns the whole key space; regions will add more. */
export const FIRST_GROUP = 1;

/** EX_IOERR of sysexits.h: the log or the state could not be written. */
const EXIT_IO_ERROR = 74;

export interface Stores {
  readonly dataDir: DataDir;
  readonly log: LogStore;
  readonly state: StateStore;
  readonly options: StoresOptions;
  /** Who this node is, if it has begun: with a log that says so. */
  readonly identity: StoredIdentity | undefined;
}

export interface StoresOptions {
  /** How fast what compaction superseded is removed. */
  readonly compaction: CompactionPace;
  /** Where the log lies, if not in the data directory. */
  readonly logDir?: string | undefined;
  /** Nothing is synced: what was answered may be gone after a power cut. */
  readonly unsafeNoFsync?: boolean;
  /** The other members are gone for good: a member that has begun goes on alone. */
  readonly forceNewCluster?: boolean;
}

/** Opens everything in the order in which it is relied upon. Rejects with a text for people. */
export async function openStores(path: string, options: StoresOptions): Promise<Stores> {
  const dataDir = openDataDir(path, options.logDir);
  let log: LogStore | undefined;
  let state: StateStore | undefined;
  try {
    requireFiles(dataDir, FIRST_GROUP); // opening would make what is missing
    const sync = options.unsafeNoFsync !== true;
    const shared = { group: FIRST_GROUP, onFatal: dieOfStorage, sync };
    const openLog = (): Promise<LogStore> => openLogStore({ ...shared, path: dataDir.logPath });
    log = await openLog();
    const begun = readIdentity(dataDir.path);
    if (options.forceNewCluster === true && begun?.begun === true) {
      const isWritten = await standAlone(log, begun.memberId as MemberId, random);
      if (isWritten) {
        await log.close();
        log = await openLog();
      }
    }
    const logStart = log.stored.snapshot?.index;
    const { compaction } = options;
    const statePath = dataDir.statePath(FIRST_GROUP);
    state = await openStateStore({ ...shared, path: statePath, logStart, compaction });
    const { appliedIndex } = state.stored;
    const identity = requireFit(dataDir, FIRST_GROUP, { log: log.stored, appliedIndex });
    return { dataDir, log, state, options, identity };
  } catch (error) {
    await log?.close();
    await state?.close();
    dataDir.release();
    throw error;
  }
}

/**
 * Gives a founder the state that all founders begin with, durably, before its log begins. What an
 * earlier attempt left is removed: the members may have been others then.
 */
export async function foundState(stores: Stores, founding: Founding): Promise<Stores> {
  const { compaction, unsafeNoFsync } = stores.options;
  const path = stores.dataDir.statePath(FIRST_GROUP);
  const begin = { path, logStart: undefined, compaction, sync: unsafeNoFsync !== true };
  const options = { group: FIRST_GROUP, onFatal: dieOfStorage, ...begin };
  await stores.state.close();
  for (const suffix of ["", "-wal", "-shm"]) rmSync(path + suffix, { force: true });
  const empty = await openStateStore(options);
  await new Promise<void>((resolve) => storeFounding(empty, founding, resolve));
  await empty.close();
  return { ...stores, state: await openStateStore(options) };
}

export async function closeStores({ log, state, dataDir }: Stores): Promise<void> {
  await log.close();
  await state.close();
  dataDir.release();
}

/** Notes that the log has begun: from now on a directory without it is damaged. */
export function noteBegun({ dataDir, identity }: Stores): void {
  if (identity === undefined || identity.begun) return;
  writeIdentity(dataDir.path, { ...identity, begun: true });
}

/** Nothing may be answered after a failed write or damage, so the process ends here and now. */
function dieOfStorage(error: Error): never {
  const failed = error instanceof StorageError;
  const why = failed ? "a failed write is not retried" : "damaged data is not served";
  process.stderr.write(`aether: ${error.message}\naether: stopping: ${why}\n`);
  process.exit(EXIT_IO_ERROR);
}
