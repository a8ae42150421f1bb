/**
 * A transaction that only reads, in steps: its conditions are judged at once, its ranges are read a
 * few hundred keys at a time while writes go on, all at the revision of the first moment. The
 * answer is that of one moment, as if it had been read in one go.
 */
import { assert } from "../base/assert.ts";
import type { TxnRequest } from "../proto/gen/etcdserverpb.ts";
import type { KeySpace } from "./key-space.ts";
import { RangeCursor } from "./range.ts";
import type { OperationResult, TxnResult } from "./results.ts";
import { checkedBranches } from "./txn.ts";

/** What runs of a transaction: ranges, and transactions in it. */
interface Branch {
  readonly succeeded: boolean;
  readonly parts: readonly (RangeCursor | Branch)[];
}

export class TxnCursor {
  /** The response header's revision. */
  readonly revision: number;
  readonly #root: Branch;
  readonly #cursors: RangeCursor[] = [];
  #next = 0;

  /** Fails as runTxn() does. The request has no operation but ranges and transactions of them. */
  constructor(space: KeySpace, request: TxnRequest) {
    const branches = checkedBranches(space, request);
    this.revision = space.visibleRevision;
    let next = 0;
    const plan = (txn: TxnRequest): Branch => {
      const succeeded = branches[next++];
      assert(succeeded !== undefined, "every transaction that runs has decided its branch");
      const operations = succeeded ? txn.success : txn.failure;
      const parts = operations.map(({ requestRange, requestTxn }) => {
        if (requestTxn !== undefined) return plan(requestTxn);
        assert(requestRange !== undefined, "a transaction that only reads has ranges alone");
        space.counts.ranges++;
        const cursor = new RangeCursor(space, requestRange);
        cursor.pin();
        this.#cursors.push(cursor);
        return cursor;
      });
      return { succeeded, parts };
    };
    this.#root = plan(request);
    if (this.#cursors.length > 1) space.counts.txns++;
  }

  /** Bytes of key values that were collected. */
  get heldBytes(): number {
    return this.#cursors.reduce((sum, { heldBytes }) => sum + heldBytes, 0);
  }

  /** As RangeCursor.step(), over the ranges in their order. True when all are read. */
  step(keysMax: number, bytesMax: number): boolean {
    const cursor = this.#cursors[this.#next];
    if (cursor === undefined) return true;
    if (cursor.step(keysMax, bytesMax)) this.#next++;
    return this.#next === this.#cursors.length;
  }

  /** Ends the read, finished or not; may be called twice. */
  close(): void {
    for (const cursor of this.#cursors) cursor.close();
  }

  /** The whole answer; only when done, and before close(). */
  result(): TxnResult {
    const resultOf = ({ succeeded, parts }: Branch, revision: number): TxnResult => {
      const responses = parts.map((part): OperationResult => {
        return part instanceof RangeCursor ? part.result() : resultOf(part, 0);
      });
      return { kind: "txn", revision, succeeded, responses };
    };
    return resultOf(this.#root, this.revision);
  }
}
