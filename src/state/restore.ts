/**
 * Building the key space from what a store held, in one pass over the rows.
 *
 * The current revision is that of the newest row or the one noted with the last compaction,
 * whichever is higher, so that it never goes back (etcd's issue 17780). The same for the last seq:
 * seqs are never used twice.
 *
 * Compaction may have been interrupted anywhere, so a chain may have gaps: the rows behind a gap
 * are superseded ones on their way out, and a chain that ends early reads the same.
 */
import { assert } from "../base/assert.ts";
import { AetherError } from "../base/errors.ts";
import { StoredKeyValue } from "../proto/hot/key-value.ts";
import type { ClusterRecords } from "./cluster-records.ts";
import { beginChain, extendChain, type KeyEntry } from "./key-entry.ts";
import type { KeySpace } from "./key-space.ts";
import { LEASE_SPACE, restoreLease } from "./leases.ts";
import type { Row, StateRecord, StoredState } from "./ports.ts";

export const META_SPACE = "meta";
/** Record: format, compaction point, revision and last seq at that time; u64 each, big-endian. */
export const COMPACT_KEY = "compact";
const COMPACT_FORMAT = 1;
const COMPACT_BYTES = 1 + 3 * 8;

/** What is noted when the history is compacted. */
export interface CompactPoint {
  readonly compactRevision: number;
  /** The current revision and the last seq at that time. */
  readonly revision: number;
  readonly lastSeq: number;
}

/** The record of the compaction point. */
export function compactRecord({ compactRevision, revision, tail }: KeySpace): StateRecord {
  return compactPointRecord({ compactRevision, revision, lastSeq: tail.next - 1 });
}

export function compactPointRecord(point: CompactPoint): StateRecord {
  const value = Buffer.alloc(COMPACT_BYTES);
  value[0] = COMPACT_FORMAT;
  value.writeBigInt64BE(BigInt(point.compactRevision), 1);
  value.writeBigInt64BE(BigInt(point.revision), 9);
  value.writeBigInt64BE(BigInt(point.lastSeq), 17);
  return { space: META_SPACE, key: COMPACT_KEY, value };
}

/** What the record under COMPACT_KEY of META_SPACE says. */
export function compactPointOf(value: Uint8Array): CompactPoint {
  assert(value.length === COMPACT_BYTES && value[0] === COMPACT_FORMAT, "a known record");
  const bytes = Buffer.from(value);
  return {
    compactRevision: Number(bytes.readBigInt64BE(1)),
    revision: Number(bytes.readBigInt64BE(9)),
    lastSeq: Number(bytes.readBigInt64BE(17)),
  };
}

/** Fills an empty key space, and `cluster` beside it. Records of others are passed over. */
export function restoreSpace(space: KeySpace, cluster: ClusterRecords, stored: StoredState): void {
  assert(space.index.tree.size === 0, "only an empty key space is restored");
  let lastSeq = 0;
  for (const { space: table, key, value } of stored.records) {
    if (table === LEASE_SPACE) restoreLease(space.leases, key, value);
    else if (table === META_SPACE && key === COMPACT_KEY) lastSeq = restoreCompact(space, value);
    else cluster.restore(table, key, value);
  }
  lastSeq = Math.max(lastSeq, new Restore(space).run(stored.rows));
  space.tail.reset(lastSeq);
}

function restoreCompact(space: KeySpace, value: Uint8Array): number {
  const { compactRevision, revision, lastSeq } = compactPointOf(value);
  space.compactRevision = compactRevision;
  space.revision = revision;
  return lastSeq;
}

class Restore {
  readonly #space: KeySpace;
  readonly #reader = new StoredKeyValue();
  /** Entries whose latest version so far names a lease that is not there (revoked since). */
  readonly #dangling = new Set<KeyEntry>();

  constructor(space: KeySpace) {
    this.#space = space;
  }

  /** Takes in all rows; returns the last seq. */
  run(rows: Iterable<Row>): number {
    const space = this.#space;
    let lastSeq = 0;
    let revision = space.revision;
    for (const row of rows) {
      if (row.seq <= lastSeq) {
        throw new AetherError("corrupt", `state.db: row ${row.seq} stands after row ${lastSeq}`);
      }
      lastSeq = row.seq;
      if (row.revision > revision) revision = row.revision;
      this.#row(row);
    }
    space.revision = revision;
    assert(this.#dangling.size === 0, "the lease of a live key is stored");
    space.index.restoreTree();
    for (const entry of space.index.all()) if (entry.lease !== null) entry.lease.keys.add(entry);
    return lastSeq;
  }

  #row(row: Row): void {
    const { index, cache, leases } = this.#space;
    const read = this.#reader.read(row.kv);
    const entry = index.restoreEntry(read.key());
    index.restoreLife(entry, row.tombstone);
    extendRestored(entry, row);
    entry.modRevision = row.revision;
    entry.createRevision = read.createRevision;
    entry.version = read.version;
    entry.lease = null;
    if (this.#dangling.size > 0) this.#dangling.delete(entry);
    if (read.hasLease()) {
      entry.lease = leases.get(read.lease()) ?? null;
      if (entry.lease === null) this.#dangling.add(entry);
    }
    if (row.tombstone) cache.drop(entry);
    else cache.offer(entry, row.kv);
  }
}

/** Puts a stored row on top of its key's chain; after a gap the path below is not known. */
function extendRestored(entry: KeyEntry, row: Row): void {
  if (entry.seq !== row.prev || row.depth === 1) {
    beginChain(entry, row.seq, row.depth);
    return;
  }
  assert(entry.depth === row.depth - 1, "a row is one deeper than the one before it");
  extendChain(entry, row.seq);
}
