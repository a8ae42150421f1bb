/**
 * What `snapshot status` and `hashkv` say of a database of etcd's, by etcd's own rules
 * (etcdutl/snapshot/v3_snapshot.go: Status; server/storage/mvcc/hash.go, key_index.go: keep), so
 * that the numbers can be compared with those that etcd's tools and servers give.
 *
 * Memory: the keys that there are, and a bit for each row.
 */
import { latin1 } from "../../base/bytes.ts";
import { crc32c } from "../../base/crc32c.ts";
import { AetherError } from "../../base/errors.ts";
import { DecodeError } from "../../proto/decode-error.ts";
import { KeyValue } from "../../proto/gen/mvccpb.ts";
import type { BboltReader } from "../bbolt/reader.ts";
import type { Damaged } from "../storage-error.ts";
import { Bucket, MetaKey, revisionOf } from "./schema.ts";

export interface SnapshotStatus {
  /** CRC-32C over every bucket's name, keys and values. */
  readonly hash: number;
  /** Of the newest row. */
  readonly revision: number;
  readonly totalKey: number;
  /** Bytes of the pages in use. */
  readonly totalSize: number;
  /** Empty before etcd 3.6. */
  readonly version: string;
}

/** Reads and checks all of a database. Throws what `damaged` makes. */
export function snapshotStatus(reader: BboltReader, damaged: Damaged): SnapshotStatus {
  reader.check(() => {});
  const live = new Set<string>();
  let hash = 0;
  let revision = 0;
  let version = "";
  for (const bucket of reader.root()) {
    const name = latin1(bucket.key);
    hash = crc32c(bucket.key, hash);
    for (const { key, value } of reader.entries(bucket)) {
      hash = crc32c(value, crc32c(key, hash));
      if (name === Bucket.meta && latin1(key) === MetaKey.storageVersion) version = latin1(value);
      if (name !== Bucket.key) continue;
      const { main, tombstone } = revisionOf(key, damaged);
      revision = main;
      const changed = keyIn(value, main, damaged);
      if (tombstone) live.delete(changed);
      else live.add(changed);
    }
  }
  return { hash, revision, totalKey: live.size, totalSize: reader.bytes, version };
}

export interface HistoryHash {
  readonly hash: number;
  readonly hashRevision: number;
  /** -1 for none. */
  readonly compactRevision: number;
}

/**
 * What the HashKV of a server with this history is, at `asked` (0 for the current revision). Throws
 * AetherError "compacted" or "future_revision", or what `damaged` makes.
 */
export function historyHash(reader: BboltReader, asked: number, damaged: Damaged): HistoryHash {
  const compacted = compactPointIn(reader, damaged);
  const current = Math.max(newestIn(reader, damaged), compacted, 1);
  if (asked > 0 && asked < compacted) throw new AetherError("compacted");
  if (asked > current) throw new AetherError("future_revision");
  const revision = asked > 0 ? asked : current;
  const kept = keptRows(reader, revision, damaged);
  let hash = crc32c(Buffer.from(Bucket.key));
  let row = 0;
  for (const { key, value } of rowsOf(reader)) {
    const position = row++;
    const { main, tombstone } = revisionOf(key, damaged);
    if (main > revision) break;
    // What compaction removes, and a tombstone at its point, which etcd before 3.5.16 removed too.
    if (main <= compacted && kept.count > 0 && !kept.has(position)) continue;
    if (main === compacted && tombstone) continue;
    hash = crc32c(value, crc32c(key, hash));
  }
  return { hash, hashRevision: revision, compactRevision: compacted };
}

interface KeptRows {
  readonly count: number;
  /** Whether the row at a position is some key's newest, and no tombstone. */
  has(position: number): boolean;
}

function keptRows(reader: BboltReader, revision: number, damaged: Damaged): KeptRows {
  const newest = new Map<string, number>();
  let row = 0;
  for (const { key, value } of rowsOf(reader)) {
    const position = row++;
    const { main, tombstone } = revisionOf(key, damaged);
    if (main > revision) break;
    const changed = keyIn(value, main, damaged);
    if (tombstone) newest.delete(changed);
    else newest.set(changed, position);
  }
  const bits = new Uint8Array(Math.ceil((row + 1) / 8));
  for (const at of newest.values()) bits[at >>> 3] = (bits[at >>> 3] as number) | (1 << (at & 7));
  return {
    count: newest.size,
    has: (at) => ((bits[at >>> 3] ?? 0) & (1 << (at & 7))) !== 0,
  };
}

function* rowsOf(reader: BboltReader): Generator<{ key: Uint8Array; value: Uint8Array }> {
  const bucket = reader.bucket(Bucket.key);
  if (bucket !== undefined) yield* reader.entries(bucket);
}

function newestIn(reader: BboltReader, damaged: Damaged): number {
  let newest = 0;
  for (const { key } of rowsOf(reader)) newest = revisionOf(key, damaged).main;
  return newest;
}

/** The compaction point: one that was scheduled counts, since it is finished at the next start. */
function compactPointIn(reader: BboltReader, damaged: Damaged): number {
  let point = -1;
  const meta = reader.bucket(Bucket.meta);
  if (meta === undefined) return point;
  for (const { key, value } of reader.entries(meta)) {
    const name = latin1(key);
    if (name !== MetaKey.finishedCompact && name !== MetaKey.scheduledCompact) continue;
    point = Math.max(point, revisionOf(value, damaged).main);
  }
  return point;
}

function keyIn(value: Uint8Array, revision: number, damaged: Damaged): string {
  try {
    return KeyValue.decode(value, 0, value.length).key;
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    throw damaged(`revision ${revision} holds no key value: ${error.message}`, error);
  }
}
