/**
 * The keys in order: a B+tree over key entries. Inner nodes and leaves know how many live keys lie
 * below them, so the number of keys in a range is two descents (clients page with an exact count).
 * A leaf also knows the newest revision among its entries, so that a read of the past passes over
 * what has not changed since. Leaves are chained for scans.
 *
 * Invariants, checked by verify(): keys ascend; keys[i] of an inner node is ≤ all of child i and >
 * all of child i - 1; `live` counts match; `changed` ≥ every modRevision in the leaf; every entry
 * points to its leaf, every node to its parent; leaves are chained in order.
 * A leaf that lost its last entry and has no sibling to merge with may stay empty.
 * Positions (leaf, index) hold until the structure changes: `structure` counts those changes.
 */
import { assert } from "../base/assert.ts";
import type { Key } from "../base/bytes.ts";
import { Inner, type KeyEntry, Leaf } from "./key-entry.ts";

/** Entries in a leaf, children of an inner node. Measured: 32 to 128 differ by under 10 %. */
export const NODE_MAX = 64;
/** Below this a node looks for a sibling to merge with; nodes are at least this full on average. */
const NODE_MIN = NODE_MAX / 4;
/** A merge leaves room, so that the next insert does not split again. */
const MERGED_MAX = (NODE_MAX * 3) / 4;

type Node = Leaf | Inner;

export class KeyTree {
  #root: Node = new Leaf();
  #size = 0;
  /** Grows whenever entries move, come or go. */
  structure = 0;
  /** Where seek() stands: the first entry ≥ the key asked for; null past the last. */
  leaf: Leaf | null = null;
  index = 0;

  get size(): number {
    return this.#size;
  }

  get live(): number {
    return this.#root.live;
  }

  /** Stands `leaf` and `index` on the first entry whose key is ≥ `key`. */
  seek(key: Key): void {
    let leaf: Leaf | null = this.#leafFor(key);
    let index = lowerBound(leaf.entries, key);
    while (leaf !== null && index === leaf.entries.length) {
      leaf = leaf.next;
      index = 0;
    }
    this.leaf = leaf;
    this.index = index;
  }

  /** Live keys that are < `key`. */
  liveBefore(key: Key): number {
    let node = this.#root;
    let count = 0;
    while (node instanceof Inner) {
      const child = childFor(node, key);
      for (let i = 0; i < child; i++) count += (node.children[i] as Node).live;
      node = node.children[child] as Node;
    }
    const entries = node.entries;
    const end = lowerBound(entries, key);
    if (node.live === entries.length) return count + end;
    for (let i = 0; i < end; i++) if (!(entries[i] as KeyEntry).tombstone) count++;
    return count;
  }

  /** Adds a dead entry whose key is not in the tree. */
  insert(entry: KeyEntry): void {
    assert(entry.tombstone, "an entry comes to life after it is in the tree");
    let leaf = this.#leafFor(entry.key);
    let index = lowerBound(leaf.entries, entry.key);
    if (leaf.entries.length === NODE_MAX) {
      const right = splitLeaf(leaf, leaf.next === null && index === NODE_MAX);
      this.#insertBeside(leaf, right, (right.entries[0] ?? entry).key);
      if (index > leaf.entries.length || right.entries.length === 0) {
        index -= leaf.entries.length;
        leaf = right;
      }
    }
    leaf.entries.splice(index, 0, entry);
    entry.leaf = leaf;
    this.#size++;
    this.structure++;
  }

  /** Takes a dead entry out. */
  remove(entry: KeyEntry): void {
    assert(entry.tombstone, "only a dead entry leaves the tree");
    const leaf = entry.leaf;
    assert(leaf !== null, "an entry that leaves is in the tree");
    leaf.entries.splice(leaf.entries.indexOf(entry), 1);
    entry.leaf = null;
    this.#size--;
    this.structure++;
    if (leaf.entries.length < NODE_MIN) this.#thin(leaf);
  }

