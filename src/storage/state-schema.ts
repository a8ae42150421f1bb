/**
 * state.db: what its writer (state-database.ts) and its readers (state-reader.ts) agree on. Rows
 * are append-only in order of seq, and revisions never fall as seq grows, so the row at which a
 * revision starts is found by bisection and needs no second index.
 *
 * Everything carries a CRC-32: rows and records from the main thread, where it is taken and checked
 * (state-checksum.ts), the two bookkeeping rows from the Worker. What a checksum of a row cannot
 * see, that a row is gone, the counts in `applied` do.
 */
import type { Database, Statement } from "bun:sqlite";
import { crc32 } from "../base/crc32.ts";
import type { Format } from "./sqlite.ts";
import type { Damaged } from "./storage-error.ts";

/** `version` grows when an older program could not read what a newer one wrote. */
export const STATE_FORMAT: Format = {
  program: "aether state",
  version: 3, // 2 could not give pages back
  schema: `
  CREATE TABLE row (
    seq INTEGER PRIMARY KEY,
    revision INTEGER NOT NULL,
    sub INTEGER NOT NULL,
    prev INTEGER NOT NULL,
    jump INTEGER NOT NULL,
    depth INTEGER NOT NULL,
    tombstone INTEGER NOT NULL,
    crc INTEGER NOT NULL, -- of all the others
    kv BLOB NOT NULL -- last: what is read without it stays off its overflow pages
  ) STRICT;
  CREATE TABLE record (
    space TEXT NOT NULL,
    key BLOB NOT NULL,
    crc INTEGER NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (space, key)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE applied ( -- one row
    grp INTEGER PRIMARY KEY,
    idx INTEGER NOT NULL,
    term INTEGER NOT NULL,
    row_count INTEGER NOT NULL, -- in row, at the end of the same transaction
    record_count INTEGER NOT NULL,
    crc INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE compaction ( -- one row: how far superseded rows have been removed
    grp INTEGER PRIMARY KEY,
    done INTEGER NOT NULL, -- a revision; everything superseded at it is gone
    requested INTEGER NOT NULL, -- the highest revision asked for
    target INTEGER NOT NULL, -- the revision of the pass that runs; 0 if none does
    next_seq INTEGER NOT NULL, -- where that pass goes on
    crc INTEGER NOT NULL
  ) STRICT;
`,
};

/** What a state is the state after, and how much it holds. */
export interface Applied {
  readonly index: number;
  readonly term: number;
  readonly rows: number;
  readonly records: number;
}

const NOTHING_APPLIED: Applied = { index: 0, term: 0, rows: 0, records: 0 };

/** How far superseded rows have been removed; what the columns say. */
export interface Compaction {
  readonly done: number;
  readonly requested: number;
  readonly target: number;
  readonly nextSeq: number;
}

const NOTHING_COMPACTED: Compaction = { done: 0, requested: 0, target: 0, nextSeq: 0 };

/** The checksum of a bookkeeping row, over its group and its numbers in their order. */
function numbersChecksum(group: number, numbers: readonly number[]): number {
  return crc32(`${group} ${numbers.join(" ")}`);
}

/** What the file holds of `group`, nothing if it is new. Throws if that is damaged or another's. */
export function readApplied(db: Database, group: number, damaged: Damaged): Applied {
  const other = db.query("SELECT 1 FROM applied WHERE grp <> ?").get(group);
  if (other !== null) throw damaged(`it holds another group than ${group}`);
  const row = db
    .query(
      `SELECT idx AS "index", term, row_count AS rows, record_count AS records, crc
       FROM applied WHERE grp = ?`,
    )
    .get(group) as (Applied & { crc: number }) | null;
  if (row === null) return NOTHING_APPLIED;
  const { index, term, rows, records, crc } = row;
  if (numbersChecksum(group, [index, term, rows, records]) !== crc) {
    throw damaged("the applied index fails its checksum");
  }
  return { index, term, rows, records };
}

/** How far compaction of `group` has come. Throws if that is damaged. */
export function readCompaction(db: Database, group: number, damaged: Damaged): Compaction {
  const row = db
    .query("SELECT done, requested, target, next_seq AS nextSeq, crc FROM compaction WHERE grp = ?")
    .get(group) as (Compaction & { crc: number }) | null;
  if (row === null) return NOTHING_COMPACTED;
  const { done, requested, target, nextSeq, crc } = row;
  if (numbersChecksum(group, [done, requested, target, nextSeq]) !== crc) {
    throw damaged("the compaction point fails its checksum");
  }
  return { done, requested, target, nextSeq };
}

/** Writes the two bookkeeping rows of a group. */
export class Bookkeeping {
  readonly #group: number;
  readonly #putApplied: Statement;
  readonly #putCompaction: Statement;

  constructor(db: Database, group: number) {
    this.#group = group;
    this.#putApplied = db.prepare("REPLACE INTO applied VALUES (?, ?, ?, ?, ?, ?)");
    this.#putCompaction = db.prepare("REPLACE INTO compaction VALUES (?, ?, ?, ?, ?, ?)");
  }

  saveApplied({ index, term, rows, records }: Applied): void {
    const crc = numbersChecksum(this.#group, [index, term, rows, records]);
    this.#putApplied.run(this.#group, index, term, rows, records, crc);
  }

  saveCompaction({ done, requested, target, nextSeq }: Compaction): void {
    const crc = numbersChecksum(this.#group, [done, requested, target, nextSeq]);
    this.#putCompaction.run(this.#group, done, requested, target, nextSeq, crc);
  }
}

/** Finds where a revision starts among the stored rows, some of which compaction has removed. */
export class RevisionSeek {
  readonly #ends: Statement<{ low: number | null; high: number | null }, []>;
  readonly #from: Statement<{ seq: number; revision: number }, [number]>;

  constructor(db: Database) {
    this.#ends = db.prepare(
      "SELECT (SELECT min(seq) FROM row) AS low, (SELECT max(seq) FROM row) AS high",
    );
    this.#from = db.prepare("SELECT seq, revision FROM row WHERE seq >= ? ORDER BY seq LIMIT 1");
  }

  /**
   * The smallest stored seq whose row has a revision ≥ `revision`, or undefined. Bisects over seq:
   * about log2(span of seqs) point reads, 30 at a billion.
   */
  seek(revision: number): number | undefined {
    const { low, high } = this.#ends.get() as { low: number | null; high: number | null };
    if (low === null || high === null) return undefined;
    let from = low; // the answer is ≥ from
    let to = high + 1; // rows at to and after have a revision ≥ `revision`
    let found: number | undefined;
    while (from < to) {
      const middle = from + Math.floor((to - from) / 2);
      const row = this.#from.get(middle);
      if (row === null || row.revision >= revision) {
        if (row !== null) found = row.seq;
        to = middle;
      } else {
        from = row.seq + 1;
      }
    }
    return found;
  }
}
