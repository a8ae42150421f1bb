/**
 * Ranges of keys, found by a key they contain: an AVL tree ordered by (key, end) in which every
 * node knows the largest end below it. A search that finds k of n ranges visits O(k log n) nodes;
 * adding and removing is O(log n) in the worst case, so no choice of ranges makes it slow.
 *
 * Invariants, checked by verifyTree():
 *   T1 order   T2 heights of siblings differ by at most 1   T3 maxEnd is the largest end below
 */
import { assert } from "../base/assert.ts";
import type { Key } from "../base/bytes.ts";

/** The tree's part of a range; `end` is exclusive and never empty. */
export interface IntervalNode<T> {
  readonly key: Key;
  readonly end: Key;
  left: T | undefined;
  right: T | undefined;
  height: number;
  maxEnd: Key;
}

/** The tree with `added`, which must not be in it; returns the new root. */
export function insertInterval<T extends IntervalNode<T>>(root: T | undefined, added: T): T {
  if (root === undefined) return renew(added);
  if (isBefore(added, root)) root.left = insertInterval(root.left, added);
  else root.right = insertInterval(root.right, added);
  return rebalance(root);
}

/** The tree without `gone`, which must be in it; returns the new root. */
export function removeInterval<T extends IntervalNode<T>>(
  root: T | undefined,
  gone: T,
): T | undefined {
  assert(root !== undefined, "a range that is removed is in the tree");
  if (root === gone) {
    const { left, right } = root;
    root.left = undefined;
    root.right = undefined;
    if (right === undefined) return left;
    const first = leftmost(right);
    first.right = removeInterval(right, first);
    first.left = left;
    return rebalance(first);
  }
  if (isBefore(gone, root)) root.left = removeInterval(root.left, gone);
  else root.right = removeInterval(root.right, gone);
  return rebalance(root);
}

/** The node with this key and end, if there is one. */
export function findInterval<T extends IntervalNode<T>>(
  root: T | undefined,
  key: Key,
  end: Key,
): T | undefined {
  let node = root;
  while (node !== undefined && (node.key !== key || node.end !== end)) {
    const goLeft = key < node.key || (key === node.key && end < node.end);
    node = goLeft ? node.left : node.right;
  }
  return node;
}

/** Appends to `out` every range with range.key ≤ key < range.end. */
export function collectIntervals<T extends IntervalNode<T>>(
  root: T | undefined,
  key: Key,
  out: T[],
): void {
  let node = root;
  while (node !== undefined && key < node.maxEnd) {
    if (node.left !== undefined) collectIntervals(node.left, key, out);
    if (key < node.key) return; // whatever is to the right starts even later
    if (key < node.end) out.push(node);
    node = node.right;
  }
}

/** Asserts T1 to T3 and returns how many ranges there are. */
export function verifyTree<T extends IntervalNode<T>>(root: T | undefined): number {
  if (root === undefined) return 0;
  const left = root.left;
  const right = root.right;
  assert(left === undefined || isBefore(left, root), "T1: left is before its parent");
  assert(right === undefined || isBefore(root, right), "T1: right is behind its parent");
  assert(Math.abs(heightOf(left) - heightOf(right)) <= 1, "T2: siblings are about as high");
  const { height, maxEnd } = root;
  renew(root);
  assert(height === root.height, "T2: a node knows its height");
  assert(maxEnd === root.maxEnd, "T3: a node knows the largest end below it");
  return 1 + verifyTree(left) + verifyTree(right);
}

function isBefore<T extends IntervalNode<T>>(a: T, b: T): boolean {
  return a.key === b.key ? a.end < b.end : a.key < b.key;
}

function heightOf<T extends IntervalNode<T>>(node: T | undefined): number {
  return node === undefined ? 0 : node.height;
}

function leftmost<T extends IntervalNode<T>>(root: T): T {
  let node = root;
  while (node.left !== undefined) node = node.left as T;
  return node;
}

/** Recomputes what a node knows of its children. */
function renew<T extends IntervalNode<T>>(node: T): T {
  const left = node.left;
  const right = node.right;
  node.height = 1 + Math.max(heightOf(left), heightOf(right));
  let maxEnd = node.end;
  if (left !== undefined && left.maxEnd > maxEnd) maxEnd = left.maxEnd;
  if (right !== undefined && right.maxEnd > maxEnd) maxEnd = right.maxEnd;
  node.maxEnd = maxEnd;
  return node;
}

function rebalance<T extends IntervalNode<T>>(node: T): T {
  const left = node.left;
  const right = node.right;
  const lean = heightOf(left) - heightOf(right);
  if (lean > 1) {
    const inner = left as T;
    if (heightOf(inner.left) < heightOf(inner.right)) {
      node.left = rotateLeft(inner);
    }
    return rotateRight(node);
  }
  if (lean < -1) {
    const inner = right as T;
    if (heightOf(inner.right) < heightOf(inner.left)) {
      node.right = rotateRight(inner);
    }
    return rotateLeft(node);
  }
  return renew(node);
}

function rotateRight<T extends IntervalNode<T>>(node: T): T {
  const top = node.left as T;
  node.left = top.right;
  top.right = renew(node);
  return renew(top);
}

function rotateLeft<T extends IntervalNode<T>>(node: T): T {
  const top = node.right as T;
  node.right = top.left;
  top.left = renew(node);
  return renew(top);
}
