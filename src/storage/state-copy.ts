/**
 * A received copy of state.db on its way to its place. Two moves, each of single file operations,
 * so that a crash after any of them leaves what the next start understands:
 *
 *   layBeside   received ─▶ state.db.next        whole, checked and synced; the state still counts
 *   the log is restarted after the copy's index: from here on the copy counts (the commit point)
 *   takePlace   state.db.next ─▶ state.db        the old -wal goes first: frames of one file that
 *                                                were replayed into another would be the mixture
 *
 * A start that finds state.db.next finishes takePlace if the log begins exactly after the copy's
 * index, and otherwise drops the copy. An old copy that happens to fit is no harm: at one index
 * there is one state, and the log brings what came after it.
 */
import type { Database } from "bun:sqlite";
import { existsSync, renameSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { syncPath } from "./durable-file.ts";
import { checkFormat, openStill } from "./sqlite.ts";
import { type Applied, readApplied, STATE_FORMAT } from "./state-schema.ts";
import { causeText, type Damaged, damageIn, isDamage } from "./storage-error.ts";

/** One file operation. */
export type FileStep = () => void;

/** Where a copy lies that is to take the place of the state at `path`. */
export function copyBeside(path: string): string {
  return `${path}.next`;
}

/** Makes a received file the copy beside the state at `path`, in the place of an earlier one. */
export function layBeside(received: string, path: string): readonly FileStep[] {
  return [
    () => syncPath(received),
    () => renameSync(received, copyBeside(path)),
    () => syncPath(dirname(path)),
  ];
}

/** Makes the copy beside the state at `path` the state; nobody may have that open to write. */
export function takePlace(path: string): readonly FileStep[] {
  return [
    () => rmSync(`${path}-wal`, { force: true }),
    () => rmSync(`${path}-shm`, { force: true }),
    () => syncPath(dirname(path)), // not after the rename: a power cut could keep that alone
    () => renameSync(copyBeside(path), path),
    () => syncPath(dirname(path)),
  ];
}

/** Removes the copy beside the state at `path`, if there is one: it will not be installed. */
export function dropCopy(path: string): void {
  rmSync(copyBeside(path), { force: true });
}

/**
 * What the copy beside the state at `path` is the state after; undefined if there is none. Throws
 * AetherError "corrupt" or StorageError if it cannot be used.
 */
export function readCopy(path: string, group: number): Applied | undefined {
  const copy = copyBeside(path);
  if (!existsSync(copy)) return undefined;
  return openCopy(copy, damageIn(copy), (db, damaged) => {
    checkFormat(db, copy, STATE_FORMAT);
    return readApplied(db, group, damaged);
  });
}

/** Opens a copy that nobody writes, for `use` alone; what SQLite finds malformed is `damaged`. */
export function openCopy<T>(
  path: string,
  damaged: Damaged,
  use: (db: Database, damaged: Damaged) => T,
): T {
  let db: Database | undefined;
  try {
    db = openStill(path);
    return use(db, damaged);
  } catch (error) {
    throw isDamage(error) ? damaged(causeText(error), error) : error;
  } finally {
    db?.close(true);
  }
}
