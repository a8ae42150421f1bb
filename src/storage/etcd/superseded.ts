/**
 * Which rows nobody can see any more although they are still stored, because compaction is a walk
 * in the background: etcd's rule (server/storage/mvcc/key_index.go: compact, 3.5.16 and later), by
 * the same look at the rows as ours (state-database.ts). One bit for each seq up to the point.
 */
import type { Database } from "bun:sqlite";
import { readCompaction } from "../state-schema.ts";
import type { Damaged } from "../storage-error.ts";

interface RowHead {
  readonly seq: number;
  readonly revision: number;
  readonly prev: number;
  readonly tombstone: number;
}

/** Rows looked at with one statement. */
const PAGE_ROWS = 1000;

/** Whether the row at a seq is superseded at a compaction point. */
export type IsSuperseded = (seq: number) => boolean;

/** For the compaction point `target`, -1 for none; reads in the transaction that `db` is in. */
export function supersededAt(
  db: Database,
  group: number,
  target: number,
  damaged: Damaged,
): IsSuperseded {
  const { done } = readCompaction(db, group, damaged);
  if (target <= done) return () => false;
  const ends = db.query("SELECT min(seq) AS low, max(seq) AS high FROM row WHERE revision <= ?");
  const { low, high } = ends.get(target) as { low: number | null; high: number | null };
  if (low === null || high === null) return () => false;
  const bits = new Uint8Array(Math.ceil((high - low + 1) / 8));
  const mark = (seq: number): void => {
    const at = seq - low;
    if (at >= 0) bits[at >>> 3] = (bits[at >>> 3] as number) | (1 << (at & 7));
  };
  const heads = db.query<RowHead, [number, number]>(
    `SELECT seq, revision, prev, tombstone FROM row WHERE seq >= ? AND seq <= ?
     ORDER BY seq LIMIT ${PAGE_ROWS}`,
  );
  for (let from = low; ; ) {
    const page = heads.all(from, high);
    for (const { seq, revision, prev, tombstone } of page) {
      if (prev !== 0) mark(prev);
      if (tombstone !== 0 && revision < target) mark(seq);
      from = seq + 1;
    }
    if (page.length < PAGE_ROWS) break;
  }
  return (seq) => {
    const at = seq - low;
    return at >= 0 && seq <= high && ((bits[at >>> 3] as number) & (1 << (at & 7))) !== 0;
  };
}
