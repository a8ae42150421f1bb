/**
 * The multi-version map under the commands: current keys in memory, every change as a row, the
 * unflushed rows in the tail, older ones in the history. A write request appends its rows under
 * revision + 1 and ends with commit(), which makes that the current revision if anything changed.
 *
 * A read at revision R sees, of each key, the newest row with revision ≤ R, unless that is a
 * tombstone. R is legal while compactRevision ≤ R ≤ revision; rows such a read needs are never
 * removed. A pinned read goes on below a newer compaction point: physicalTarget() holds the store
 * back. A row that is not there reads as "the key did not exist": compaction removes a key's last
 * row only if it is a tombstone older than every legal R.
 */
import { assert } from "../base/assert.ts";
import { EMPTY_BYTES, type Key } from "../base/bytes.ts";
import { extendChain, type KeyEntry, type Leaf, type Lease } from "./key-entry.ts";
import { KeyIndex } from "./key-index.ts";
import { Leases } from "./leases.ts";
import { OperationCounts } from "./operation-counts.ts";
import type { History, Row } from "./ports.ts";
import { KeyRow, withKey } from "./row.ts";
import { encodeKeyValue, encodeTombstone } from "./stored-form.ts";
import { Tail } from "./tail.ts";
import { ValueCache } from "./value-cache.ts";

export class KeySpace {
  /** The current revision; an empty store has 1. */
  revision = 1;
  /** The logical compaction point; -1 before the first compaction. */
  compactRevision = -1;
  readonly index = new KeyIndex();
  readonly leases = new Leases();
  readonly tail = new Tail();
  readonly cache: ValueCache;
  readonly counts = new OperationCounts();
  /** Rows of the write request in progress. */
  changes = 0;
  readonly #history: History;
  /** Revisions that running reads need, with the number of those reads. */
  readonly #pins = new Map<number, number>();

  constructor(history: History, cacheBytesMax: number) {
    this.#history = history;
    this.cache = new ValueCache(cacheBytesMax);
  }

  /** The revision that a read sees now: inside a write, what it has changed so far. */
  get visibleRevision(): number {
    return this.changes > 0 ? this.revision + 1 : this.revision;
  }

  /** Appends a live version of the entry's key, with the value source[start, end). */
  put(entry: KeyEntry, source: Uint8Array, start: number, end: number, lease: Lease | null): void {
    const revision = this.revision + 1;
    if (entry.tombstone) {
      this.index.revive(entry);
      entry.createRevision = revision;
      entry.version = 1;
    } else {
      entry.version++;
    }
    entry.modRevision = revision;
    if (entry.lease !== lease) this.leases.bind(entry, lease);
    const leaseField = lease === null ? EMPTY_BYTES : lease.field;
    const kv = encodeKeyValue(entry, source, start, end, leaseField);
    this.#append(entry, kv, false);
    this.cache.offer(entry, kv);
  }

  /** Appends a tombstone to a live entry and detaches it from its lease. */
  delete(entry: KeyEntry): void {
    assert(!entry.tombstone, "only a live key is deleted");
    entry.modRevision = this.revision + 1;
    entry.createRevision = 0;
    entry.version = 0;
    this.index.bury(entry);
    if (entry.lease !== null) this.leases.bind(entry, null);
    this.cache.drop(entry);
    this.#append(entry, encodeTombstone(entry.key, entry.modRevision), true);
  }

  /** Ends a write request; returns the revision after it. */
  commit(): number {
    if (this.changes > 0) {
      this.revision++;
      this.changes = 0;
    }
    return this.revision;
  }

  /** The live entry of a key, or undefined. */
  live(key: Key): KeyEntry | undefined {
    const entry = this.index.get(key);
    return entry === undefined || entry.tombstone ? undefined : entry;
  }

  /** The stored form of a live entry's latest version, kept in the cache from now on. */
  bytesOf(entry: KeyEntry): Uint8Array {
    const kv = entry.kv;
    if (kv !== null) {
      entry.referenced = true;
      return kv;
    }
    const row = this.latestRow(entry);
    this.cache.offer(entry, row.kv);
    return row.kv;
  }

