/**
 * The layout of etcd's recipes (client/v3/concurrency): who takes part in `name` owns the key
 *
 *   name / <lease id in hex, a negative one as -hex>        attached to that lease
 *
 * and the order of the create revisions is the order of the queue: the oldest key holds the lock,
 * or leads. Clients that follow the recipes themselves and calls of the Lock and Election services
 * meet on these keys, so neither layout nor conditions may differ from etcd's.
 */
import { assert } from "../base/assert.ts";
import type { Key } from "../base/bytes.ts";
import {
  Compare,
  CompareResult,
  CompareTarget,
  DeleteRangeRequest,
  PutRequest,
  RangeRequest,
  RequestOp,
  SortOrder,
  SortTarget,
  TxnRequest,
} from "../proto/gen/etcdserverpb.ts";
import { KeyValue } from "../proto/gen/mvccpb.ts";
import type { OperationResult } from "../state/results.ts";

/** The lifetime of a lease that is granted for a caller who has none (the recipes' default). */
export const SESSION_TTL_SECONDS = 60;

/** What all keys of `name` begin with. */
export function prefixOf(name: Key): Key {
  return `${name}/`;
}

/** The key of a lease in the queue of `name`. */
export function placeOf(name: Key, lease: bigint): Key {
  return `${name}/${lease.toString(16)}`;
}

/** The first key behind those that begin with `prefix`, which ends with "/". */
export function endOf(prefix: Key): Key {
  return `${prefix.slice(0, -1)}0`;
}

/** The oldest key of a queue: its owner. */
export function oldest(prefix: Key): RangeRequest {
  return RangeRequest.create({
    ...{ key: prefix, rangeEnd: endOf(prefix), limit: 1 },
    ...{ sortTarget: SortTarget.CREATE, sortOrder: SortOrder.ASCEND },
  });
}

/** The youngest key of a queue that is older than `createRevision`. */
export function before(prefix: Key, createRevision: number): RangeRequest {
  return RangeRequest.create({
    ...{ key: prefix, rangeEnd: endOf(prefix), limit: 1, maxCreateRevision: createRevision - 1 },
    ...{ sortTarget: SortTarget.CREATE, sortOrder: SortOrder.DESCEND },
  });
}

/** The condition that `key` was created at `revision`; 0: that it does not exist. */
export function createdAt(key: Key, revision: number): Compare {
  return Compare.create({
    ...{ result: CompareResult.EQUAL, target: CompareTarget.CREATE },
    ...{ key, createRevision: revision },
  });
}

export function putOp(key: Key, value: Uint8Array, lease: bigint): RequestOp {
  return RequestOp.create({ requestPut: PutRequest.create({ key, value, lease }) });
}

export function rangeOp(requestRange: RangeRequest): RequestOp {
  return RequestOp.create({ requestRange });
}

export function getRequest(key: Key): RangeRequest {
  return RangeRequest.create({ key });
}

/** Deletes `key` if it still is the one that was created at `createRevision`. */
export function deleteIfOwn(key: Key, createRevision: number): TxnRequest {
  const requestDeleteRange = DeleteRangeRequest.create({ key });
  return TxnRequest.create({
    compare: [createdAt(key, createRevision)],
    success: [RequestOp.create({ requestDeleteRange })],
  });
}

/** What a read of one key in a queue's transaction found: it reads only what is there. */
export function foundIn(read: OperationResult | undefined): KeyValue {
  assert(read?.kind === "range", "a queue's transactions read as they were told to");
  const [kv] = read.kvs;
  assert(kv !== undefined, "a queue with a key in it has an oldest one");
  return KeyValue.decode(kv, 0, kv.length);
}
