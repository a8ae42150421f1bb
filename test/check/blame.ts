/**
 * What the outcome of a request depends on, so that a search which comes to a dead end goes back
 * to a choice that can have to do with it, and not just to the last one. A subject is a key, a
 * lease, or the compaction.
 */
import { difference, execute } from "./execute.ts";
import type { Must, Problem } from "./problem.ts";
import {
  type Answer,
  type DeleteRequest,
  isInRange,
  type Operation,
  operationsOf,
  type RangeRequest,
  type Refusal,
  type Request,
  type SeenKeyValue,
} from "./requests.ts";
import type { Store } from "./store.ts";

export const COMPACTION = "compaction";
const KEY = "key ";
const LEASE = "lease ";

export class Subjects {
  readonly #keys: readonly string[];
  /** Keys that may ever be bound to a lease. */
  readonly #bound = new Map<string, Set<string>>();
  readonly #reads = new Map<Request, readonly string[]>();
  readonly #writes = new Map<Request, readonly string[]>();

  constructor(problem: Problem) {
    this.#keys = [...problem.keys].sort();
    for (const { request } of [...problem.musts, ...problem.mays]) {
      for (const operation of operationsOf(request)) {
        if (operation.kind !== "put" || operation.lease === undefined) continue;
        const keys = this.#bound.get(operation.lease) ?? new Set();
        this.#bound.set(operation.lease, keys.add(operation.key));
      }
    }
  }

  /** All that a request may look at or change. */
  of(request: Request): readonly string[] {
    return remembered(this.#reads, request, () => {
      const compared = request.kind === "txn" ? request.compare.map(({ key }) => keyed(key)) : [];
      const operations = operationsOf(request);
      const touched = operations.flatMap((operation) => this.#touchedBy(operation));
      const past = operations.some((one) => one.kind === "range" && (one.revision ?? 0) > 0);
      return [...compared, ...touched, ...this.#own(request), ...(past ? [COMPACTION] : [])];
    });
  }

  /** All that a request may change. */
  writtenBy(request: Request): readonly string[] {
    return remembered(this.#writes, request, () => {
      const writes = operationsOf(request).filter(({ kind }) => kind !== "range");
      const touched = writes.flatMap((operation) => this.#touchedBy(operation));
      return [...touched, ...this.#own(request)];
    });
  }

  /** The least that must be otherwise for the store to give the answer that was seen. */
  blame(store: Store, must: Must): readonly string[] {
    const { request, seen } = must;
    if (seen.kind === "refused") return this.#blameRefusal(request, seen.code);
    const { mark } = store;
    const due = execute(store, request);
    store.undo(mark);
    if (due.kind === "refused") return this.#refused(request);
    if (request.kind === "txn" && seen.kind === "txn" && due.kind === "txn") {
      if (seen.succeeded !== due.succeeded) return request.compare.map(({ key }) => keyed(key));
      const branch = seen.succeeded ? request.success : request.failure;
      const wrong = seen.responses.findIndex((one, index) => difference(one, due.responses[index]));
      const operation = branch[wrong];
      if (operation === undefined) return this.of(request);
      return this.#touchedBy(operation);
    }
    if (request.kind === "range" && seen.kind === "range") {
      return this.blameRange(store, request, seen);
    }
    return this.of(request);
  }

  /** One key that is wrong is enough, where no limit makes them depend on each other. */
  blameRange(store: Store, request: RangeRequest, seen: Answer): readonly string[] {
    const kvs = seen.kind === "range" ? seen.kvs : undefined;
    if (kvs === undefined || (request.limit ?? 0) > 0) return this.of(request);
    const wrong = wrongKey(store, request, kvs);
    return wrong === undefined ? this.of(request) : [keyed(wrong)];
  }

  #blameRefusal(request: Request, code: Refusal): readonly string[] {
    if (request.kind === "txn") return this.of(request);
    if (code === "future_revision") return [];
    return code === "compacted" ? [COMPACTION] : leasesOf(request);
  }

  #refused(request: Request): readonly string[] {
    const leases = leasesOf(request);
    return leases.length > 0 && request.kind !== "txn" ? leases : this.of(request);
  }

  #own(request: Request): readonly string[] {
    if (request.kind === "compact") return [COMPACTION];
    if (request.kind === "grant") return [leased(request.id)];
    if (request.kind !== "revoke") return [];
    const bound = [...(this.#bound.get(request.id) ?? [])].map(keyed);
    return [leased(request.id), ...bound];
  }

  #touchedBy(operation: Operation): readonly string[] {
    return [...this.#keysOf(operation).map(keyed), ...leaseIn(operation)];
  }

  #keysOf(operation: Operation): readonly string[] {
    if (operation.kind === "put" || operation.end === undefined) return [operation.key];
    const { key, end } = operation;
    return this.#keys.filter((one) => isInRange(one, key, end));
  }
}

/** Leases that a request names. */
export function leasesOf(request: Request): readonly string[] {
  if (request.kind === "grant" || request.kind === "revoke") return [leased(request.id)];
  return operationsOf(request).flatMap((one) => leaseIn(one));
}

function leaseIn(operation: Operation): readonly string[] {
  const lease = operation.kind === "put" ? (operation.lease ?? "0") : "0";
  return lease === "0" ? [] : [leased(lease)];
}

function leased(id: string): string {
  return LEASE + id;
}

/** The lease that a subject is. */
export function leaseOf(subject: string): string | undefined {
  return subject.startsWith(LEASE) ? subject.slice(LEASE.length) : undefined;
}

export function keyed(key: string): string {
  return KEY + key;
}

/** The key that a subject is; undefined for a lease or the compaction. */
export function keyOf(subject: string): string | undefined {
  return subject.startsWith(KEY) ? subject.slice(KEY.length) : undefined;
}

function wrongKey(
  store: Store,
  { key, end, revision = 0 }: RangeRequest | (DeleteRequest & { revision?: number }),
  seen: readonly SeenKeyValue[],
): string | undefined {
  const due = store.range(key, end, revision > 0 ? revision : store.revision);
  const dueOf = new Map(due.map((kv) => [kv.key, kv]));
  const wrong = seen.find((kv) => {
    const found = dueOf.get(kv.key);
    dueOf.delete(kv.key);
    return found === undefined || difference(kv, found) !== undefined;
  });
  return wrong?.key ?? dueOf.keys().next().value;
}

function remembered<K, V>(cache: Map<K, V>, key: K, make: () => V): V {
  const found = cache.get(key);
  if (found !== undefined) return found;
  const made = make();
  cache.set(key, made);
  return made;
}

/**
 * Why a search leads nowhere: subjects, and mays that are spent, each with the revision at which
 * it is known for sure. Choices before that have nothing to do with it.
 */
export type Conflict = ReadonlyMap<string, number>;

export function add(conflict: Map<string, number>, subject: string, since: number): void {
  conflict.set(subject, Math.min(conflict.get(subject) ?? since, since));
}

export function spent({ id }: { readonly id: string }): string {
  return `may ${id}`;
}
