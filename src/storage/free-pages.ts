/**
 * Free pages of a file, given back to the file system a slice at a time: SQLite moves the last
 * pages of the file into holes and cuts its end off (incremental_vacuum). Nobody waits meanwhile:
 * it is a transaction like any other, and the file itself shrinks with the next complete
 * checkpoint.
 *
 *   after a compaction   down to a reserve, which the next writes would take again anyway
 *   when asked           to the last one
 */
import type { Database, Statement } from "bun:sqlite";
import { assert } from "../base/assert.ts";
import { MIB } from "../base/units.ts";

/** Pages moved in one slice: 1 MiB, 1 to 2 ms. */
const SLICE_PAGES = 256;

/** Left free after a compaction: what is written until the next one would take it again. */
const RESERVE_PAGES_MIN = (4 * MIB) / 4096;
const RESERVE_SHARE = 0.25;

interface Pages {
  readonly pages: number;
  readonly free: number;
}

export class FreePages {
  readonly #look: Statement<Pages, []>;
  readonly #giveBack: Statement;
  /** How many may stay free; undefined while nothing is to be given back. */
  #kept: number | undefined;

  /** Over a file opened with `shrinks`. */
  constructor(db: Database) {
    this.#look = db.prepare(
      `SELECT page_count AS pages, freelist_count AS free
       FROM pragma_page_count, pragma_freelist_count`,
    );
    this.#giveBack = db.prepare(`PRAGMA incremental_vacuum(${SLICE_PAGES})`);
  }

  /** Rows were removed: whatever is more than a reserve is to go. */
  afterCompaction(): void {
    if (this.#kept !== undefined) return;
    const { pages, free } = this.#count();
    this.#kept = Math.max(RESERVE_PAGES_MIN, Math.ceil((pages - free) * RESERVE_SHARE));
  }

  /** All of them are to go. */
  giveBackAll(): void {
    this.#kept = 0;
  }

  /** Gives back one slice; false if nothing was left to give. */
  slice(): boolean {
    if (this.#kept === undefined) return false;
    const { free } = this.#count();
    if (this.#kept === 0 ? free === 0 : free < this.#kept + SLICE_PAGES) {
      this.#kept = undefined;
      return false;
    }
    this.#giveBack.all(); // all(): each step of it gives back pages
    assert(this.#count().free < free, "a slice gives pages back");
    return true;
  }

  #count(): Pages {
    return this.#look.get() as Pages;
  }
}
