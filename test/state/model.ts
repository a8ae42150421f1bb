/**
 * The naive machine: every change ever made in arrays, every answer by looking at all of them.
 * Written from the rules alone (etcd's semantics), sharing nothing with src/state but the request
 * messages and the names of errors.
 */
import { AetherError, type ErrorCode } from "../../src/base/errors.ts";
import type {
  Compare,
  DeleteRangeRequest,
  PutRequest,
  RangeRequest,
  RequestOp,
  TxnRequest,
} from "../../src/proto/gen/etcdserverpb.ts";

/** One version of a key; a tombstone has version 0. */
export interface Version {
  readonly key: string;
  readonly revision: number;
  readonly sub: number;
  readonly create: number;
  readonly version: number;
  readonly value: string;
  readonly lease: bigint;
}

/** A key value as a test compares it. */
export type Shown = Omit<Version, "revision" | "sub"> & { readonly mod: number };

export type ModelResult =
  | { kind: "put"; revision: number; previous: Shown | undefined }
  | { kind: "deleteRange"; revision: number; deleted: number; previous: Shown[] }
  | { kind: "range"; revision: number; kvs: Shown[]; more: boolean; count: number }
  | { kind: "txn"; revision: number; succeeded: boolean; responses: ModelResult[] };

const fail = (code: ErrorCode): never => {
  throw new AetherError(code);
};

const text = (value: Uint8Array): string => Buffer.from(value).toString("latin1");

const byKey = (a: { key: string }, b: { key: string }): number =>
  Buffer.compare(Buffer.from(a.key, "latin1"), Buffer.from(b.key, "latin1"));

function inRange(key: string, start: string, end: string): boolean {
  if (end === "") return key === start;
  const bytes = Buffer.from(key, "latin1");
  if (Buffer.compare(bytes, Buffer.from(start, "latin1")) < 0) return false;
  return end === "\0" || Buffer.compare(bytes, Buffer.from(end, "latin1")) < 0;
}

export class Model {
  revision = 1;
  compactRevision = -1;
  readonly leases = new Map<bigint, number>();
  /** Every change, in order. */
  readonly changes: Version[] = [];
  #histories = new Map<string, Version[]>();
  #written = 0;

  /** The version of a key that a read at `revision` sees; undefined if the key is not there. */
  at(key: string, revision: number): Version | undefined {
    const history = this.#histories.get(key) ?? [];
    const seen = history.findLast((version) => version.revision <= revision);
    return seen === undefined || seen.version === 0 ? undefined : seen;
  }

  /** All live keys at a revision, in order. */
  all(start: string, end: string, revision: number): Version[] {
    const found: Version[] = [];
    for (const key of this.#histories.keys()) {
      const version = inRange(key, start, end) ? this.at(key, revision) : undefined;
      if (version !== undefined) found.push(version);
    }
    return found.sort(byKey);
  }

