/**
 * The history as the first member that applied it has it: every revision with its rows. Whoever
 * comes later, or back, or by a snapshot, must have the same.
 */
import { fail } from "./failure.ts";

/** A change of one key, as a member's machine shows it. */
export interface ChronicleRow {
  readonly revision: number;
  readonly sub: number;
  readonly tombstone: boolean;
  readonly kv: Uint8Array;
}

/** What one revision changed, and when somebody had it first. */
export interface Revision {
  readonly atMs: number;
  readonly rows: readonly ChronicleRow[];
}

export class Chronicle {
  /** By revision; the first is 2. */
  readonly #revisions: Revision[] = [];
  readonly #nowMs: () => number;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  /** The newest revision that anyone has. */
  get revision(): number {
    return Math.max(1, this.#revisions.length - 1);
  }

  /** Every revision, oldest first. */
  revisions(): readonly Revision[] {
    return this.#revisions.slice(2);
  }

  /**
   * What `who` has of the revisions after `after` up to `revision`; those at or below `compacted`
   * may have lost rows.
   */
  compare(who: string, rows: readonly ChronicleRow[], span: Span): void {
    let at = 0;
    for (let revision = span.after + 1; revision <= span.revision; revision++) {
      const from = at;
      while (at < rows.length && (rows[at] as ChronicleRow).revision === revision) at++;
      this.#compareOne(who, rows.slice(from, at), revision, revision <= span.compacted);
    }
    if (at !== rows.length) fail(`${who} has rows of a revision above ${span.revision}`);
  }

  #compareOne(who: string, rows: readonly ChronicleRow[], revision: number, thin: boolean): void {
    const known = this.#revisions[revision]?.rows;
    if (known === undefined) {
      // Whoever applies a revision first has all of it: rows are removed later.
      if (rows.length === 0) fail(`revision ${revision} of ${who} holds nothing`);
      this.#revisions[revision] = { atMs: this.#nowMs(), rows };
      return;
    }
    if (!thin && rows.length !== known.length) {
      fail(`${who} has ${rows.length} rows at revision ${revision}, others ${known.length}`);
    }
    for (const row of rows) {
      const other = known[row.sub];
      if (other === undefined || !isSame(row, other)) {
        fail(`${who} has another row ${row.sub} at revision ${revision} than others`);
      }
    }
  }
}

/** Revisions after `after` up to `revision`. */
export interface Span {
  readonly after: number;
  readonly revision: number;
  readonly compacted: number;
}

function isSame(a: ChronicleRow, b: ChronicleRow): boolean {
  return a.sub === b.sub && a.tombstone === b.tombstone && Buffer.compare(a.kv, b.kv) === 0;
}
