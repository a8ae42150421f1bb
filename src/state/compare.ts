/**
 * The conditions of a transaction (etcd's Compare), all of which must hold. A condition on a range
 * holds if it does for every key in it. On no key at all, a condition on the value is false, and
 * any other compares with 0: "version = 0" is how clients ask for "does not exist".
 * An operand of another kind than the target, or none, is 0 or empty. Numbers of targets and
 * results that are not known compare as equal and hold, as they do in etcd.
 */
import { asBuffer, EMPTY_BYTES } from "../base/bytes.ts";
import { type Compare, CompareResult, CompareTarget } from "../proto/gen/etcdserverpb.ts";
import { StoredKeyValue } from "../proto/hot/key-value.ts";
import { KeyBounds } from "./key-bounds.ts";
import type { KeyEntry } from "./key-entry.ts";
import type { KeySpace } from "./key-space.ts";

/** Whether all conditions hold now. */
export function holdAll(space: KeySpace, compares: readonly Compare[]): boolean {
  for (const compare of compares) if (!holds(space, compare)) return false;
  return true;
}

function holds(space: KeySpace, compare: Compare): boolean {
  if (compare.rangeEnd === "") {
    const entry = space.live(compare.key);
    return entry === undefined ? holdsForNone(compare) : holdsFor(space, compare, entry);
  }
  let met = 0;
  let failed = 0;
  new KeyBounds(compare.key, compare.rangeEnd).forEachLive(space.index.tree, (entry) => {
    met++;
    if (failed === 0 && !holdsFor(space, compare, entry)) failed++;
  });
  return met === 0 ? holdsForNone(compare) : failed === 0;
}

function holdsFor(space: KeySpace, compare: Compare, entry: KeyEntry): boolean {
  return holdsOrder(compare.result, orderOf(space, compare, entry));
}

function holdsForNone(compare: Compare): boolean {
  switch (compare.target) {
    case CompareTarget.VALUE:
      return false;
    case CompareTarget.VERSION:
      return holdsOrder(compare.result, 0 - (compare.version ?? 0));
    case CompareTarget.CREATE:
      return holdsOrder(compare.result, 0 - (compare.createRevision ?? 0));
    case CompareTarget.MOD:
      return holdsOrder(compare.result, 0 - (compare.modRevision ?? 0));
    case CompareTarget.LEASE:
      return holdsOrder(compare.result, compareIds(0n, compare.lease ?? 0n));
    default:
      return holdsOrder(compare.result, 0);
  }
}

/** Below, at or above 0 as the entry's property is less than, equal to or above the operand. */
function orderOf(space: KeySpace, compare: Compare, entry: KeyEntry): number {
  switch (compare.target) {
    case CompareTarget.VALUE:
      return compareValue(space.bytesOf(entry), compare.value ?? EMPTY_BYTES);
    case CompareTarget.VERSION:
      return entry.version - (compare.version ?? 0);
    case CompareTarget.CREATE:
      return entry.createRevision - (compare.createRevision ?? 0);
    case CompareTarget.MOD:
      return entry.modRevision - (compare.modRevision ?? 0);
    case CompareTarget.LEASE:
      return compareIds(entry.lease === null ? 0n : entry.lease.id, compare.lease ?? 0n);
    default:
      return 0;
  }
}

const reader = new StoredKeyValue();

function compareValue(kv: Uint8Array, value: Uint8Array): number {
  const { valueStart, valueEnd } = reader.read(kv);
  return asBuffer(kv).compare(value, 0, value.length, valueStart, valueEnd);
}

function compareIds(a: bigint, b: bigint): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

function holdsOrder(result: number, order: number): boolean {
  switch (result) {
    case CompareResult.EQUAL:
      return order === 0;
    case CompareResult.NOT_EQUAL:
      return order !== 0;
    case CompareResult.GREATER:
      return order > 0;
    case CompareResult.LESS:
      return order < 0;
    default:
      return true;
  }
}
