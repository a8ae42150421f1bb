/**
 * The hash by which replicas are compared, and etcd's of the same history (mvcc/hash.go):
 *
 *   CRC-32C over "key", then over each row with revision ≤ R, in order of revision and sub:
 *     its place   main revision u64 · "_" · sub u64 · "t" if it is a tombstone
 *     its value   the encoded KeyValue; of a tombstone one with the key alone
 *
 * Of the rows up to the compaction point C only those count that would be left by a compaction
 * at R: of each key the newest up to R, unless that is a tombstone. Where there is none at all,
 * neither in these rows nor after them, etcd leaves that filter out, and what counts is what it has
 * not removed: what is visible at C.
 *
 * So it does not depend on what a replica has removed, cached or flushed. Taken in steps while
 * writes go on; it pins what it needs.
 */
import { crc32c } from "../base/crc32c.ts";
import { KIB, MIB } from "../base/units.ts";
import { StoredKeyValue } from "../proto/hot/key-value.ts";
import type { KeySpace } from "./key-space.ts";
import type { StateMachine } from "./machine.ts";
import { readableRevision } from "./range.ts";
import type { KeyRow } from "./row.ts";

/** Bytes of key values in one step: a millisecond or two when they come from the store. */
const STEP_BYTES_MAX = MIB;

/** Rows asked of the store at once; fewer where they are large. */
const PAGE_ROWS_MAX = 100;

/** What a row is taken for before one was seen. */
const ROW_BYTES = 64 * KIB;

const START = crc32c(Buffer.from("key"));
const UNDERSCORE = 0x5f;
const TOMBSTONE_MARK = 0x74;
const PLACE_BYTES = 8 + 1 + 8;

const place = Buffer.alloc(PLACE_BYTES + 1);
place[8] = UNDERSCORE;
place[PLACE_BYTES] = TOMBSTONE_MARK;

const reader = new StoredKeyValue();

export class KvHash {
  /** The revision hashed up to, and the compaction point when it was begun. */
  readonly revision: number;
  readonly compactRevision: number;
  done = false;
  readonly #space: KeySpace;
  /** The first row that is not looked at. */
  #seq = 1;
  #hash = START;
  /** The hash if nothing is kept up to the compaction point but what is visible at it. */
  #unfiltered = START;
  /** A row was seen that a compaction at the revision would leave. */
  #anyKept = false;
  #pinned = true;
  /** The largest row of the last page. */
  #rowBytes = ROW_BYTES;

  /** Over revisions up to `revision` (0 for the current). Fails as a range does. */
  constructor(machine: StateMachine, revision = 0) {
    this.#space = machine.space;
    this.revision = revision < 0 ? revision : readableRevision(this.#space, revision);
    this.compactRevision = this.#space.compactRevision;
    this.#space.pin(this.compactRevision);
  }

  /** The hash: 32 bits, right when done. */
  get hash(): number {
    return this.#anyKept ? this.#hash : this.#unfiltered;
  }

  /** Looks at no more than `rowsMax` rows, or STEP_BYTES_MAX of them; true when done. */
  step(rowsMax: number): boolean {
    let rowsLeft = rowsMax;
    let bytesLeft = STEP_BYTES_MAX;
    while (!this.done && rowsLeft > 0 && bytesLeft > 0) {
      const fitting = Math.max(1, Math.floor(bytesLeft / this.#rowBytes));
      const rows = this.#space.scan(this.#seq, Math.min(rowsLeft, fitting, PAGE_ROWS_MAX));
      if (rows.length === 0) this.close();
      else bytesLeft -= this.#addPage(rows);
      rowsLeft -= rows.length;
    }
    return this.done;
  }

  /** Ends it, finished or not; may be called twice. */
  close(): void {
    this.done = true;
    if (!this.#pinned) return;
    this.#pinned = false;
    this.#space.unpin(this.compactRevision);
  }

  /** How many bytes were looked at. */
  #addPage(rows: readonly KeyRow[]): number {
    let bytes = 0;
    this.#rowBytes = 1;
    for (let i = 0; i < rows.length && !this.done; i++) {
      const row = rows[i] as KeyRow;
      if (row.revision > this.revision) this.close();
      else this.#add(row);
      this.#seq = row.seq + 1;
      bytes += row.kv.length;
      this.#rowBytes = Math.max(this.#rowBytes, row.kv.length);
    }
    return bytes;
  }

  #add(row: KeyRow): void {
    const { revision, tombstone } = row;
    if (revision > this.compactRevision) {
      if (!this.#anyKept) {
        this.#anyKept = !tombstone && this.#isNewest(row, this.revision);
        this.#unfiltered = hashRow(row, this.#unfiltered);
      }
      this.#hash = hashRow(row, this.#hash);
      return;
    }
    if (tombstone) return; // one at the point itself neither: older versions removed it
    if (this.#isNewest(row, this.revision)) {
      this.#anyKept = true;
      this.#hash = hashRow(row, this.#hash);
    }
    if (!this.#anyKept && this.#isNewest(row, this.compactRevision)) {
      this.#unfiltered = hashRow(row, this.#unfiltered);
    }
  }

  /** Whether the row is what its key was at `revision`. What is forgotten was dead by then. */
  #isNewest(row: KeyRow, revision: number): boolean {
    const entry = this.#space.index.get(row.key);
    if (entry === undefined) return false;
    if (entry.seq === row.seq) return true;
    return entry.modRevision > revision && this.#space.floor(entry, revision)?.seq === row.seq;
  }
}

/** Goes on with the hash `crc` over a row. */
function hashRow({ revision, sub, tombstone, kv }: KeyRow, crc: number): number {
  place.writeUInt32BE(Math.floor(revision / 2 ** 32), 0);
  place.writeUInt32BE(revision >>> 0, 4);
  place.writeUInt32BE(sub, 13);
  const placed = crc32c(place, crc, 0, tombstone ? PLACE_BYTES + 1 : PLACE_BYTES);
  return crc32c(kv, placed, 0, tombstone ? reader.read(kv).keyEnd : kv.length);
}
