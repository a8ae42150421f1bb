/**
 * The way that keeps everything: the old etcd's snapshot becomes the data directory of a member.
 * Revisions, history, leases with their ids, users with their passwords and roles stay as they
 * were; clients and controllers go on where they stopped.
 */

import { mkdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { GrpcError } from "../../../client/grpc-error.ts";
import { Maintenance } from "../../../proto/gen/etcdserverpb.ts";
import type { Imported } from "../../../storage/etcd/import-state.ts";
import { historyHash } from "../../../storage/etcd/inspect.ts";
import { openSnapshot } from "../../../storage/etcd/snapshot-file.ts";
import { EXIT, ExitError } from "../../exit.ts";
import { humaniseBytes } from "../../sizes.ts";
import { orExit } from "../../utl/failures.ts";
import { type NewMember, restoreFile } from "../../utl/restore.ts";
import type { Invocation } from "../invocation.ts";
import { downloadSnapshot } from "../snapshot-download.ts";
import { countKeys, fromSource, type Source } from "./source.ts";

/** Between two lines of progress. */
const PROGRESS_MS = 2000;

/** From here on a server hashes a history as we do, tombstones at the compaction point aside. */
const HASH_COMPARABLE = /^3\.(4\.(3[4-9]|[4-9]\d)|5\.(1[6-9]|[2-9]\d)|[6-9]\.|\d\d)/;

/** Takes the snapshot of `source` and makes the member. Rejects with ExitError. */
export async function migrateOffline(
  call: Invocation,
  source: Source,
  member: NewMember,
): Promise<void> {
  const { endpoint, version } = source;
  const tell = (text: string): void => call.io.err(`migrate: ${text}\n`);
  tell(`${endpoint} is etcd ${version}: taking its snapshot`);
  // Beside the directory, so that it lies on the same disk; not in it, since that is to be free.
  const parent = dirname(member.dataDir);
  const file = join(parent, `.${member.name}.snapshot`);
  mkdirSync(parent, { recursive: true });
  try {
    await fromSource(endpoint, () => download(call, source, file, tell));
    tell("the snapshot is whole (sha256); restoring it");
    const found = await restoreFile(file, member, { skipHashCheck: false });
    await verify(call, source, file, found, tell);
    report(call, member, found);
  } finally {
    rmSync(file, { force: true });
  }
}

async function download(
  call: Invocation,
  { client }: Source,
  file: string,
  tell: (text: string) => void,
): Promise<void> {
  let toldMs = performance.now();
  const { bytes } = await downloadSnapshot(client, file, {
    timeoutMs: undefined,
    interrupted: call.io.interrupted(),
    onProgress: (received, remaining) => {
      if (performance.now() - toldMs < PROGRESS_MS) return;
      toldMs = performance.now();
      tell(`${humaniseBytes(received)} of ${humaniseBytes(received + remaining)}`);
    },
  });
  tell(`received ${humaniseBytes(bytes)}`);
}

/** Compares with what the server says of the same revision; it goes on meanwhile. */
async function verify(
  call: Invocation,
  { client, endpoint, version }: Source,
  file: string,
  found: Imported,
  tell: (text: string) => void,
): Promise<void> {
  const { revision, keys } = found;
  try {
    const counted = await countKeys(call, client, revision);
    if (counted.keys !== keys) {
      const both = `${endpoint} counts ${counted.keys} keys at revision ${revision}`;
      throw new ExitError(
        EXIT.FAILED,
        `${both}, the new data directory has ${keys}: do not use it`,
      );
    }
    tell(`verified: ${keys} keys at revision ${revision}, here and there`);
    const there = await call.call(Maintenance.HashKV, { revision }, client);
    const here = await orExit(() =>
      openSnapshot(file, ({ reader, damaged }) => historyHash(reader, revision, damaged)),
    );
    if (there.compactRevision !== here.compactRevision) {
      tell(`the hash is not compared: ${endpoint} was compacted since`);
    } else if (there.hash === here.hash) {
      tell(`verified: the history has the hash ${here.hash}, here and there`);
    } else if (HASH_COMPARABLE.test(version)) {
      const both = `${endpoint} has the hash ${there.hash} at revision ${revision}`;
      throw new ExitError(EXIT.FAILED, `${both}, the snapshot ${here.hash}: take another one`);
    } else tell(`the hash is not compared: etcd ${version} takes it in another way`);
  } catch (error) {
    if (!(error instanceof GrpcError)) throw error;
    tell(`not verified against ${endpoint}: ${error.message}`);
  }
}

function report(call: Invocation, { dataDir, name }: NewMember, found: Imported): void {
  const { keys, rows, revision, compactRevision, leases, users, roles, authEnabled } = found;
  const compacted = compactRevision > 0 ? `, compacted at ${compactRevision}` : "";
  call.say(`Migrated ${keys} keys at revision ${revision} (${rows} in the history${compacted})`);
  call.say(`Migrated ${leases} leases, ${users} users, ${roles} roles`);
  if (authEnabled) call.say("Auth is enabled, with the same passwords");
  call.say(`Start the member ${name} with --data-dir ${dataDir}`);
}
