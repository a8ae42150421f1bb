/** A store of rows and records in memory, with physical compaction by etcd's rule. */
import type { Key } from "../../src/base/bytes.ts";
import { keyOf } from "../../src/proto/hot/key-value.ts";
import type { History, Row, StateBatch, StoredState } from "../../src/state/ports.ts";

export class MemoryHistory implements History {
  /** Rows by seq - 1; undefined where compaction removed one. */
  readonly #rows: (Row | undefined)[] = [];
  readonly #records = new Map<string, { space: string; key: Key; value: Uint8Array }>();
  #appliedIndex = 0;
  #appliedTerm = 0;
  reads = 0;

  get rowCount(): number {
    return this.#rows.reduce((count, row) => (row === undefined ? count : count + 1), 0);
  }

  read(seq: number): Row | undefined {
    this.reads++;
    return this.#rows[seq - 1];
  }

  scan(from: number, to: number, limit: number): Row[] {
    const rows: Row[] = [];
    const end = Math.min(to - 1, this.#rows.length);
    for (let i = Math.max(from, 1) - 1; i < end && rows.length < limit; i++) {
      const row = this.#rows[i];
      if (row !== undefined) rows.push(row);
    }
    return rows;
  }

  seek(revision: number): number | undefined {
    for (const row of this.#rows) {
      if (row !== undefined && row.revision >= revision) return row.seq;
    }
    return undefined;
  }

  store(batch: StateBatch): void {
    for (const row of batch.rows) this.#rows[row.seq - 1] = row;
    for (const { space, key, value } of batch.records) {
      const name = `${space}/${key}`;
      if (value === undefined) this.#records.delete(name);
      else this.#records.set(name, { space, key, value });
    }
    this.#appliedIndex = batch.appliedIndex;
    this.#appliedTerm = batch.appliedTerm;
  }

  /** Removes what no read at ≥ `revision` sees, oldest first; interrupted after `rowsMax`. */
  compact(revision: number, rowsMax = Number.POSITIVE_INFINITY): void {
    let left = rowsMax;
    const newest = new Map<Key, number>();
    for (const row of this.#rows) {
      if (row !== undefined && row.revision <= revision) newest.set(keyOf(row.kv), row.seq);
    }
    for (const row of [...this.#rows]) {
      if (row === undefined || row.revision > revision) continue;
      const isNewest = newest.get(keyOf(row.kv)) === row.seq;
      const isOldTombstone = row.tombstone && row.revision < revision;
      if (isNewest && !isOldTombstone) continue;
      if (left-- <= 0) return;
      this.#rows[row.seq - 1] = undefined;
    }
  }

  stored(): StoredState {
    return {
      appliedIndex: this.#appliedIndex,
      appliedTerm: this.#appliedTerm,
      records: this.#records.values(),
      rows: this.#rows.filter((row) => row !== undefined),
    };
  }
}
