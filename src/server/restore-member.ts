/**
 * Makes the data directory of a member out of a snapshot, as `etcdutl snapshot restore` does for
 * etcd (etcdutl/snapshot/v3_snapshot.go): history, leases, alarms and auth are taken over, who the
 * members are is not. Every member of the new cluster is restored from the same file with the same
 * list of members, so all begin with the same state at the same index, as founders do.
 */
import { mkdirSync, readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { foundCluster, memberIdOf } from "../cluster/founding.ts";
import { Member } from "../proto/gen/etcdserverpb.ts";
import { configurationOf } from "../raft/membership/configuration.ts";
import { founding } from "../raft/restore.ts";
import type { StateBatch } from "../state/ports.ts";
import { openDataDir } from "../storage/data-dir.ts";
import { type Imported, importState } from "../storage/etcd/import-state.ts";
import type { SnapshotFile } from "../storage/etcd/snapshot-file.ts";
import { writeIdentity } from "../storage/identity.ts";
import { openLogStore } from "../storage/log-store.ts";
import { StateDatabase } from "../storage/state-database.ts";
import { encodeBatch, encodeKind } from "../storage/state-format.ts";
import { StorageError } from "../storage/storage-error.ts";
import { FIRST_GROUP } from "./stores.ts";

export interface RestoreOptions {
  readonly snapshot: SnapshotFile;
  /** Of this member. */
  readonly name: string;
  readonly dataDir: string;
  /** Where the log goes, if not there; made, and gone again if this fails. */
  readonly logDir: string | undefined;
  readonly peerUrls: readonly string[];
  /** All members of the new cluster, this one among them. */
  readonly members: readonly { readonly name: string; readonly peerUrls: readonly string[] }[];
  readonly token: string;
  /** Added to the newest revision, which then counts as compacted; 0 for neither. */
  readonly bumpRevision: number;
}

/** Whether a directory is free for a new member. */
export function isFree(dataDir: string): boolean {
  const found = statSync(dataDir, { throwIfNoEntry: false });
  return found === undefined || (found.isDirectory() && readdirSync(dataDir).length === 0);
}

/**
 * Restores into `dataDir`, which must be free. What it made is gone again if it rejects: with
 * AetherError "corrupt" if the snapshot cannot be used, StorageError, or the system's error.
 */
export async function restoreMember(options: RestoreOptions): Promise<Imported> {
  const { dataDir } = options;
  if (!isFree(dataDir)) throw new StorageError("unusable", `${dataDir}: it is not empty`);
  const wasThere = statSync(dataDir, { throwIfNoEntry: false }) !== undefined;
  try {
    return await restore(options);
  } catch (error) {
    for (const made of [dataDir, options.logDir ?? dataDir]) {
      rmSync(made, { recursive: true, force: true });
    }
    if (wasThere) mkdirSync(dataDir, { mode: 0o700 });
    throw error;
  }
}

async function restore(options: RestoreOptions): Promise<Imported> {
  const { name, peerUrls, members: founders, token } = options;
  const { clusterId, members } = foundCluster(founders, token);
  const directory = openDataDir(options.dataDir, options.logDir);
  try {
    const start = founding(configurationOf(members.map(({ id }) => id)));
    const records = members.map(({ id, name, peerUrls: peerURLs }) =>
      Member.create({ ID: id, name, peerURLs: [...peerURLs].sort() }),
    );
    const imported = fill(directory.statePath(FIRST_GROUP), options, records, start.snapshot);
    await beginLog(directory.logPath, start);
    const memberId = memberIdOf(peerUrls, token);
    writeIdentity(directory.path, { clusterId, memberId, name, begun: true });
    return imported;
  } finally {
    directory.release();
    rmSync(join(directory.path, "lock.pid"), { force: true });
  }
}

/** Fills a new state; durable when it returns. */
function fill(
  path: string,
  { snapshot, bumpRevision }: RestoreOptions,
  members: readonly Member[],
  { index, term }: { readonly index: number; readonly term: number },
): Imported {
  let isDurable = false;
  const database = StateDatabase.open({ path, group: FIRST_GROUP, sync: "normal" }, (event) => {
    isDurable ||= "durable" in event && event.durable === index;
  });
  try {
    const imported = importState(snapshot.reader, {
      damaged: snapshot.damaged,
      members,
      ...{ appliedIndex: index, appliedTerm: term, bumpRevision },
      store: (batch: StateBatch) => {
        database.commit([encodeBatch(batch)]);
        database.work(); // a checkpoint now and then, or its WAL is as large as the state
      },
    });
    database.commit([encodeKind("checkpoint")]);
    database.work();
    if (!isDurable) throw new StorageError("failed", `${path}: could not be synced`);
    return imported;
  } finally {
    database.close();
  }
}

async function beginLog(path: string, start: ReturnType<typeof founding>): Promise<void> {
  const { hardState, snapshot } = start;
  const written = Promise.withResolvers<void>();
  const log = await openLogStore({ path, group: FIRST_GROUP, onFatal: written.reject });
  try {
    log.write({ hardState, entries: [], snapshot }, written.resolve);
    await written.promise;
  } finally {
    await log.close();
  }
}
