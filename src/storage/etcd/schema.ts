/**
 * What etcd 3.4 to 3.7 keep in their database, and where (etcd server/storage/schema/bucket.go,
 * server/storage/mvcc/revision.go).
 *
 *   key               revision → mvccpb.KeyValue, all that is retained; a tombstone has a key only
 *   meta              how far the Raft log is applied, compaction points, the storage version
 *   lease             id u64 → leasepb.Lease          alarm   etcdserverpb.AlarmMember → nothing
 *   members           id in hexadecimal → JSON        members_removed   the same → "removed"
 *   auth, authUsers, authRoles   as state/auth/auth-records.ts has them
 *   cluster           clusterVersion, downgrade       (since 3.5)
 *
 * A revision is 17 bytes: main u64 · "_" · sub u64, big-endian, and a "t" behind if it is a
 * tombstone's; their order is that of the history.
 */
import { asBuffer } from "../../base/bytes.ts";
import type { Damaged } from "../storage-error.ts";

export const Bucket = {
  alarm: "alarm",
  auth: "auth",
  authRoles: "authRoles",
  authUsers: "authUsers",
  cluster: "cluster",
  key: "key",
  lease: "lease",
  members: "members",
  membersRemoved: "members_removed",
  meta: "meta",
} as const;

export const MetaKey = {
  confState: "confState",
  consistentIndex: "consistent_index",
  finishedCompact: "finishedCompactRev",
  scheduledCompact: "scheduledCompactRev",
  storageVersion: "storageVersion",
  term: "term",
} as const;

export const ClusterKey = { version: "clusterVersion", downgrade: "downgrade" } as const;

const SEPARATOR = 0x5f; // "_"
const TOMBSTONE = 0x74; // "t"
const REVISION_BYTES = 8 + 1 + 8;

export interface Revision {
  readonly main: number;
  readonly sub: number;
  readonly tombstone: boolean;
}

/** The key of a revision; the caller owns it. */
export function revisionKey(main: number, sub: number, tombstone: boolean): Buffer {
  const key = Buffer.allocUnsafe(REVISION_BYTES + (tombstone ? 1 : 0));
  writeCounter(key, main, 0);
  key[8] = SEPARATOR;
  writeCounter(key, sub, 9);
  if (tombstone) key[REVISION_BYTES] = TOMBSTONE;
  return key;
}

/** The revision that a key is. Throws what `damaged` makes if it is none. */
export function revisionOf(bytes: Uint8Array, damaged: Damaged): Revision {
  const key = asBuffer(bytes);
  const tombstone = key.length === REVISION_BYTES + 1 && key[REVISION_BYTES] === TOMBSTONE;
  if ((key.length !== REVISION_BYTES && !tombstone) || key[8] !== SEPARATOR) {
    throw damaged(`${key.toString("hex", 0, 2 * REVISION_BYTES)} is no revision`);
  }
  return { main: counterOf(key, 0, damaged), sub: counterOf(key, 9, damaged), tombstone };
}

/** A u64 that counts something. Throws what `damaged` makes if it is out of reach. */
export function counterOf(bytes: Uint8Array, at: number, damaged: Damaged): number {
  if (bytes.length < at + 8) throw damaged(`a number of 8 bytes has ${bytes.length - at}`);
  const value = asBuffer(bytes).readBigUInt64BE(at);
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw damaged(`${value} is out of reach`);
  return Number(value);
}

/** A u64 as etcd keeps indexes and terms. */
export function counterBytes(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  writeCounter(bytes, value, 0);
  return bytes;
}

function writeCounter(bytes: Buffer, value: number, at: number): void {
  bytes.writeUInt32BE(Math.trunc(value / 2 ** 32), at);
  bytes.writeUInt32BE(value >>> 0, at + 4);
}
