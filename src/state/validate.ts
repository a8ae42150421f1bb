/**
 * What a request must be before anything looks at the state, in the order in which etcd complains.
 * Run by the services before a command is proposed, and before a read. Everything here throws
 * AetherError and changes nothing.
 */
import { AetherError } from "../base/errors.ts";
import {
  type DeleteRangeRequest,
  type PutRequest,
  type RangeRequest,
  type RequestOp,
  SortOrder,
  SortTarget,
  type TxnRequest,
} from "../proto/gen/etcdserverpb.ts";
import { checkDuplicates } from "./duplicates.ts";

/** Operations in one transaction: etcd's --max-txn-ops. */
export const TXN_OPERATIONS_MAX = 128;

/**
 * Transactions inside each other, the outermost not counted. The answer of an operation holds one
 * message more than its request; nested deeper, a request could be read and its answer could not
 * (proto/reader.ts DEPTH_MAX), neither by clients in C++ and Java nor by our JSON gateway.
 */
export const TXN_DEPTH_MAX = 48;

/** empty_key, invalid_sort_option. */
export function checkRange(request: RangeRequest): void {
  if (request.key === "") throw new AetherError("empty_key");
  const { sortOrder, sortTarget } = request;
  const knownOrder = sortOrder >= SortOrder.NONE && sortOrder <= SortOrder.DESCEND;
  const knownTarget = sortTarget >= SortTarget.KEY && sortTarget <= SortTarget.VALUE;
  if (!knownOrder || !knownTarget) throw new AetherError("invalid_sort_option");
}

/** As checkRange(), and unsupported_sort_stream, unsupported_filter_stream (etcd 3.7). */
export function checkRangeStream(request: RangeRequest): void {
  checkRange(request);
  const { sortOrder, sortTarget } = request;
  const isByKey = sortTarget === SortTarget.KEY && sortOrder === SortOrder.ASCEND;
  // Another target without an order is let through, and sorts as it does in Range. etcd sorts each
  // chunk by itself then, and goes on behind the key that came last: beyond ten keys it is wrong.
  if (!isByKey && sortOrder !== SortOrder.NONE) throw new AetherError("unsupported_sort_stream");
  const { minModRevision, maxModRevision, minCreateRevision, maxCreateRevision } = request;
  if (minModRevision !== 0 || maxModRevision !== 0) {
    throw new AetherError("unsupported_filter_stream");
  }
  if (minCreateRevision !== 0 || maxCreateRevision !== 0) {
    throw new AetherError("unsupported_filter_stream");
  }
}

/** empty_key, value_provided, lease_provided. */
export function checkPut(request: PutRequest): void {
  if (request.key === "") throw new AetherError("empty_key");
  if (request.ignoreValue && request.value.length > 0) throw new AetherError("value_provided");
  if (request.ignoreLease && request.lease !== 0n) throw new AetherError("lease_provided");
}

/** empty_key. */
export function checkDeleteRange(request: DeleteRangeRequest): void {
  if (request.key === "") throw new AetherError("empty_key");
}

/**
 * too_many_ops, empty_key, key_not_found (an empty operation), what the operations' own checks
 * say, and then duplicate_key. Both branches are checked, also the one that will not run.
 */
export function checkTxn(request: TxnRequest, operationsMax: number = TXN_OPERATIONS_MAX): void {
  checkOperations(request, operationsMax, 0);
  checkDuplicates(request.success);
  checkDuplicates(request.failure);
}

/** A nested transaction may have as many operations as the one around it leaves over. */
function checkOperations(request: TxnRequest, operationsMax: number, depth: number): void {
  const { compare, success, failure } = request;
  const count = Math.max(compare.length, success.length, failure.length);
  if (count > operationsMax || depth > TXN_DEPTH_MAX) throw new AetherError("too_many_ops");
  for (const { key } of compare) if (key === "") throw new AetherError("empty_key");
  for (const operation of success) checkOperation(operation, operationsMax - count, depth);
  for (const operation of failure) checkOperation(operation, operationsMax - count, depth);
}

function checkOperation(operation: RequestOp, operationsMax: number, depth: number): void {
  const { requestRange, requestPut, requestDeleteRange, requestTxn } = operation;
  if (requestRange !== undefined) checkRange(requestRange);
  else if (requestPut !== undefined) checkPut(requestPut);
  else if (requestDeleteRange !== undefined) checkDeleteRange(requestDeleteRange);
  else if (requestTxn !== undefined) checkOperations(requestTxn, operationsMax, depth + 1);
  else throw new AetherError("key_not_found");
}

/** Only ranges, and none of them nested: such a transaction does not go through the log. */
export function isReadOnly(request: TxnRequest): boolean {
  for (const operation of request.success) if (operation.requestRange === undefined) return false;
  for (const operation of request.failure) if (operation.requestRange === undefined) return false;
  return true;
}

/**
 * Whether a read-only transaction may be answered from local state: every range in it says so, and
 * there is one. etcd answers a transaction without operations from local state too, so that its
 * conditions may be judged by a state that is over; nobody has asked for that.
 */
export function isSerializable(request: TxnRequest): boolean {
  const local = (operation: RequestOp): boolean => operation.requestRange?.serializable === true;
  const operations = [...request.success, ...request.failure];
  return operations.length > 0 && operations.every(local);
}
