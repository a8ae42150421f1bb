/**
 * How many keys a transaction may have to look at, without looking at them: what its conditions
 * are on, and the ranges of the dearer branch (which one will run is not known before). Deletions
 * are not counted: they are what was asked for, and end.
 */
import type { RangeRequest, RequestOp, TxnRequest } from "../proto/gen/etcdserverpb.ts";
import { KeyBounds } from "./key-bounds.ts";
import type { KeySpace } from "./key-space.ts";

export interface TxnCost {
  /** Keys in the conditions. */
  readonly compared: number;
  /** Keys in the ranges. */
  readonly read: number;
}

export function costInKeys(space: KeySpace, { compare, success, failure }: TxnRequest): TxnCost {
  let compared = 0;
  for (const { key, rangeEnd } of compare) compared += liveIn(space, key, rangeEnd);
  const [one, other] = [sumOf(space, success), sumOf(space, failure)];
  const inner = Math.max(one.compared, other.compared);
  return { compared: compared + inner, read: Math.max(one.read, other.read) };
}

function sumOf(space: KeySpace, operations: readonly RequestOp[]): TxnCost {
  let compared = 0;
  let read = 0;
  for (const { requestRange, requestTxn } of operations) {
    if (requestRange !== undefined) read += keysOf(space, requestRange);
    else if (requestTxn !== undefined) {
      const cost = costInKeys(space, requestTxn);
      compared += cost.compared;
      read += cost.read;
    }
  }
  return { compared, read };
}

/** A count of the newest revision is known without looking. */
function keysOf(space: KeySpace, { key, rangeEnd, revision, countOnly }: RangeRequest): number {
  return countOnly && revision === 0 ? 1 : liveIn(space, key, rangeEnd);
}

function liveIn(space: KeySpace, key: string, rangeEnd: string): number {
  return rangeEnd === "" ? 1 : new KeyBounds(key, rangeEnd).countLive(space.index.tree);
}
