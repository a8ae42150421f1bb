/**
 * Whether the parts of a data directory belong together. Each store checks its own file; here is
 * what only two of them show: a part that is gone while another says that it was there. A member
 * without its log has forgotten promises (thesis §3.8): founded anew it could vote twice, so it is
 * refused and must come back as a new member.
 */
import { statSync } from "node:fs";
import { join } from "node:path";
import type { StoredLog } from "../node/ports.ts";
import type { DataDir } from "./data-dir.ts";
import { IDENTITY_FILE, readIdentity, type StoredIdentity } from "./identity.ts";
import { DAMAGE_ADVICE, StorageError } from "./storage-error.ts";

/** Where the log of a founder begins (raft/restore.ts); its state is durable there before. */
const FOUNDING_INDEX = 1;

/**
 * To be called before the stores are opened, which makes what is missing. Throws StorageError if a
 * file is gone or empty of a member that has begun.
 */
export function requireFiles(dataDir: DataDir, group: number): void {
  if (readIdentity(dataDir.path)?.begun !== true) return;
  for (const path of [dataDir.logPath, dataDir.statePath(group)]) {
    if ((statSync(path, { throwIfNoEntry: false })?.size ?? 0) > 0) continue;
    throw lost(path, "it is gone, and this member has begun");
  }
}

/** What the stores held when they were opened. */
export interface OpenedParts {
  readonly log: StoredLog;
  readonly appliedIndex: number;
}

/**
 * Who this member is if its log has a start, undefined if it has not: then it may found, join, or
 * go on joining. Throws StorageError if what the stores hold contradicts that, or each other.
 */
export function requireFit(
  dataDir: DataDir,
  group: number,
  { log, appliedIndex }: OpenedParts,
): StoredIdentity | undefined {
  const { logPath } = dataDir;
  const { hardState, snapshot, lastIndex } = log;
  const identity = readIdentity(dataDir.path);
  if (identity === undefined) {
    if (hardState === undefined && snapshot === undefined && appliedIndex === 0) return undefined;
    throw lost(join(dataDir.path, IDENTITY_FILE), "it is gone, and there is a log or a state");
  }
  if (snapshot === undefined) {
    if (!identity.begun && appliedIndex <= FOUNDING_INDEX && lastIndex === 0) return undefined;
    throw lost(logPath, "where it begins is gone, and this member has begun");
  }
  if (hardState === undefined) throw lost(logPath, "its hard state is gone");
  if (appliedIndex > lastIndex) {
    throw lost(logPath, `it ends at ${lastIndex}, and ${appliedIndex} was applied`);
  }
  const start = snapshot.index;
  if (appliedIndex < start) {
    const state = dataDir.statePath(group);
    throw lost(state, `it ends at ${appliedIndex}, and the log begins after ${start}`);
  }
  return identity;
}

function lost(path: string, what: string): StorageError {
  return new StorageError("unusable", `${path}: ${what}; ${DAMAGE_ADVICE}`);
}
