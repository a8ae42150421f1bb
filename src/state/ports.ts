/**
 * What the replicated machine needs of a store, and what it hands to it. The machine itself is
 * pure: it keeps the key index and the unflushed tail in memory, reads older revisions through
 * History (synchronously), and leaves what changed in a StateBatch that the driver passes on.
 *
 * Physical compaction up to revision R (the machine's physicalTarget()) may remove, of each key,
 * all rows with revision ≤ R but the newest, and that one too if it is a tombstone with revision
 * < R. It must remove rows in order of seq: were a tombstone gone before the versions it ended, a
 * restart in between would bring the key back to life.
 */
import type { Key } from "../base/bytes.ts";

/**
 * One change of one key, as stored: append-only, never rewritten. Rows of one key form a chain
 * backwards through `prev`; `jump` skips to an older ancestor so that the row visible at any
 * revision is found in O(log n) steps (src/state/DESIGN.md).
 */
export interface Row {
  /** Position in the history: 1, 2, 3, … over all keys, never reused; the SQLite rowid. */
  readonly seq: number;
  /** Main revision, and the order of the change within it (0, 1, 2, …). */
  readonly revision: number;
  readonly sub: number;
  /** seq of the row of the same key just before this one (a tombstone counts); 0 if none. */
  readonly prev: number;
  /** seq of the ancestor at depth `depth & (depth - 1)`; 0 if none. */
  readonly jump: number;
  /**
   * 1 for the first row of the key since it entered the index, and for the one after DEPTH_MAX;
   * prev's depth + 1 otherwise.
   */
  readonly depth: number;
  readonly tombstone: boolean;
  /** mvccpb.KeyValue, encoded, key first; a tombstone holds only key and mod_revision. */
  readonly kv: Uint8Array;
}

/** Stored rows, in order of seq. Calls are synchronous; rows never change once returned. */
export interface History {
  /** The row at `seq`, or undefined if compaction removed it or it is not stored (yet). */
  read(seq: number): Row | undefined;
  /** Stored rows with from ≤ seq < to, in order, at most `limit`. */
  scan(from: number, to: number, limit: number): Row[];
  /** The smallest stored seq whose row has revision ≥ `revision`, or undefined if none has. */
  seek(revision: number): number | undefined;
}

/** A small replicated record beside the history: leases, compaction point, auth, members, … */
export interface StateRecord {
  /** Which table of records: "meta", "lease", "member", "member-gone", "alarm", … */
  readonly space: string;
  readonly key: Key;
  /** undefined deletes the record. */
  readonly value: Uint8Array | undefined;
}

/** Everything that applying entries up to `appliedIndex` changed: stored in ONE transaction. */
export interface StateBatch {
  readonly appliedIndex: number;
  readonly appliedTerm: number;
  readonly rows: readonly Row[];
  readonly records: readonly StateRecord[];
}

/** What a store held when it was opened. */
export interface StoredState {
  readonly appliedIndex: number;
  readonly appliedTerm: number;
  readonly records: Iterable<{ space: string; key: Key; value: Uint8Array }>;
  /** All rows in order of seq. */
  readonly rows: Iterable<Row>;
}
