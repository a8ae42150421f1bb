/**
 * All keys the machine knows: a map for points, the tree for order, and the dead ones in order of
 * their deletion. A dead entry stays until nothing can ask for a revision at which it lived: the
 * sweep takes it out some time after compaction passed its tombstone. When exactly is invisible,
 * as a missing entry and an old tombstone read the same; so it is done a few entries at a time.
 */
import { assert } from "../base/assert.ts";
import type { Key } from "../base/bytes.ts";
import { KeyEntry } from "./key-entry.ts";
import { KeyTree } from "./key-tree.ts";

export class KeyIndex {
  readonly tree = new KeyTree();
  readonly #points = new Map<Key, KeyEntry>();
  /** Entries whose latest version is a tombstone, oldest tombstone first. */
  readonly #dead = new Set<KeyEntry>();

  get(key: Key): KeyEntry | undefined {
    return this.#points.get(key);
  }

  /** Entries, dead ones too. */
  get size(): number {
    return this.#points.size;
  }

  /** Every entry, dead ones too, in no order. */
  all(): IterableIterator<KeyEntry> {
    return this.#points.values();
  }

  /** A new, dead entry for a key that has none; its first version must follow at once. */
  add(key: Key): KeyEntry {
    const entry = new KeyEntry(key);
    this.#points.set(key, entry);
    this.tree.insert(entry);
    return entry;
  }

  /** The entry, dead so far, gets a version. */
  revive(entry: KeyEntry): void {
    if (entry.seq !== 0) this.#dead.delete(entry);
    this.tree.adjustLive(entry, 1);
  }

  /** The entry got a tombstone; tombstones come in order of revision. */
  bury(entry: KeyEntry): void {
    this.#dead.add(entry);
    this.tree.adjustLive(entry, -1);
  }

  /**
   * Takes out at most `budget` entries that died before `revision`; true if more wait. A dead
   * entry is in no cache and has no lease, so nothing else points to it.
   */
  sweep(revision: number, budget: number): boolean {
    if (this.#dead.size === 0) return false;
    let left = budget;
    for (const entry of this.#dead) {
      if (entry.modRevision >= revision) return false;
      if (left-- === 0) return true;
      this.#dead.delete(entry);
      this.#points.delete(entry.key);
      this.tree.remove(entry);
    }
    return false;
  }

  /** The entry for a row that is being restored; the tree comes later, all at once. */
  restoreEntry(key: Key): KeyEntry {
    let entry = this.#points.get(key);
    if (entry === undefined) {
      entry = new KeyEntry(key);
      this.#points.set(key, entry);
    }
    return entry;
  }

  /** The entry's next row is being restored: is that a tombstone? */
  restoreLife(entry: KeyEntry, tombstone: boolean): void {
    if (entry.tombstone && entry.seq !== 0) this.#dead.delete(entry);
    if (tombstone) this.#dead.add(entry);
  }

  /** Ends a restore: puts all entries into the tree. */
  restoreTree(): void {
    const keys = [...this.#points.keys()].sort();
    this.tree.load(keys.map((key) => this.#points.get(key) as KeyEntry));
  }

  /** Checks every invariant; returns the entries in order of key. */
  verify(): KeyEntry[] {
    const entries = this.tree.verify();
    assert(entries.length === this.#points.size, "map and tree hold the same number of keys");
    let dead = 0;
    for (const entry of entries) {
      assert(this.#points.get(entry.key) === entry, "map and tree hold the same entries");
      assert(entry.tombstone === this.#dead.has(entry), "dead entries are listed");
      if (entry.tombstone) dead++;
    }
    assert(dead === this.#dead.size, "only entries of the index are listed as dead");
    let newest = 0;
    for (const entry of this.#dead) {
      assert(entry.modRevision >= newest, "the dead are listed in order of revision");
      newest = entry.modRevision;
    }
    return entries;
  }
}