  put(request: PutRequest): ModelResult {
    if (request.lease !== 0n && !this.leases.has(request.lease)) fail("lease_not_found");
    const before = this.at(request.key, this.visible);
    // A transaction that has changed something may not fail: it keeps an empty value.
    const keepsNothing = (request.ignoreValue || request.ignoreLease) && !before;
    if (keepsNothing && this.visible === this.revision) fail("key_not_found");
    this.#write({
      key: request.key,
      create: before?.create ?? this.revision + 1,
      version: (before?.version ?? 0) + 1,
      value: request.ignoreValue ? (before?.value ?? "") : text(request.value),
      lease: request.ignoreLease ? (before?.lease ?? 0n) : request.lease,
    });
    const previous = request.prevKv && before ? shown(before) : undefined;
    return { kind: "put", revision: this.visible, previous };
  }

  deleteRange({ key, rangeEnd, prevKv }: DeleteRangeRequest): ModelResult {
    const found = this.all(key, rangeEnd, this.visible);
    for (const version of found) this.#bury(version.key);
    const previous = prevKv ? found.map(shown) : [];
    return { kind: "deleteRange", revision: this.visible, deleted: found.length, previous };
  }

  range(request: RangeRequest): ModelResult {
    const { key, rangeEnd, limit, sortOrder, sortTarget, keysOnly } = request;
    if (request.revision > this.visible) fail("future_revision");
    const revision = request.revision <= 0 ? this.visible : request.revision;
    if (revision < this.compactRevision) fail("compacted");
    let found = this.all(key, rangeEnd, revision);
    const result = { kind: "range" as const, revision: this.visible, count: found.length };
    if (request.countOnly) return { ...result, kvs: [], more: false };
    const filtered =
      request.minModRevision !== 0 ||
      request.maxModRevision !== 0 ||
      request.minCreateRevision !== 0 ||
      request.maxCreateRevision !== 0;
    const natural = sortOrder === 0 || (sortTarget === 0 && sortOrder === 1);
    if (limit > 0 && natural && !filtered) found = found.slice(0, limit + 1);
    const within = (n: number, min: number, max: number): boolean =>
      (min === 0 || n >= min) && (max === 0 || n <= max);
    found = found
      .filter((v) => within(v.revision, request.minModRevision, request.maxModRevision))
      .filter((v) => within(v.create, request.minCreateRevision, request.maxCreateRevision));
    const compare = comparators[sortTarget] as (a: Version, b: Version) => number;
    if (sortOrder === 2) found.sort((a, b) => compare(b, a) || byKey(a, b));
    else found.sort((a, b) => compare(a, b) || byKey(a, b));
    const more = limit > 0 && found.length > limit;
    if (more) found = found.slice(0, limit);
    const kvs = found.map((v) => {
      if (!keysOnly) return shown(v);
      return { ...shown(v), value: "", lease: sortTarget === 4 ? v.lease : 0n };
    });
    return { ...result, kvs, more };
  }

  txn(request: TxnRequest): ModelResult {
    const branches = new Map<TxnRequest, boolean>();
    this.#decide(request, branches);
    this.#check(request, branches);
    const result = this.#runTxn(request, branches) as ModelResult & { kind: "txn" };
    return { ...result, revision: this.visible };
  }

  compact(revision: number): void {
    if (revision > this.revision) fail("future_revision");
    if (revision <= this.compactRevision) fail("compacted");
    this.compactRevision = revision;
  }

  grant(id: bigint, ttl: number): void {
    if (this.leases.has(id)) fail("lease_exists");
    this.leases.set(id, ttl);
  }

  revoke(id: bigint): void {
    if (!this.leases.delete(id)) fail("lease_not_found");
    for (const version of this.all("\0", "\0", this.visible)) {
      if (version.lease === id) this.#bury(version.key);
    }
    this.commit();
  }

  keysOf(lease: bigint): string[] {
    return this.all("\0", "\0", this.revision)
      .filter((version) => version.lease === lease)
      .map((version) => version.key);
  }

  get visible(): number {
    return this.#written > 0 ? this.revision + 1 : this.revision;
  }

  commit(): void {
    if (this.#written > 0) this.revision++;
    this.#written = 0;
  }

  #bury(key: string): void {
    this.#write({ key, create: 0, version: 0, value: "", lease: 0n });
  }

  #write(version: Omit<Version, "revision" | "sub">): void {
    const change = { ...version, revision: this.revision + 1, sub: this.#written++ };
    this.changes.push(change);
    const history = this.#histories.get(version.key);
    if (history === undefined) this.#histories.set(version.key, [change]);
    else history.push(change);
  }

  #decide(request: TxnRequest, branches: Map<TxnRequest, boolean>): void {
    const succeeded = request.compare.every((compare) => this.#holds(compare));
    branches.set(request, succeeded);
    for (const { requestTxn } of succeeded ? request.success : request.failure) {
      if (requestTxn) this.#decide(requestTxn, branches);
    }
  }

  #holds(compare: Compare): boolean {
    const found = this.all(compare.key, compare.rangeEnd, this.revision);
    if (found.length === 0) {
      if (compare.target === 3) return false;
      const nothing = { key: "", revision: 0, sub: 0, create: 0, version: 0, value: "", lease: 0n };
      return holdsFor(compare, nothing);
    }
    return found.every((version) => holdsFor(compare, version));
  }

  #check(request: TxnRequest, branches: Map<TxnRequest, boolean>): void {
    for (const operation of branches.get(request) ? request.success : request.failure) {
      const { requestPut, requestRange, requestTxn } = operation;
      if (requestRange && requestRange.revision !== 0) {
        if (requestRange.revision > this.revision) fail("future_revision");
        if (requestRange.revision < this.compactRevision) fail("compacted");
      }
      if (requestPut) {
        const { ignoreLease, ignoreValue, key, lease } = requestPut;
        if (lease !== 0n && !this.leases.has(lease)) fail("lease_not_found");
        if ((ignoreLease || ignoreValue) && !this.at(key, this.revision)) fail("key_not_found");
      }
      if (requestTxn) this.#check(requestTxn, branches);
    }
  }

  #runTxn(request: TxnRequest, branches: Map<TxnRequest, boolean>): ModelResult {
    const succeeded = branches.get(request) as boolean;
    const responses = (succeeded ? request.success : request.failure).map(
      (operation: RequestOp) => {
        if (operation.requestPut) return this.put(operation.requestPut);
        if (operation.requestRange) return this.range(operation.requestRange);
        if (operation.requestDeleteRange) return this.deleteRange(operation.requestDeleteRange);
        return this.#runTxn(operation.requestTxn as TxnRequest, branches);
      },
    );
    return { kind: "txn", revision: 0, succeeded, responses };
  }
}

export function shown({ key, create, revision, version, value, lease }: Version): Shown {
  return { key, create, mod: revision, version, value, lease };
}

const comparators: readonly ((a: Version, b: Version) => number)[] = [
  byKey,
  (a, b) => a.version - b.version,
  (a, b) => a.create - b.create,
  (a, b) => a.revision - b.revision,
  (a, b) => Buffer.compare(Buffer.from(a.value, "latin1"), Buffer.from(b.value, "latin1")),
];

function holdsFor(compare: Compare, version: Version): boolean {
  const sign = (a: number | bigint, b: number | bigint): number => (a < b ? -1 : a > b ? 1 : 0);
  const value = compare.value ?? new Uint8Array(0);
  const orders = [
    sign(version.version, compare.version ?? 0),
    sign(version.create, compare.createRevision ?? 0),
    sign(version.revision, compare.modRevision ?? 0),
    Buffer.compare(Buffer.from(version.value, "latin1"), value),
    sign(version.lease, compare.lease ?? 0n),
  ];
  const order = orders[compare.target] as number;
  return [order === 0, order > 0, order < 0, order !== 0][compare.result] as boolean;
}
