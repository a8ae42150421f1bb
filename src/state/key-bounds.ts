/**
 * The keys a request names, by etcd's rules for `key` and `range_end`: end empty is the one key;
 * end "\0" is every key from `key` on; otherwise [key, end), which is empty when key ≥ end.
 */
import type { Key } from "../base/bytes.ts";
import type { KeyEntry } from "./key-entry.ts";
import type { KeyTree } from "./key-tree.ts";

/** The range end that means "no end". */
const NO_END = "\0";

export class KeyBounds {
  readonly start: Key;
  /** The first key past the range, or undefined for no end. */
  readonly end: Key | undefined;

  constructor(key: Key, rangeEnd: Key) {
    this.start = key;
    if (rangeEnd === "") this.end = `${key}\0`;
    else this.end = rangeEnd === NO_END ? undefined : rangeEnd;
  }

  get empty(): boolean {
    return this.end !== undefined && this.start >= this.end;
  }

  /** How many of a leaf's entries, which lie at or after `start`, lie before the end. */
  stopIn(entries: readonly KeyEntry[]): number {
    const end = this.end;
    const count = entries.length;
    if (end === undefined || count === 0) return count;
    if ((entries[count - 1] as KeyEntry).key < end) return count;
    let low = 0;
    let high = count - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((entries[middle] as KeyEntry).key < end) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Live keys in the range now. */
  countLive(tree: KeyTree): number {
    if (this.empty) return 0;
    const upTo = this.end === undefined ? tree.live : tree.liveBefore(this.end);
    return upTo - tree.liveBefore(this.start);
  }

  /** Calls `visit` for each live entry in order of key; the tree must not change meanwhile. */
  forEachLive(tree: KeyTree, visit: (entry: KeyEntry) => void): void {
    if (this.empty) return;
    tree.seek(this.start);
    let index = tree.index;
    for (let leaf = tree.leaf; leaf !== null; leaf = leaf.next) {
      const entries = leaf.entries;
      const stop = this.stopIn(entries);
      for (; index < stop; index++) {
        const entry = entries[index] as KeyEntry;
        if (!entry.tombstone) visit(entry);
      }
      if (stop < entries.length) return;
      index = 0;
    }
  }
}
