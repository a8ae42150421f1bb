/**
 * Reads state.db on the main thread through a connection of its own: synchronous, and only what
 * the Worker has committed. Every call ends its statement, because an open one would keep the
 * Worker's checkpoints from being complete; so the long walks go page by page.
 */
import type { Database, Statement } from "bun:sqlite";
import { type Key, latin1 } from "../base/bytes.ts";
import type { Row } from "../state/ports.ts";
import { openReader } from "./sqlite.ts";
import { RevisionSeek } from "./state-schema.ts";

/** Rows a page of a long walk: 1000 were measured fastest (0.3 s for a million rows). */
const PAGE_ROWS = 1000;

interface StoredRow extends Omit<Row, "tombstone"> {
  readonly tombstone: number;
}

interface StoredRecord {
  readonly space: string;
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

export interface LoadedRecord {
  readonly space: string;
  readonly key: Key;
  readonly value: Uint8Array;
}

export class StateReader {
  readonly #db: Database;
  readonly #seek: RevisionSeek;
  readonly #one: Statement<StoredRow, [number]>;
  readonly #range: Statement<StoredRow, [number, number, number]>;
  readonly #records: Statement<StoredRecord, [string, Uint8Array, number]>;
  readonly #pages: Statement<{ pages: number; free: number; bytes: number }, []>;

  constructor(path: string) {
    const db = openReader(path);
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
    const row = this.#one.get(seq);
    return row === null ? undefined : rowOf(row);
  }

  scan(from: number, to: number, limit: number): Row[] {
    const stored = this.#range.all(from, to, limit);
    const rows: Row[] = [];
    for (let i = 0; i < stored.length; i++) rows.push(rowOf(stored[i] as StoredRow));
    return rows;
  }

  seek(revision: number): number | undefined {
    return this.#seek.seek(revision);
  }

  /** Every row in order of seq, read page by page while it is walked. */
  *rows(): Generator<Row, void, undefined> {
    let from = 0;
    for (;;) {
      const page = this.#range.all(from, Number.MAX_SAFE_INTEGER, PAGE_ROWS);
      for (let i = 0; i < page.length; i++) yield rowOf(page[i] as StoredRow);
      if (page.length < PAGE_ROWS) return;
      from = (page[page.length - 1] as StoredRow).seq + 1;
    }
  }

  /** Every record in order of space and key, read page by page while it is walked. */
  *records(): Generator<LoadedRecord, void, undefined> {
    let last: { space: string; key: Uint8Array } = { space: "", key: new Uint8Array(0) };
    for (;;) {
      const page = this.#records.all(last.space, last.key, PAGE_ROWS);
      for (const { space, key, value } of page) yield { space, key: latin1(key), value };
      if (page.length < PAGE_ROWS) return;
      last = page[page.length - 1] as StoredRecord;
    }
  }

  /** Pages of the file and those that are free for reuse, in bytes. */
  size(): { readonly bytes: number; readonly freeBytes: number } {
    const { pages, free, bytes } = this.#pages.get() as {
      pages: number;
      free: number;
      bytes: number;
    };
    return { bytes: pages * bytes, freeBytes: free * bytes };
  }

  close(): void {
    this.#db.close(true);
  }
}

function rowOf(row: StoredRow): Row {
  const { seq, revision, sub, prev, jump, depth, kv } = row;
  return { seq, revision, sub, prev, jump, depth, tombstone: row.tombstone !== 0, kv };
}