  /** Counts an entry in (+1) or out (-1) when it comes to life or dies. */
  adjustLive(entry: KeyEntry, delta: 1 | -1): void {
    let node: Node | null = entry.leaf;
    while (node !== null) {
      node.live += delta;
      node = node.parent;
    }
  }

  /** Builds the tree from entries in order of key; the tree must be empty. */
  load(sorted: readonly KeyEntry[]): void {
    assert(this.#size === 0, "only an empty tree is loaded");
    if (sorted.length === 0) return;
    let level: Node[] = loadLeaves(sorted);
    let bounds = (level as Leaf[]).map((leaf) => (leaf.entries[0] as KeyEntry).key);
    while (level.length > 1) {
      const parents: Inner[] = [];
      const parentBounds: Key[] = [];
      for (let i = 0; i < level.length; i += MERGED_MAX) {
        const keys = bounds.slice(i, i + MERGED_MAX);
        parents.push(adopt(level.slice(i, i + MERGED_MAX), keys));
        parentBounds.push(keys[0] as Key);
      }
      level = parents;
      bounds = parentBounds;
    }
    this.#root = level[0] as Node;
    this.#size = sorted.length;
    this.structure++;
  }

  /** Checks every invariant; returns the entries in order. */
  verify(): KeyEntry[] {
    const entries: KeyEntry[] = [];
    const leaves: Leaf[] = [];
    verifyNode(this.#root, undefined, undefined, entries, leaves);
    assert(this.#root.parent === null, "the root has no parent");
    assert(entries.length === this.#size, "the size is the number of entries");
    for (let i = 0; i < leaves.length; i++) {
      const leaf = leaves[i] as Leaf;
      assert(leaf.next === (leaves[i + 1] ?? null), "leaves are chained forwards");
      assert(leaf.previous === (leaves[i - 1] ?? null), "leaves are chained backwards");
    }
    return entries;
  }

  #leafFor(key: Key): Leaf {
    let node = this.#root;
    while (node instanceof Inner) node = node.children[childFor(node, key)] as Node;
    return node;
  }

  /** Puts `right`, split off from `left`, into the tree; splits upwards as needed. */
  #insertBeside(left: Node, right: Node, bound: Key): void {
    const parent = left.parent;
    if (parent === null) {
      this.#root = adopt([left, right], ["", bound]);
      return;
    }
    const at = parent.children.indexOf(left) + 1;
    parent.children.splice(at, 0, right);
    parent.keys.splice(at, 0, bound);
    right.parent = parent;
    if (parent.children.length <= NODE_MAX) return;
    const middle = parent.children.length >>> 1;
    const keys = parent.keys.splice(middle);
    const moved = adopt(parent.children.splice(middle), keys);
    parent.live -= moved.live;
    this.#insertBeside(parent, moved, keys[0] as Key);
  }

  /** A node became small: merge it with a sibling of the same parent if both fit in one. */
  #thin(node: Node): void {
    const parent = node.parent;
    if (parent === null) {
      this.#lowerRoot();
      return;
    }
    const at = parent.children.indexOf(node);
    const next = parent.children[at + 1];
    const previous = parent.children[at - 1];
    if (next !== undefined && fits(node, next)) this.#merge(parent, at);
    else if (previous !== undefined && fits(previous, node)) this.#merge(parent, at - 1);
    else return;
    if (parent.children.length < NODE_MIN) this.#thin(parent);
  }

  /** Moves everything of child at + 1 into child `at`. */
  #merge(parent: Inner, at: number): void {
    const left = parent.children[at] as Node;
    const right = parent.children[at + 1] as Node;
    if (left instanceof Leaf && right instanceof Leaf) {
      mergeLeaves(left, right);
    } else if (left instanceof Inner && right instanceof Inner) {
      left.keys.push(parent.keys[at + 1] as Key, ...right.keys.slice(1));
      for (const child of right.children) {
        child.parent = left;
        left.children.push(child);
      }
    }
    left.live += right.live;
    parent.children.splice(at + 1, 1);
    parent.keys.splice(at + 1, 1);
  }

  #lowerRoot(): void {
    while (this.#root instanceof Inner && this.#root.children.length === 1) {
      this.#root = this.#root.children[0] as Node;
      this.#root.parent = null;
    }
  }
}

