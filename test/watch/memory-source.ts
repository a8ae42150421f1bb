/**
 * A history in memory with the rules of the machine: revisions, rows, compaction (physical, at
 * once, so that whoever reads what it must not read finds it gone). Also a store to write to.
 */
import { assert } from "../../src/base/assert.ts";
import type { Key } from "../../src/base/bytes.ts";
import type { WatchRow, WatchSource } from "../../src/watch/ports.ts";
import { KeyValue } from "./messages.ts";

/** One change within a transaction; no value: delete. */
export interface Change {
  readonly key: Key;
  readonly value?: string;
}

interface Live {
  row: WatchRow;
  createRevision: number;
  version: number;
}

export class MemorySource implements WatchSource {
  revision = 1;
  compactRevision = -1;
  /** In order of seq; rows are removed by compaction. */
  rows: WatchRow[] = [];
  readonly #bySeq = new Map<number, WatchRow>();
  readonly #keys = new Map<Key, Live>();
  #lastSeq = 0;

  /** Applies changes as one revision; deletes of missing keys do nothing. Returns its rows. */
  apply(changes: readonly Change[]): WatchRow[] {
    const effective = changes.filter(
      (change) => change.value !== undefined || this.has(change.key),
    );
    if (effective.length === 0) return [];
    this.revision += 1;
    return effective.map((change, sub) => this.#applyOne(change, sub));
  }

  has(key: Key): boolean {
    return this.#keys.get(key)?.row.tombstone === false;
  }

  keysFrom(key: Key, end: Key): Key[] {
    const all = [...this.#keys.keys()].filter((one) => one >= key && one < end && this.has(one));
    return all.sort();
  }

  /** Keeps, per key, the newest row at or below `revision`, unless it is an older tombstone. */
  compact(revision: number, physical = true): void {
    assert(revision > this.compactRevision && revision <= this.revision, "a compaction is due");
    this.compactRevision = revision;
    if (!physical) return;
    const newest = new Map<Key, number>();
    for (const row of this.rows) if (row.revision <= revision) newest.set(row.key, row.seq);
    this.rows = this.rows.filter((row) => {
      const kept =
        row.revision > revision ||
        (newest.get(row.key) === row.seq && (!row.tombstone || row.revision === revision));
      if (!kept) this.#bySeq.delete(row.seq);
      return kept;
    });
  }

  seek(revision: number): number {
    return this.rows[this.#lowerBound((row) => row.revision >= revision)]?.seq ?? this.#lastSeq + 1;
  }

  scan(seq: number, limit: number): readonly WatchRow[] {
    const at = this.#lowerBound((row) => row.seq >= seq);
    return this.rows.slice(at, at + limit);
  }

  prevKv(row: WatchRow): Uint8Array | undefined {
    const prev = this.#bySeq.get(row.prev);
    return prev === undefined || prev.tombstone ? undefined : prev.kv;
  }

  #applyOne({ key, value }: Change, sub: number): WatchRow {
    const live = this.#keys.get(key);
    const isNew = live === undefined || live.row.tombstone;
    const createRevision = isNew ? this.revision : live.createRevision;
    const version = isNew ? 1 : live.version + 1;
    const tombstone = value === undefined;
    const kv = KeyValue.encode(
      tombstone
        ? { key: Buffer.from(key, "latin1"), modRevision: this.revision }
        : {
            key: Buffer.from(key, "latin1"),
            createRevision,
            modRevision: this.revision,
            version,
            value: Buffer.from(value, "latin1"),
          },
    ).finish();
    this.#lastSeq += 1;
    const row: WatchRow = {
      seq: this.#lastSeq,
      revision: this.revision,
      sub,
      prev: live?.row.seq ?? 0,
      jump: 0,
      depth: 1,
      tombstone,
      kv,
      key,
    };
    this.rows.push(row);
    this.#bySeq.set(row.seq, row);
    this.#keys.set(key, { row, createRevision, version });
    return row;
  }

  #lowerBound(holds: (row: WatchRow) => boolean): number {
    let low = 0;
    let high = this.rows.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (holds(this.rows[middle] as WatchRow)) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}
