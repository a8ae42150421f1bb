/**
 * No key may be changed twice by one transaction, as far as that can be told without running it:
 * on one level, a key put twice, or put and inside a deleted range, is refused. The levels count
 * together from the inside out (etcd's checkIntervals):
 *   - a nested transaction's puts may meet neither this level's deletes nor puts, nor the puts and
 *     deletes of nested transactions before it; but the two branches of one nested transaction may
 *     put the same key, and a later one may delete what an earlier one put;
 *   - this level's puts may meet nothing of what is nested in it.
 * Deletes may overlap. A range end of "\0" is not looked at: etcd compares the byte literally
 * here, where such a range is empty, and its clients rely on what it lets pass.
 *
 * Cost: the puts of a level are merged into the larger set, deleted ranges are kept sorted and
 * disjoint, so n operations take O(n log n) comparisons on each level that deletes anything.
 */
import type { Key } from "../base/bytes.ts";
import { AetherError } from "../base/errors.ts";
import type { RequestOp } from "../proto/gen/etcdserverpb.ts";
import { KeyBounds } from "./key-bounds.ts";

/** Throws duplicate_key if the operations of one branch, with all below, change a key twice. */
export function checkDuplicates(operations: readonly RequestOp[]): void {
  if (operations.length > 1 || operations[0]?.requestTxn !== undefined) changesOf(operations);
}

interface Changes {
  readonly puts: Set<Key>;
  readonly deletes: readonly KeyBounds[];
}

function changesOf(operations: readonly RequestOp[]): Changes {
  const own: KeyBounds[] = [];
  for (const { requestDeleteRange } of operations) {
    if (requestDeleteRange === undefined || requestDeleteRange.rangeEnd === "\0") continue;
    own.push(new KeyBounds(requestDeleteRange.key, requestDeleteRange.rangeEnd));
  }
  let deletes = disjoint(own);
  let puts = new Set<Key>();
  for (const { requestTxn } of operations) {
    if (requestTxn === undefined) continue;
    const success = changesOf(requestTxn.success);
    const failure = changesOf(requestTxn.failure);
    refuseDeleted(success.puts, deletes);
    refuseDeleted(failure.puts, deletes);
    puts = joined(puts, united(success.puts, failure.puts));
    if (success.deletes.length + failure.deletes.length > 0) {
      deletes = disjoint([...deletes, ...success.deletes, ...failure.deletes]);
    }
  }
  const ownPuts = new Set<Key>();
  for (const { requestPut } of operations) {
    if (requestPut === undefined) continue;
    if (ownPuts.has(requestPut.key)) throw duplicate(requestPut.key);
    ownPuts.add(requestPut.key);
  }
  refuseDeleted(ownPuts, deletes);
  return { puts: joined(puts, ownPuts), deletes };
}

/** Both sets in one; they may overlap. One of the arguments is used up. */
function united(a: Set<Key>, b: Set<Key>): Set<Key> {
  const [large, small] = a.size >= b.size ? [a, b] : [b, a];
  for (const key of small) large.add(key);
  return large;
}

/** Both sets in one; they may not overlap. One of the arguments is used up. */
function joined(a: Set<Key>, b: Set<Key>): Set<Key> {
  const [large, small] = a.size >= b.size ? [a, b] : [b, a];
  for (const key of small) {
    if (large.has(key)) throw duplicate(key);
    large.add(key);
  }
  return large;
}

function refuseDeleted(puts: ReadonlySet<Key>, deletes: readonly KeyBounds[]): void {
  if (deletes.length === 0) return;
  for (const key of puts) if (covers(deletes, key)) throw duplicate(key);
}

/** Whether one of the sorted, disjoint ranges holds the key. */
function covers(ranges: readonly KeyBounds[], key: Key): boolean {
  let low = 0;
  let high = ranges.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((ranges[middle] as KeyBounds).start <= key) low = middle + 1;
    else high = middle;
  }
  const range = ranges[low - 1];
  return range !== undefined && (range.end === undefined || key < range.end);
}

/** The same keys in ranges that are sorted and do not overlap; empty ranges are dropped. */
function disjoint(ranges: readonly KeyBounds[]): readonly KeyBounds[] {
  if (ranges.length < 2) return ranges.filter((range) => !range.empty);
  const sorted = ranges
    .filter((range) => !range.empty)
    .sort((a, b) => (a.start === b.start ? 0 : a.start < b.start ? -1 : 1));
  const result: KeyBounds[] = [];
  for (const range of sorted) {
    const last = result[result.length - 1];
    if (last === undefined || (last.end !== undefined && last.end < range.start)) {
      result.push(range);
    } else if (last.end !== undefined && (range.end === undefined || range.end > last.end)) {
      result[result.length - 1] = new KeyBounds(last.start, range.end ?? "\0");
    }
  }
  return result;
}

function duplicate(key: Key): AetherError {
  return new AetherError("duplicate_key", JSON.stringify(key));
}