/** The first index whose key is ≥ `key`. */
function lowerBound(entries: readonly KeyEntry[], key: Key): number {
  let low = 0;
  let high = entries.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((entries[middle] as KeyEntry).key < key) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The child in which `key` is or would be: the last one whose bound is ≤ key. */
function childFor(node: Inner, key: Key): number {
  const keys = node.keys;
  let low = 1;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((keys[middle] as Key) <= key) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** Splits a full leaf; `atEnd` (keys come in ascending order) leaves the left one full. */
function splitLeaf(leaf: Leaf, atEnd: boolean): Leaf {
  const right = new Leaf();
  if (!atEnd) {
    right.entries = leaf.entries.splice(NODE_MAX / 2);
    for (const entry of right.entries) {
      entry.leaf = right;
      if (!entry.tombstone) right.live++;
    }
    // Counted again above the leaf when the parent adopts it, so only the leaf loses them.
    leaf.live -= right.live;
    right.changed = leaf.changed;
  }
  right.next = leaf.next;
  right.previous = leaf;
  if (leaf.next !== null) leaf.next.previous = right;
  leaf.next = right;
  return right;
}

function fits(left: Node, right: Node): boolean {
  const both = count(left) + count(right);
  return both <= MERGED_MAX || both === count(left) || both === count(right);
}

function count(node: Node): number {
  return node instanceof Leaf ? node.entries.length : node.children.length;
}

function mergeLeaves(left: Leaf, right: Leaf): void {
  for (const entry of right.entries) {
    entry.leaf = left;
    left.entries.push(entry);
  }
  left.changed = Math.max(left.changed, right.changed);
  left.next = right.next;
  if (right.next !== null) right.next.previous = left;
}

/** A new inner node over `children`. */
function adopt(children: Node[], keys: Key[]): Inner {
  const parent = new Inner();
  parent.children = children;
  parent.keys = keys;
  for (const child of children) {
    child.parent = parent;
    parent.live += child.live;
  }
  return parent;
}

function loadLeaves(sorted: readonly KeyEntry[]): Leaf[] {
  const leaves: Leaf[] = [];
  let previous: Leaf | null = null;
  for (let i = 0; i < sorted.length; i += MERGED_MAX) {
    const leaf: Leaf = new Leaf();
    leaf.entries = sorted.slice(i, i + MERGED_MAX);
    for (const entry of leaf.entries) {
      entry.leaf = leaf;
      if (!entry.tombstone) leaf.live++;
      if (entry.modRevision > leaf.changed) leaf.changed = entry.modRevision;
    }
    leaf.previous = previous;
    if (previous !== null) previous.next = leaf;
    previous = leaf;
    leaves.push(leaf);
  }
  return leaves;
}

/** Checks the subtree whose keys must lie in [low, high). */
function verifyNode(
  node: Node,
  low: Key | undefined,
  high: Key | undefined,
  entries: KeyEntry[],
  leaves: Leaf[],
): void {
  let live = 0;
  if (node instanceof Leaf) {
    leaves.push(node);
    for (const entry of node.entries) {
      assert(low === undefined || entry.key >= low, "a key is not below its bound");
      assert(high === undefined || entry.key < high, "a key is below the next bound");
      const last = entries[entries.length - 1];
      assert(last === undefined || last.key < entry.key, "keys ascend");
      assert(entry.leaf === node, "an entry knows its leaf");
      assert(entry.modRevision <= node.changed, "a leaf knows its newest revision");
      if (!entry.tombstone) live++;
      entries.push(entry);
    }
  } else {
    assert(node.keys.length === node.children.length, "each child has a bound");
    for (let i = 0; i < node.children.length; i++) {
      const child = node.children[i] as Node;
      assert(child.parent === node, "a node knows its parent");
      verifyNode(child, i === 0 ? low : node.keys[i], node.keys[i + 1] ?? high, entries, leaves);
      live += child.live;
    }
  }
  assert(live === node.live, "live keys are counted");
}
