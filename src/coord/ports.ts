/**
 * What coordination needs of the world: keys as one caller may use them, and the hub that says
 * when keys change. An operation of this room never looks at permissions: whoever makes CallerKeys
 * for a call decides as whom it runs.
 *
 * Operations are given an AbortSignal. Its reason is an AetherError: `canceled` when the caller
 * has gone, then they take back what the caller would not know of; anything else when this member
 * ends, then they leave everything as it is: the caller will come again, at another member.
 */
import type { Key } from "../base/bytes.ts";
import type { RangeRequest, TxnRequest } from "../proto/gen/etcdserverpb.ts";
import type { RangeResult, TxnResult } from "../state/results.ts";
import type { WatchHub } from "../watch/hub.ts";

/** Keys and leases, as one caller may use them. All reject with an AetherError. */
export interface CallerKeys {
  /** Runs a transaction through the log. */
  txn(request: TxnRequest): Promise<TxnResult>;
  /** Deletes one key, which may be gone already; the result is the revision then. */
  delete(key: Key): Promise<number>;
  /** A linearizable read. */
  range(request: RangeRequest): Promise<RangeResult>;
  /** Grants a lease; the result is its id, chosen by the server. */
  grant(ttlSeconds: number): Promise<bigint>;
}

/** The changes of keys, in the history of this member. */
export interface KeyChanges {
  readonly hub: WatchHub;
  /** The hub has catching up to do. */
  wakeHub(): void;
}

/** Where and how an operation runs. */
export interface Participant {
  readonly keys: CallerKeys;
  readonly changes: KeyChanges;
  readonly signal: AbortSignal;
}
