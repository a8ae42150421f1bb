/**
 * Reads state.db on the main thread through a connection of its own: synchronous, and only what
 * the Worker has committed. Every call ends its statement, because an open one would keep the
 * Worker's checkpoints from being complete; so the long walks go page by page.
 *
 * Every row and record is checked against its checksum before anybody sees it; what fails, or what
 * SQLite itself finds malformed, is thrown as AetherError "corrupt".
 */
import type { Database, Statement } from "bun:sqlite";
import { type Key, latin1 } from "../base/bytes.ts";
import { MIB } from "../base/units.ts";
import type { Row } from "../state/ports.ts";
import { recordChecksum, rowChecksum } from "./state-checksum.ts";
import { RevisionSeek } from "./state-schema.ts";
import { causeText, type Damaged, isBlob, isDamage } from "./storage-error.ts";

/** Rows a page of a long walk: 1000 were measured fastest (0.3 s for a million rows). */
const PAGE_ROWS = 1000;

/** No entry of the log is longer, nor what it makes (net/peers/message-codec.ts). */
const BLOB_BYTES_MAX = 32 * MIB;

/** Of a key, in a message. */
const KEY_SHOWN_MAX = 64;

interface StoredRow extends Omit<Row, "tombstone"> {
  readonly tombstone: number;
  readonly crc: number;
}

interface StoredRecord {
  readonly space: string;
  readonly key: Uint8Array;
  readonly crc: number;
  readonly value: Uint8Array;
}

export interface LoadedRecord {
  readonly space: string;
  readonly key: Key;
  readonly value: Uint8Array;
}

export class StateReader {
  readonly #damaged: Damaged;
  readonly #db: Database;
  readonly #seek: RevisionSeek;
  readonly #one: Statement<StoredRow, [number]>;
  readonly #range: Statement<StoredRow, [number, number, number]>;
  readonly #records: Statement<StoredRecord, [string, Uint8Array, number]>;
  readonly #pages: Statement<{ pages: number; free: number; bytes: number }, []>;

