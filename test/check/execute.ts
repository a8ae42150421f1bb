/**
 * What a right store answers to a request, and how an answer differs from it. Written from etcd's
 * rules alone: it shares no code with src/state.
 */
import { unreachable } from "../../src/base/assert.ts";
import {
  type Answer,
  compareHolds,
  type Operation,
  type OperationAnswer,
  type RangeAnswer,
  type RangeRequest,
  type Refusal,
  type Request,
  type TxnAnswer,
  type TxnRequest,
} from "./requests.ts";
import type { Store } from "./store.ts";

export interface Refused {
  readonly kind: "refused";
  readonly code: Refusal;
}

/** Runs a request to its end; a refused one has changed nothing. */
export function execute(store: Store, request: Request): Answer | Refused {
  switch (request.kind) {
    case "range":
    case "put":
    case "delete": {
      const refusal = refusalOf(store, request);
      return refusal ?? committed(store, run(store, request));
    }
    case "txn":
      return executeTxn(store, request);
    case "grant":
      if (store.hasLease(request.id)) return { kind: "refused", code: "lease_exists" };
      store.grant(request.id);
      return { ...request, revision: store.revision };
    case "revoke":
      if (!store.hasLease(request.id)) return { kind: "refused", code: "lease_not_found" };
      store.endLease(request.id);
      store.commit();
      return { kind: "revoke", revision: store.revision };
    case "compact":
      return compact(store, request.revision);
    case "renew":
    case "life": // how much is left is no matter of the store: see leases.ts
      return { kind: request.kind, ttlSeconds: 0 };
    default:
      return unreachable(request);
  }
}

/** What is wrong with an answer; undefined if nothing is. Only what was seen is compared. */
export function difference(seen: unknown, due: unknown, path = "answer"): string | undefined {
  if (seen === due || seen === undefined) return undefined;
  if (Array.isArray(seen) && Array.isArray(due)) {
    for (let i = 0; i < Math.max(seen.length, due.length); i++) {
      const at = `${path}[${i}]`;
      if (i >= due.length) return `${at} should not be there: ${JSON.stringify(seen[i])}`;
      if (i >= seen.length) return `${at} is missing: ${JSON.stringify(due[i])}`;
      const found = difference(seen[i], due[i], at);
      if (found !== undefined) return found;
    }
    return undefined;
  }
  if (isObject(seen) && isObject(due)) {
    for (const [name, value] of Object.entries(seen)) {
      const found = difference(value, due[name], `${path}.${name}`);
      if (found !== undefined) return found;
    }
    return undefined;
  }
  return `${path} is ${JSON.stringify(seen)}, should be ${JSON.stringify(due)}`;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function committed<T>(store: Store, answer: T): T {
  store.commit();
  return answer;
}

/** Why an operation cannot run on the store as it is before its request. */
function refusalOf(store: Store, operation: Operation): Refused | undefined {
  if (operation.kind === "put") {
    const { lease = "0" } = operation;
    if (lease !== "0" && !store.hasLease(lease))
      return { kind: "refused", code: "lease_not_found" };
  }
  if (operation.kind === "range") {
    const { revision = 0 } = operation;
    if (revision > store.revision) return { kind: "refused", code: "future_revision" };
    if (revision > 0 && revision < store.compactRevision) {
      return { kind: "refused", code: "compacted" };
    }
  }
  return undefined;
}

function run(store: Store, operation: Operation): OperationAnswer {
  switch (operation.kind) {
    case "put": {
      const { key, value, lease = "0", prevKv = false } = operation;
      const before = store.get(key);
      store.put(key, value, lease);
      const previous = prevKv && before !== undefined ? before : null;
      return { kind: "put", revision: store.visible, prevKv: previous };
    }
    case "delete": {
      const { key, end, prevKv = false } = operation;
      const found = store.range(key, end, store.visible);
      for (const kv of found) store.delete(kv.key);
      const prevKvs = prevKv ? found : [];
      return { kind: "delete", revision: store.visible, deleted: found.length, prevKvs };
    }
    case "range":
      return readRange(store, operation);
    default:
      return unreachable(operation);
  }
}

/** Reads whether or not it is compacted: a member that serves stale reads may not know of it. */
export function readRange(store: Store, request: RangeRequest): RangeAnswer {
  const { key, end, limit = 0, revision = 0 } = request;
  const found = store.range(key, end, revision > 0 ? revision : store.visible);
  const more = limit > 0 && found.length > limit;
  const kvs = more ? found.slice(0, limit) : found;
  return { kind: "range", revision: store.visible, kvs, count: found.length, more };
}

/** Compares and checks come before the first change: a transaction fails whole or not at all. */
function executeTxn(store: Store, request: TxnRequest): TxnAnswer | Refused {
  const succeeded = request.compare.every((compare) => {
    return compareHolds(compare, store.get(compare.key)) === true;
  });
  const branch = succeeded ? request.success : request.failure;
  for (const operation of branch) {
    const refusal = refusalOf(store, operation);
    if (refusal !== undefined) return refusal;
  }
  const responses = branch.map((operation) => run(store, operation));
  store.commit();
  return { kind: "txn", revision: store.revision, succeeded, responses };
}

function compact(store: Store, revision: number): Answer | Refused {
  if (revision > store.revision) return { kind: "refused", code: "future_revision" };
  if (revision <= store.compactRevision) return { kind: "refused", code: "compacted" };
  store.compact(revision);
  return { kind: "compact", revision: store.revision };
}
