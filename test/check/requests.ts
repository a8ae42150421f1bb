/**
 * Requests and answers as the checkers see them: plain data, close to the protocol, without what
 * no checker looks at. Keys and values are Latin-1 strings (a byte a character, so that their
 * order is the order of bytes); lease ids are decimal strings, "0" is none; revisions are numbers.
 *
 * An answer holds what was seen: a field that is left out is not checked (the value of a range
 * that asked for keys only, the kvs of one that asked for a count). null says "seen: nothing".
 */

export interface KeyValue {
  readonly key: string;
  readonly value: string;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly version: number;
  readonly lease: string;
}

export type SeenKeyValue = Partial<KeyValue> & { readonly key: string };

export interface RangeRequest {
  readonly kind: "range";
  readonly key: string;
  /** As in the protocol: left out, one key; "\0", everything from `key` on. */
  readonly end?: string;
  /** Of the past; left out, the present. */
  readonly revision?: number;
  readonly limit?: number;
  /** May be stale. Not inside of a transaction. */
  readonly serializable?: boolean;
}

export interface PutRequest {
  readonly kind: "put";
  readonly key: string;
  readonly value: string;
  readonly lease?: string;
  readonly prevKv?: boolean;
}

export interface DeleteRequest {
  readonly kind: "delete";
  readonly key: string;
  readonly end?: string;
  readonly prevKv?: boolean;
}

/** Compared with `value` if the target is "value", else with `number`. */
export interface Compare {
  readonly target: "value" | "version" | "create" | "mod";
  readonly result: "=" | "!=" | "<" | ">";
  readonly key: string;
  readonly value?: string;
  readonly number?: number;
}

export type Operation = RangeRequest | PutRequest | DeleteRequest;

export interface TxnRequest {
  readonly kind: "txn";
  readonly compare: readonly Compare[];
  readonly success: readonly Operation[];
  readonly failure: readonly Operation[];
}

export interface GrantRequest {
  readonly kind: "grant";
  /** "0": the server chooses. */
  readonly id: string;
  readonly ttlSeconds: number;
}

export interface RevokeRequest {
  readonly kind: "revoke";
  readonly id: string;
}

export interface CompactRequest {
  readonly kind: "compact";
  readonly revision: number;
}

/** A keep-alive. */
export interface RenewRequest {
  readonly kind: "renew";
  readonly id: string;
}

/** TimeToLive. */
export interface LifeRequest {
  readonly kind: "life";
  readonly id: string;
}

export type Request =
  | Operation
  | TxnRequest
  | GrantRequest
  | RevokeRequest
  | CompactRequest
  | RenewRequest
  | LifeRequest;

export interface RangeAnswer {
  readonly kind: "range";
  readonly revision?: number;
  readonly kvs?: readonly SeenKeyValue[];
  readonly count?: number;
  readonly more?: boolean;
}

export interface PutAnswer {
  readonly kind: "put";
  readonly revision?: number;
  readonly prevKv?: SeenKeyValue | null;
}

export interface DeleteAnswer {
  readonly kind: "delete";
  readonly revision?: number;
  readonly deleted?: number;
  readonly prevKvs?: readonly SeenKeyValue[];
}

export type OperationAnswer = RangeAnswer | PutAnswer | DeleteAnswer;

export interface TxnAnswer {
  readonly kind: "txn";
  readonly revision?: number;
  readonly succeeded: boolean;
  readonly responses: readonly OperationAnswer[];
}

export interface GrantAnswer {
  readonly kind: "grant";
  readonly revision?: number;
  readonly id: string;
  readonly ttlSeconds: number;
}

export interface RevokeAnswer {
  readonly kind: "revoke";
  readonly revision?: number;
}

export interface CompactAnswer {
  readonly kind: "compact";
  readonly revision?: number;
}

/** Seconds left; of a lease that is not there 0 for a renewal, -1 for a look at its life. */
export interface RenewAnswer {
  readonly kind: "renew";
  readonly ttlSeconds: number;
}

export interface LifeAnswer {
  readonly kind: "life";
  readonly ttlSeconds: number;
}

export type Answer =
  | OperationAnswer
  | TxnAnswer
  | GrantAnswer
  | RevokeAnswer
  | CompactAnswer
  | RenewAnswer
  | LifeAnswer;

/**
 * Refusals that say something about the state, so that they are checked like answers. After any
 * other refusal nothing happened and nothing was said.
 */
export type Refusal = "lease_not_found" | "lease_exists" | "compacted" | "future_revision";

export function isRefusal(code: string): code is Refusal {
  return (
    code === "lease_not_found" ||
    code === "lease_exists" ||
    code === "compacted" ||
    code === "future_revision"
  );
}

/** Whether `key` is in the range that starts at `start`. */
export function isInRange(key: string, start: string, end: string | undefined): boolean {
  if (end === undefined || end === "") return key === start;
  return key >= start && (end === "\0" || key < end);
}

/** Operations that a request may run: its own, or those of its branches. */
export function operationsOf(request: Request): readonly Operation[] {
  if (request.kind === "txn") {
    return request.compare.length === 0
      ? request.success
      : [...request.success, ...request.failure];
  }
  if (request.kind === "range" || request.kind === "put" || request.kind === "delete") {
    return [request];
  }
  return [];
}

/** Puts that a request may make with a lease. */
export function leasedPutsOf(request: Request): readonly (PutRequest & { lease: string })[] {
  return operationsOf(request).flatMap((one) => {
    if (one.kind !== "put" || one.lease === undefined || one.lease === "0") return [];
    return [{ ...one, lease: one.lease }];
  });
}

/** Whether a compare holds for a key value (undefined: no key); undefined if that is not shown. */
export function compareHolds(compare: Compare, kv: SeenKeyValue | undefined): boolean | undefined {
  const { target, result } = compare;
  let order: number;
  if (target === "value") {
    if (kv === undefined) return false; // what is not there has no value, unequal to none
    const value = compare.value ?? "";
    if (kv.value === undefined) return undefined;
    order = kv.value < value ? -1 : kv.value > value ? 1 : 0;
  } else {
    const fields = { version: "version", create: "createRevision", mod: "modRevision" } as const;
    const number = kv === undefined ? 0 : kv[fields[target]];
    if (number === undefined) return undefined;
    order = Math.sign(number - (compare.number ?? 0));
  }
  if (result === "=") return order === 0;
  if (result === "!=") return order !== 0;
  return result === "<" ? order < 0 : order > 0;
}