  /** Reads through `db`, which it closes in the end; throws what `damaged` makes. */
  constructor(db: Database, damaged: Damaged) {
    this.#damaged = damaged;
    this.#db = db;
    this.#seek = new RevisionSeek(db);
    this.#one = db.prepare("SELECT * FROM row WHERE seq = ?");
    this.#range = db.prepare("SELECT * FROM row WHERE seq >= ? AND seq < ? ORDER BY seq LIMIT ?");
    this.#records = db.prepare(
      "SELECT * FROM record WHERE (space, key) > (?, ?) ORDER BY space, key LIMIT ?",
    );
    this.#pages = db.prepare(
      `SELECT page_count AS pages, freelist_count AS free, page_size AS bytes
       FROM pragma_page_count, pragma_freelist_count, pragma_page_size`,
    );
  }

  read(seq: number): Row | undefined {
    const row = this.#ask(() => this.#one.get(seq));
    return row === null ? undefined : this.#checked(row);
  }

  scan(from: number, to: number, limit: number): Row[] {
    const stored = this.#ask(() => this.#range.all(from, to, limit));
    const rows: Row[] = [];
    for (let i = 0; i < stored.length; i++) rows.push(this.#checked(stored[i] as StoredRow));
    return rows;
  }

  seek(revision: number): number | undefined {
    return this.#ask(() => this.#seek.seek(revision));
  }

  /**
   * Every row in order of seq, read page by page while it is walked; at the end `onEnd` gets how
   * many there were.
   */
  *rows(onEnd?: (count: number) => void): Generator<Row, void, undefined> {
    let from = 0;
    let count = 0;
    for (;;) {
      const page = this.#ask(() => this.#range.all(from, Number.MAX_SAFE_INTEGER, PAGE_ROWS));
      for (let i = 0; i < page.length; i++) {
        const row = this.#checked(page[i] as StoredRow);
        if (row.seq < from) throw this.#damaged(`row ${row.seq} stands after row ${from - 1}`);
        from = row.seq + 1;
        yield row;
      }
      count += page.length;
      if (page.length < PAGE_ROWS) break;
    }
    onEnd?.(count);
  }

  /** Every record in order of space and key, as rows() does. */
  *records(onEnd?: (count: number) => void): Generator<LoadedRecord, void, undefined> {
    let count = 0;
    let before: LoadedRecord | undefined;
    let last: { space: string; key: Uint8Array } = { space: "", key: new Uint8Array(0) };
    for (;;) {
      const { space, key } = last;
      const page = this.#ask(() => this.#records.all(space, key, PAGE_ROWS));
      for (const stored of page) {
        const record = this.#checkedRecord(stored);
        if (!comesAfter(record, before)) throw this.#damaged("its records are out of order");
        before = record;
        yield record;
      }
      count += page.length;
      if (page.length < PAGE_ROWS) break;
      last = page[page.length - 1] as StoredRecord;
    }
    onEnd?.(count);
  }

  /** As rows(), of a file that nobody writes: one statement, and one row in memory at a time. */
  *stillRows(): Generator<Row, void, undefined> {
    const all = this.#db.prepare<StoredRow, [number]>(
      `SELECT seq, revision, sub, prev, jump, depth, tombstone, crc,
              iif(length(kv) <= ?, kv, NULL) AS kv
       FROM row ORDER BY seq`,
    );
    let last = Number.NEGATIVE_INFINITY;
    for (const stored of all.iterate(BLOB_BYTES_MAX)) {
      const row = this.#checked(stored);
      if (row.seq <= last) throw this.#damaged(`row ${row.seq} stands after row ${last}`);
      last = row.seq;
      yield row;
    }
  }

  /** As records(), of a file that nobody writes. */
  *stillRecords(): Generator<LoadedRecord, void, undefined> {
    const all = this.#db.prepare<StoredRecord, [number, number]>(
      `SELECT space, iif(length(key) <= ?, key, NULL) AS key, crc,
              iif(length(value) <= ?, value, NULL) AS value
       FROM record ORDER BY space, key`,
    );
    let before: LoadedRecord | undefined;
    for (const stored of all.iterate(BLOB_BYTES_MAX, BLOB_BYTES_MAX)) {
      const record = this.#checkedRecord(stored);
      if (!comesAfter(record, before)) throw this.#damaged("its records are out of order");
      before = record;
      yield record;
    }
  }

  /** The records of one space in order of key, as records() does. */
  *recordsIn(space: string): Generator<LoadedRecord, void, undefined> {
    let key: Uint8Array = new Uint8Array(0);
    for (;;) {
      const page = this.#ask(() => this.#records.all(space, key, PAGE_ROWS));
      for (const stored of page) {
        if (stored.space !== space) return;
        yield this.#checkedRecord(stored);
      }
      if (page.length < PAGE_ROWS) return;
      key = (page[page.length - 1] as StoredRecord).key;
    }
  }

  /** Pages of the file and those that are free for reuse, in bytes. */
  size(): { readonly bytes: number; readonly freeBytes: number } {
    const { pages, free, bytes } = this.#ask(() => this.#pages.get()) as {
      pages: number;
      free: number;
      bytes: number;
    };
    return { bytes: pages * bytes, freeBytes: free * bytes };
  }

  close(): void {
    this.#db.close(true);
  }

  #ask<T>(query: () => T): T {
    try {
      return query();
    } catch (error) {
      throw isDamage(error) ? this.#damaged(causeText(error), error) : error;
    }
  }

  /** Damage may have made a NULL of a number that was 0, which is the same to the checksum. */
  #checked(row: StoredRow): Row {
    const { seq, revision, sub, prev, jump, depth, kv } = row;
    const tombstone = row.tombstone !== 0;
    const typed = isBlob(kv) && sub !== null && prev !== null && jump !== null;
    if (!typed || rowChecksum(row, tombstone) !== row.crc) {
      throw this.#damaged(`row ${seq} fails its checksum`);
    }
    return { seq, revision, sub, prev, jump, depth, tombstone, kv };
  }

  #checkedRecord({ space, key: bytes, crc, value }: StoredRecord): LoadedRecord {
    const key = isBlob(bytes) ? latin1(bytes) : "";
    if (!isBlob(bytes) || !isBlob(value) || recordChecksum(space, key, value) !== crc) {
      throw this.#damaged(`record ${space} ${quoted(key)} fails its checksum`);
    }
    return { space, key, value };
  }
}

/** In the order of the table: a page that shows a record twice has lost another. */
function comesAfter({ space, key }: LoadedRecord, before: LoadedRecord | undefined): boolean {
  if (before === undefined || space > before.space) return true;
  return space === before.space && key > before.key;
}

/** A key as a message can show it, whatever its bytes. */
function quoted(key: Key): string {
  return JSON.stringify(key.slice(0, KEY_SHOWN_MAX));
}
