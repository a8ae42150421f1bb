/**
 * Transactions: conditions, then the operations of one branch, in order, later ones seeing what
 * earlier ones did. In three passes over the request, each in the same order:
 *   decide   which branch, here and in every nested transaction that will run: all conditions see
 *            the state before the transaction
 *   check    everything that can fail, against that same state: then nothing has happened yet
 *   run      cannot fail
 */
import { assert } from "../base/assert.ts";
import { AetherError } from "../base/errors.ts";
import { MIB } from "../base/units.ts";
import type { PutRequest, RangeRequest, RequestOp, TxnRequest } from "../proto/gen/etcdserverpb.ts";
import { holdAll } from "./compare.ts";
import type { KeySpace } from "./key-space.ts";
import { deleteRange, put } from "./operations.ts";
import { RangeCursor, readRange } from "./range.ts";
import type { OperationResult, RangeResult, TxnResult } from "./results.ts";

/**
 * Bytes of key values that the ranges of one transaction give. Reading ends beyond it: an answer of
 * more is not sent anyway (rpc/kv.ts), and two kilobytes of request can name a store 128 times.
 * What is read never decides what is written, so members need not agree on it.
 */
export const TXN_READ_BYTES_MAX = 64 * MIB;

/**
 * Runs a transaction; the caller commits. Fails, with nothing changed, with what its operations
 * fail with: lease_not_found, key_not_found, future_revision, compacted, empty_key.
 */
export function runTxn(space: KeySpace, request: TxnRequest): TxnResult {
  assert(space.changes === 0, "a transaction begins a write request");
  const branches = checkedBranches(space, request);
  const { counts } = space;
  const before = counts.total;
  const result = new Pass(branches).run(space, request, true);
  if (counts.total - before > 1) counts.txns++;
  return result;
}

/** Which branches run, in order, once everything is checked that can fail. Fails as runTxn(). */
export function checkedBranches(space: KeySpace, request: TxnRequest): readonly boolean[] {
  const branches: boolean[] = [];
  decide(space, request, branches);
  new Pass(branches).check(space, request);
  return branches;
}

/** Appends the branch of this transaction, then those of nested ones in it, in order. */
function decide(space: KeySpace, request: TxnRequest, branches: boolean[]): void {
  const succeeded = holdAll(space, request.compare);
  branches.push(succeeded);
  for (const operation of succeeded ? request.success : request.failure) {
    if (operation.requestTxn !== undefined) decide(space, operation.requestTxn, branches);
  }
}

/** One walk over the operations that run, taking the branches in the order of decide(). */
class Pass {
  readonly #branches: readonly boolean[];
  #next = 0;
  #readBytes = 0;

  constructor(branches: readonly boolean[]) {
    this.#branches = branches;
  }

  check(space: KeySpace, request: TxnRequest): void {
    for (const operation of this.#succeeds() ? request.success : request.failure) {
      const { requestRange, requestPut, requestTxn, requestDeleteRange } = operation;
      if (requestRange !== undefined) checkRange(space, requestRange);
      else if (requestPut !== undefined) checkPut(space, requestPut);
      else if (requestTxn !== undefined) this.check(space, requestTxn);
      else if (requestDeleteRange === undefined) throw new AetherError("key_not_found");
      else if (requestDeleteRange.key === "") throw new AetherError("empty_key");
    }
  }

  run(space: KeySpace, request: TxnRequest, outermost: boolean): TxnResult {
    const succeeded = this.#succeeds();
    const responses: OperationResult[] = [];
    for (const operation of succeeded ? request.success : request.failure) {
      responses.push(this.#runOne(space, operation));
    }
    const revision = outermost ? space.visibleRevision : 0;
    return { kind: "txn", revision, succeeded, responses };
  }

  #runOne(space: KeySpace, operation: RequestOp): OperationResult {
    const { requestRange, requestPut, requestDeleteRange, requestTxn } = operation;
    if (requestPut !== undefined) {
      return put(space, requestPut, requestPut.value, 0, requestPut.value.length);
    }
    if (requestRange !== undefined) return this.#readSome(space, requestRange);
    if (requestDeleteRange !== undefined) return deleteRange(space, requestDeleteRange);
    assert(requestTxn !== undefined, "an operation was checked before it runs");
    return this.run(space, requestTxn, false);
  }

  /** A range, as far as it may still be read: cut short, the whole answer is over its bound. */
  #readSome(space: KeySpace, request: RangeRequest): OperationResult {
    let result: RangeResult;
    if (request.rangeEnd === "") result = readRange(space, request);
    else {
      space.counts.ranges++;
      const cursor = new RangeCursor(space, request);
      const bytesMax = TXN_READ_BYTES_MAX + 1 - this.#readBytes;
      if (bytesMax > 0) cursor.step(Number.POSITIVE_INFINITY, bytesMax);
      result = cursor.done ? cursor.result() : cursor.partial();
    }
    for (const kv of result.kvs) this.#readBytes += kv.length;
    return result;
  }

  #succeeds(): boolean {
    const succeeds = this.#branches[this.#next++];
    assert(succeeds !== undefined, "every transaction that runs has decided its branch");
    return succeeds;
  }
}

/** Unlike a single read, a negative revision counts as one (etcd's checkRange). */
function checkRange(space: KeySpace, request: RangeRequest): void {
  if (request.key === "") throw new AetherError("empty_key");
  const { revision } = request;
  if (revision === 0) return;
  if (revision > space.revision) {
    throw new AetherError("future_revision", `asked ${revision}, current is ${space.revision}`);
  }
  if (revision < space.compactRevision) {
    throw new AetherError("compacted", `asked ${revision}, oldest is ${space.compactRevision}`);
  }
}

function checkPut(space: KeySpace, request: PutRequest): void {
  if (request.key === "") throw new AetherError("empty_key");
  if (request.lease !== 0n && space.leases.get(request.lease) === undefined) {
    throw new AetherError("lease_not_found", `lease ${request.lease.toString(16)}`);
  }
  const keeps = request.ignoreValue || request.ignoreLease;
  if (keeps && space.live(request.key) === undefined) throw new AetherError("key_not_found");
}
