/**
 * state.db: what its writer (state-database.ts) and its readers (state-reader.ts) agree on. Rows
 * are append-only in order of seq, and revisions never fall as seq grows, so the row at which a
 * revision starts is found by bisection and needs no second index.
 */
import type { Database, Statement } from "bun:sqlite";

export const STATE_PROGRAM = "aether state";

export const STATE_SCHEMA = `
  CREATE TABLE row (
    seq INTEGER PRIMARY KEY,
    revision INTEGER NOT NULL,
    sub INTEGER NOT NULL,
    prev INTEGER NOT NULL,
    jump INTEGER NOT NULL,
    depth INTEGER NOT NULL,
    tombstone INTEGER NOT NULL,
    kv BLOB NOT NULL
  ) STRICT;
  CREATE TABLE record (
    space TEXT NOT NULL,
    key BLOB NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (space, key)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE applied ( -- one row
    grp INTEGER PRIMARY KEY,
    idx INTEGER NOT NULL,
    term INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE compaction ( -- one row: how far superseded rows have been removed
    grp INTEGER PRIMARY KEY,
    done INTEGER NOT NULL, -- a revision; everything superseded at it is gone
    requested INTEGER NOT NULL, -- the highest revision asked for
    target INTEGER NOT NULL, -- the revision of the pass that runs; 0 if none does
    next_seq INTEGER NOT NULL -- where that pass goes on
  ) STRICT;
`;

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
