/**
 * exportState() in a Worker of its own, which lives as long as that: a transaction that reads holds
 * nobody up, but the pages that are replaced meanwhile stay in state.db's WAL until it has ended.
 */
import { closeSync, fsyncSync, openSync, rmSync, statfsSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { AetherError } from "../../base/errors.ts";
import { FILE_MODE } from "../private-file.ts";
import { openReader } from "../sqlite.ts";
import { readApplied } from "../state-schema.ts";
import { damageIn } from "../storage-error.ts";
import { WorkerLink } from "../worker-link.ts";
import type { WriteEngine } from "../write-loop.ts";
import { type Exported, exportState } from "./export-state.ts";

export interface ExportRequest {
  /** state.db, in use. */
  readonly path: string;
  readonly group: number;
  /** The file to write, which must not be there; it is removed if this fails. */
  readonly out: string;
  /** The state is to be the one after this index, or a later one. */
  readonly index: number;
  /** Not 0 once nobody wants it any more. */
  readonly cancelled: Int32Array<SharedArrayBuffer>;
}

/** What was applied is on its way to the store for 100 ms at most, if the store keeps up. */
const WAIT_MS_MAX = 10_000;
const WAIT_STEP_MS = 2;

/** etcd's pages and ours hold the same rows; what is left over is for pages half full. */
const ROOM_FACTOR = 1.2;

function nothing(): void {}

/**
 * Writes the state as etcd's database. Rejects with AetherError: "snapshot_no_room", "canceled",
 * "unhealthy" (the store is behind and stays there), "corrupt".
 */
export async function exportInWorker(request: ExportRequest): Promise<Exported> {
  const link = new WorkerLink({
    file: "snapshot-worker.ts",
    path: request.path,
    open: request,
    onCommitted: nothing,
    onEvent: nothing,
    onFatal: nothing, // after opened() it has nothing left to do that could fail
  });
  const exported = (await link.opened()) as Exported;
  await link.close();
  return exported;
}

/** exportInWorker() in the Worker: everything happens before it counts as opened. */
export function runExport(request: ExportRequest): WriteEngine {
  const found = exported(request);
  return { found, commit: nothing, work: () => false, quiet: () => false, close: nothing };
}

function exported(request: ExportRequest): Exported {
  const { path, out } = request;
  requireRoom(path, out);
  const file = openSync(out, "wx", FILE_MODE);
  try {
    const result = write(request, file);
    fsyncSync(file); // else a disk that is full would be noticed when it is too late to say so
    return result;
  } catch (error) {
    rmSync(out, { force: true });
    throw noRoomIn(out, error) ?? error;
  } finally {
    closeSync(file);
  }
}

function write(request: ExportRequest, file: number): Exported {
  const { path, group, index } = request;
  const damaged = damageIn(path);
  for (const untilMs = performance.now() + WAIT_MS_MAX; ; Bun.sleepSync(WAIT_STEP_MS)) {
    // Opened anew each time: another state may have taken the file's place.
    const db = openReader(path);
    try {
      db.run("BEGIN");
      if (readApplied(db, group, damaged).index >= index) {
        return exportState(db, file, { group, damaged, onProgress: () => checkWanted(request) });
      }
    } finally {
      db.close(true);
    }
    checkWanted(request);
    if (performance.now() > untilMs) throw behind(index);
  }
}

function behind(index: number): AetherError {
  return new AetherError("unhealthy", `the store has not come to index ${index} in time`);
}

function checkWanted({ cancelled }: ExportRequest): void {
  if (Atomics.load(cancelled, 0) !== 0) throw new AetherError("canceled", "nobody waits for it");
}

/** Better refused at once than when a disk is full that the member itself writes to. */
function requireRoom(path: string, out: string): void {
  const { bavail, bsize } = statfsSync(dirname(out));
  const wal = statSync(`${path}-wal`, { throwIfNoEntry: false });
  const needed = ROOM_FACTOR * (statSync(path).size + (wal?.size ?? 0));
  if (bavail * bsize < needed) throw noRoom(dirname(out), needed, bavail * bsize);
}

function noRoomIn(out: string, error: unknown): AetherError | undefined {
  const { code } = error as NodeJS.ErrnoException;
  if (code !== "ENOSPC" && code !== "EDQUOT") return undefined;
  return new AetherError("snapshot_no_room", `${dirname(out)}: the disk is full`, { cause: error });
}

function noRoom(directory: string, needed: number, free: number): AetherError {
  const mb = (bytes: number): string => `${Math.ceil(bytes / 1e6)} MB`;
  const why = `a snapshot may need ${mb(needed)}, and ${mb(free)} are free`;
  return new AetherError("snapshot_no_room", `${directory}: ${why}`);
}