  /** As bytesOf(), but pushes nothing out of the cache: for scans. */
  peekBytes(entry: KeyEntry): Uint8Array {
    const kv = entry.kv;
    if (kv !== null) return kv;
    const row = this.latestRow(entry);
    if (this.cache.hasRoom(row.kv.length)) this.cache.offer(entry, row.kv);
    return row.kv;
  }

  /** The row of an entry's latest version; a live one's is never removed. */
  latestRow(entry: KeyEntry): Row {
    const row = this.rowAt(entry.seq);
    assert(row !== undefined, "the row of a live key is in the tail or in the history");
    return row;
  }

  /** The row at `seq`, or undefined if compaction removed it. */
  rowAt(seq: number): Row | undefined {
    return this.tail.get(seq) ?? this.#history.read(seq);
  }

  /** The newest row of the entry's key with revision ≤ `revision` (maybe a tombstone). */
  floor(entry: KeyEntry, revision: number): Row | undefined {
    let row = this.rowAt(entry.seq);
    if (row === undefined || row.revision <= revision) return row;
    for (;;) {
      if (row.jump !== 0 && row.jump !== row.prev) {
        const ancestor = this.rowAt(row.jump);
        if (ancestor !== undefined && ancestor.revision > revision) {
          row = ancestor;
          continue;
        }
      }
      const before: Row | undefined = row.prev === 0 ? undefined : this.rowAt(row.prev);
      if (before === undefined || before.revision <= revision) return before;
      row = before;
    }
  }

  /**
   * The stored form of what the row's key was at row.revision - 1; undefined if it was not, or if
   * that row is physically gone, or if the row creates the key (etcd's rule, also when the same
   * revision deleted it first). The compaction point is not asked: an event that is published
   * shows what it replaced also when a compaction was applied in the same batch.
   */
  previousOf(row: Row): Uint8Array | undefined {
    let before = this.#rowBefore(row);
    if (before?.tombstone && !row.tombstone) return undefined;
    while (before !== undefined && before.revision === row.revision) {
      before = this.#rowBefore(before);
    }
    return before === undefined || before.tombstone ? undefined : before.kv;
  }

  #rowBefore(row: Row): Row | undefined {
    return row.prev === 0 ? undefined : this.rowAt(row.prev);
  }

  /** The smallest seq whose row has revision ≥ `revision`; one past the last if none has. */
  seek(revision: number): number {
    return this.#history.seek(revision) ?? this.tail.seek(revision);
  }

  /** Rows with seq ≥ `from`, in order, at most `limit`; empty only past the last. */
  scan(from: number, limit: number): KeyRow[] {
    const tail = this.tail;
    const rows: KeyRow[] = [];
    if (from < tail.first) {
      for (const row of this.#history.scan(from, tail.first, limit)) rows.push(withKey(row));
    }
    const start = Math.max(from, tail.first);
    const end = Math.min(tail.next, start + limit - rows.length);
    for (let seq = start; seq < end; seq++) rows.push(tail.get(seq) as KeyRow);
    return rows;
  }

  /** Keeps what a read at `revision` needs until unpin(). */
  pin(revision: number): void {
    this.#pins.set(revision, (this.#pins.get(revision) ?? 0) + 1);
  }

  unpin(revision: number): void {
    const count = this.#pins.get(revision) ?? 0;
    assert(count > 0, "a pin is taken out once");
    if (count === 1) this.#pins.delete(revision);
    else this.#pins.set(revision, count - 1);
  }

  /** The revision up to which superseded rows may be removed: no running read needs them. */
  physicalTarget(): number {
    let target = this.compactRevision;
    if (this.#pins.size === 0) return target;
    for (const revision of this.#pins.keys()) if (revision < target) target = revision;
    return target;
  }

  /** Forgets at most `budget` keys that died before physicalTarget(); true if more wait. */
  sweep(budget: number): boolean {
    return this.index.sweep(this.physicalTarget(), budget);
  }

  #append(entry: KeyEntry, kv: Uint8Array, tombstone: boolean): void {
    const revision = this.revision + 1;
    const seq = this.tail.next;
    const prev = entry.seq;
    const jump = extendChain(entry, seq);
    (entry.leaf as Leaf).changed = revision;
    const sub = this.changes++;
    this.tail.push(
      new KeyRow(seq, revision, sub, prev, jump, entry.depth, tombstone, kv, entry.key),
    );
  }
}
