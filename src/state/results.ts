/**
 * What commands and reads come to. Key values are encoded mvccpb.KeyValue messages; they belong
 * to the machine (rows, cache) and must not be written to. Results themselves belong to the
 * caller. `revision` is the response header's.
 */
import type { AetherError } from "../base/errors.ts";
import type { AlarmMember, Member } from "../proto/gen/etcdserverpb.ts";

export interface PutResult {
  readonly kind: "put";
  readonly revision: number;
  /** The version before, if it was asked for and there was one. */
  readonly previous: Uint8Array | undefined;
}

export interface DeleteRangeResult {
  readonly kind: "deleteRange";
  readonly revision: number;
  readonly deleted: number;
  /** The versions before, in order of key, if they were asked for. */
  readonly previous: readonly Uint8Array[];
}

export interface RangeResult {
  readonly kind: "range";
  readonly revision: number;
  readonly kvs: readonly Uint8Array[];
  readonly more: boolean;
  readonly count: number;
}

export interface TxnResult {
  readonly kind: "txn";
  /** 0 for a nested transaction, whose header is there but empty. */
  readonly revision: number;
  readonly succeeded: boolean;
  /** One for each operation of the branch that ran. */
  readonly responses: readonly OperationResult[];
}

export type OperationResult = PutResult | DeleteRangeResult | RangeResult | TxnResult;

export interface CompactResult {
  readonly kind: "compact";
  readonly revision: number;
  /** The compaction point asked for; the store removes up to physicalTarget(). */
  readonly compactRevision: number;
}

export interface LeaseGrantResult {
  readonly kind: "leaseGrant";
  readonly revision: number;
  readonly id: bigint;
  readonly ttlSeconds: number;
}

export interface LeaseRevokeResult {
  readonly kind: "leaseRevoke";
  readonly revision: number;
  readonly id: bigint;
}

export interface LeaseExpireResult {
  readonly kind: "leaseExpire";
  readonly revision: number;
  /** Those of the leases asked for that were still there. */
  readonly ids: readonly bigint[];
}

export interface LeaseCheckpointResult {
  readonly kind: "leaseCheckpoint";
  readonly revision: number;
  /** Those that it was about, whether they are still there or not. */
  readonly ids: readonly bigint[];
}

export interface MemberResult {
  readonly kind: "member";
  readonly revision: number;
  /** As it is now; undefined if it was removed. Borrowed. */
  readonly member: Member | undefined;
}

export interface AlarmResult {
  readonly kind: "alarm";
  readonly revision: number;
  /** What was raised (before or now) or is cleared (now); none if there was nothing to clear. */
  readonly alarms: readonly AlarmMember[];
}

/** The version of the cluster, or a downgrade: what it is now, the machine says. */
export interface VersionResult {
  readonly kind: "version";
  readonly revision: number;
}

export interface AuthResult {
  readonly kind: "auth";
  readonly revision: number;
  /** The auth revision after the command. */
  readonly authRevision: number;
  readonly change: AuthChange;
}

/** What a command of auth means for tokens, which are no part of the state. */
export type AuthChange =
  | { readonly of: "token"; readonly user: string; readonly token: string; readonly index: number }
  /** What signs tokens is known. */
  | { readonly of: "key" }
  /** Tokens of this user are void. */
  | { readonly of: "user"; readonly user: string }
  /** All tokens are void. */
  | { readonly of: "everybody" }
  | { readonly of: "rules" };

export type CommandResult =
  | PutResult
  | DeleteRangeResult
  | TxnResult
  | CompactResult
  | LeaseGrantResult
  | LeaseRevokeResult
  | LeaseExpireResult
  | LeaseCheckpointResult
  | MemberResult
  | AlarmResult
  | VersionResult
  | AuthResult;

/** A command's result, or why it changed nothing. */
export type Outcome = CommandResult | AetherError;
