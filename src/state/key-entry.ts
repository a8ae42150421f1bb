/**
 * What the machine keeps in memory of each key: its latest version and where its row is; and,
 * since they all point to each other, the plain data of tree nodes (key-tree.ts) and leases
 * (leases.ts), to which only those files write.
 *
 * Older
 * versions are only in the history, found by walking rows backwards. So that a walk is short, a
 * row at depth d of its key's chain points to the row before it (`prev`, depth d - 1) and to the
 * row at depth d & (d - 1), the lowest set bit cleared (`jump`):
 *
 *   depth      1   2   3   4   5   6   7   8        (Fenwick 1994 orders a tree like this)
 *   jump       -   -   2   -   4   4   6   -
 *
 * The jump of depth d + 1 goes to (d + 1) & d, which is always on the path d, d & (d - 1), … So it
 * is enough to remember that path, at most log2(d) seqs. `path` holds it without d itself, oldest
 * first; its older end may be missing after a restore (those rows are compacted or on their way
 * out), then jumps that would go there are 0. A walk takes the jump while it does not overshoot
 * and `prev` otherwise: O(log² d) rows.
 */
import type { Key } from "../base/bytes.ts";

/**
 * The latest version of one key. Twelve fields and no more: JavaScriptCore gives an object with
 * twelve 112 bytes, one with thirteen 160, and there is one for each key.
 */
export class KeyEntry {
  readonly key: Key;
  /** Row of the latest version; 0 before the first one. */
  seq = 0;
  createRevision = 0;
  modRevision = 0;
  /** 0 while the key is dead: before its first put, and after a delete. */
  version = 0;
  lease: Lease | null = null;
  /** Depth of the latest row in the chain, and the ancestors on its jump path, oldest first. */
  depth = 0;
  path: number[] | null = null;
  /** The stored form of the latest version while the value cache holds it. */
  kv: Uint8Array | null = null;
  /** The value cache's: place in its ring, or -1; whether it was read since the hand passed. */
  slot = -1;
  referenced = false;
  /** The key tree's: the leaf that holds this entry. */
  leaf: Leaf | null = null;

  constructor(key: Key) {
    this.key = key;
  }

  /** Whether the key is dead. */
  get tombstone(): boolean {
    return this.version === 0;
  }
}

/** A leaf of the key tree: entries in order of key. */
export class Leaf {
  entries: KeyEntry[] = [];
  parent: Inner | null = null;
  next: Leaf | null = null;
  previous: Leaf | null = null;
  /** Entries that are not tombstones. */
  live = 0;
  /** At least the newest revision that changed one of the entries. */
  changed = 0;
}

/** An inner node of the key tree. */
export class Inner {
  children: (Leaf | Inner)[] = [];
  /** keys[i] bounds children[i] from below; keys[0] is not looked at. */
  keys: Key[] = [];
  parent: Inner | null = null;
  live = 0;
}

/** Somebody had a right to all keys of a lease by the rules of an auth revision. */
export interface Judgement {
  readonly user: string;
  readonly right: "read" | "write";
  readonly authRevision: number;
  /** Keys that were attached since. */
  readonly fresh: KeyEntry[];
}

const NO_JUDGEMENTS: readonly Judgement[] = [];

/**
 * A lease: replicated are its id, its granted seconds and what it owns; of the time left only what
 * a leader wrote down last, if it did.
 */
export class Lease {
  readonly id: bigint;
  readonly ttlSeconds: number;
  /** The lease field of an encoded KeyValue. */
  readonly field: Uint8Array;
  /** What was left at its last checkpoint, in seconds; 0: all of it. */
  remainingSeconds = 0;
  readonly keys = new Set<KeyEntry>();
  /** Not replicated: lease-judgements.ts. */
  judgements = NO_JUDGEMENTS;

  constructor(id: bigint, ttlSeconds: number, field: Uint8Array) {
    this.id = id;
    this.ttlSeconds = ttlSeconds;
    this.field = field;
  }
}

/**
 * The row after this deep a one begins at depth 1 again, and still points to it: rows keep depths
 * in 32 bits, and 50 days of a thousand puts a second to one key would fill them.
 */
export const DEPTH_MAX = 2 ** 31 - 1;

/** Makes `seq` the latest row of the entry's chain and returns that row's jump (0 for none). */
export function extendChain(entry: KeyEntry, seq: number): number {
  const depth = entry.depth;
  if (depth === DEPTH_MAX) {
    beginChain(entry, seq, 1);
    return 0;
  }
  let path = entry.path;
  if (depth > 0 && (depth & 1) === 0) {
    if (path === null) {
      path = [];
      entry.path = path;
    }
    path.push(entry.seq);
  } else if (path !== null) {
    for (let ones = depth >>> 1; (ones & 1) === 1; ones >>>= 1) path.pop();
  }
  entry.depth = depth + 1;
  entry.seq = seq;
  if (path === null || path.length === 0) return 0;
  return path[path.length - 1] as number;
}

/** Makes `seq` the latest row of the entry, at a depth above which nothing is known. */
export function beginChain(entry: KeyEntry, seq: number, depth: number): void {
  entry.path = null;
  entry.depth = depth;
  entry.seq = seq;
}
