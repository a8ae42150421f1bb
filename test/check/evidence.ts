/**
 * What answers and watches show of single revisions, whoever was told: who made a revision, since
 * when it is known, and what became of each key (key-evidence.ts). For exact histories, whose
 * writes show their revisions.
 *
 * All of it are necessary conditions: no right history is refused for them.
 */
import { keyOf, leaseOf } from "./blame.ts";
import { difference } from "./execute.ts";
import type { Watch } from "./history.ts";
import { countBelow, KeyEvidence } from "./key-evidence.ts";
import { LeaseEvidence } from "./lease-evidence.ts";
import type { Must, Problem } from "./problem.ts";
import {
  isInRange,
  leasedPutsOf,
  type Operation,
  type OperationAnswer,
  operationsOf,
  type RangeAnswer,
  type RangeRequest,
  type SeenKeyValue,
} from "./requests.ts";
import type { Change, Store } from "./store.ts";

export interface Contradicted {
  readonly why: string;
  /** The key whose state is another than was seen; undefined: the changes themselves are wrong. */
  readonly key: string | undefined;
}

export class Evidence {
  readonly #keys = new Map<string, KeyEvidence>();
  readonly #leases = new Map<string, LeaseEvidence>();
  readonly #keysAt = new Map<number, Set<string>>();
  /** Keys whose whole state at a revision is known. */
  readonly #fixedAt = new Map<number, string[]>();
  /** Revisions that were delivered to a watcher of everything. */
  readonly #whole = new Set<number>();
  readonly #writers = new Map<number, Must[]>();
  /** By revision, ascending: the last time at which a request was sent that came before it. */
  readonly #calls: [revision: number, called: number][] = [];
  /** By revision, ascending; the time is the earliest at which it or a later one was seen. */
  readonly #sightings: [revision: number, at: number, by: string][] = [];

  constructor(problem: Problem, watches: readonly Watch[]) {
    for (const key of problem.keys) this.#keys.set(key, new KeyEvidence(key));
    for (const must of [...problem.musts, ...problem.stales]) {
      if (must.revision !== undefined) this.#saw(must.revision, must.returned, must.id);
      for (const [operation, answer] of ranOf(must.request, must.seen)) {
        this.#answer(must, answer, operation);
      }
      if (must.writes === "yes") this.#writer(must);
    }
    for (const { request } of [...problem.musts, ...problem.mays]) {
      for (const { key, lease } of leasedPutsOf(request)) this.lease(lease).keys.add(key);
    }
    this.#leaseLives(problem);
    for (const watch of watches) this.#watched(watch);
    this.#settle(problem);
  }

  get lastRevision(): number {
    return this.#sightings.at(-1)?.[0] ?? 1;
  }

  key(key: string): KeyEvidence {
    let evidence = this.#keys.get(key);
    if (evidence === undefined) {
      evidence = new KeyEvidence(key); // a phantom: nobody ever wrote it
      this.#keys.set(key, evidence);
    }
    return evidence;
  }

  lease(id: string): LeaseEvidence {
    let evidence = this.#leases.get(id);
    if (evidence === undefined) {
      evidence = new LeaseEvidence();
      this.#leases.set(id, evidence);
    }
    return evidence;
  }

  /** The last revision up to this one at which a subject (blame.ts) is known beyond doubt. */
  lastKnown(subject: string, revision: number): number {
    const key = keyOf(subject);
    if (key !== undefined) return this.key(key).lastFixed(revision);
    const lease = leaseOf(subject);
    return lease === undefined ? 0 : this.lease(lease).lastAlive(revision);
  }

  /** Keys of a range that some request may write. */
  keysIn(key: string, end: string | undefined): readonly string[] {
    if (end === undefined) return [key];
    return [...this.#keys.keys()].filter((one) => isInRange(one, key, end));
  }

  /** Keys that are known to have been written at `revision`. */
  keysAt(revision: number): ReadonlySet<string> | undefined {
    return this.#keysAt.get(revision);
  }

  /** Requests whose answers say that they made this revision: one, if nobody lies. */
  writersOf(revision: number): readonly Must[] {
    return this.#writers.get(revision) ?? [];
  }

  /** Whether a watcher of everything was told what happened at `revision`. */
  isWhole(revision: number): boolean {
    return this.#whole.has(revision);
  }

  /** When this or a later revision was first seen, and by whom; never: infinity. */
  firstSeen(revision: number): { readonly at: number; readonly by: string } {
    const sightings = this.#sightings;
    const index = countBelow(sightings.length, (i) => (sightings[i]?.[0] ?? 0) < revision);
    const [, at, by] = sightings[index] ?? [0, Number.POSITIVE_INFINITY, ""];
    return { at, by };
  }

  /** A time at which `revision` had surely not been made: before who had less was answered. */
  notBefore(revision: number): number {
    const calls = this.#calls;
    const index = countBelow(calls.length, (i) => (calls[i]?.[0] ?? 0) <= revision);
    return calls[index - 1]?.[1] ?? 0;
  }

  /** What contradicts that these changes are all that happened, with keys that show it. */
  contradiction(store: Store, changes: readonly Change[]): Contradicted | undefined {
    const { revision } = store;
    const why = this.#notTheseChanges(revision, changes);
    if (why !== undefined) return { why, key: undefined };
    for (const key of this.#fixedAt.get(revision) ?? []) {
      const found = difference(this.key(key).stateAt(revision), store.get(key) ?? null, key);
      if (found !== undefined) return { why: `as was seen, ${found}`, key };
    }
    return undefined;
  }

  #notTheseChanges(revision: number, changes: readonly Change[]): string | undefined {
    for (const key of this.#keysAt.get(revision) ?? []) {
      const change = changes.findLast(({ kv }) => kv.key === key);
      for (const { kv, seenBy } of this.key(key).factsAt(revision)) {
        if (change === undefined) return `${seenBy} saw ${key} written at ${revision}`;
        const found = difference(kv, change.kv, key);
        if (found !== undefined) return `${seenBy} saw something else: ${found}`;
      }
    }
    const isWhole = this.#whole.has(revision);
    const noisy = changes.find(({ kv: { key } }) => {
      if (isWhole) return this.#keysAt.get(revision)?.has(key) !== true;
      return this.key(key).isQuiet(revision);
    });
    return noisy === undefined ? undefined : `${noisy.kv.key} was not written at ${revision}`;
  }

  #leaseLives({ musts, mays }: Problem): void {
    for (const { request } of mays) {
      if (request.kind === "grant") this.lease(request.id).granted(Number.POSITIVE_INFINITY);
    }
    for (const { request, seen, returned } of musts) {
      if (seen.kind === "grant") this.lease(seen.id).granted(returned);
      if (seen.kind === "revoke" && request.kind === "revoke") this.lease(request.id).revoked();
    }
    for (const { request, seen, called, returned } of musts) {
      const isGone = seen.kind === "refused" && seen.code === "lease_not_found";
      const lease = request.kind === "put" ? (request.lease ?? "0") : "0";
      if (isGone && lease !== "0") this.lease(lease).gone(called, returned);
      if (request.kind !== "revoke") continue;
      if (isGone || seen.kind === "revoke") this.lease(request.id).gone(called, returned);
    }
  }

  #saw(revision: number, at: number, by: string): void {
    this.#sightings.push([revision, at, by]);
  }

  /** A key value was there, seen in a state of revision `upTo`. */
  #fact(kv: SeenKeyValue, upTo: number | undefined, at: number, by: string): void {
    const { key, modRevision, createRevision, version, lease = "0" } = kv;
    if (modRevision === undefined) return;
    this.#saw(modRevision, at, by);
    this.#note(kv, modRevision, by);
    if (upTo !== undefined) this.key(key).leftAlone(modRevision, upTo);
    if (lease !== "0") this.lease(lease).lived(upTo ?? modRevision);
    if (createRevision === undefined || version === 0 || createRevision === modRevision) return;
    const birth = { key, createRevision, modRevision: createRevision, version: 1 };
    this.#note(birth, createRevision, by);
  }

  #note(kv: SeenKeyValue, revision: number, seenBy: string): void {
    this.key(kv.key).wrote(kv, revision, seenBy);
  }

  #answer(must: Must, seen: OperationAnswer, request: Operation): void {
    const { returned, id } = must;
    const before = must.revision === undefined ? undefined : must.revision - 1;
    if (seen.kind === "range" && request.kind === "range") {
      this.#range(must, seen, request);
    } else if (seen.kind === "put" && request.kind === "put") {
      if (seen.prevKv) this.#fact(seen.prevKv, before, returned, id);
      else if (request.prevKv && seen.prevKv === null) this.#wasAbsent(request.key, before);
    } else if (seen.kind === "delete") {
      for (const kv of seen.prevKvs ?? []) this.#fact(kv, before, returned, id);
    }
  }

  #range(must: Must, seen: RangeAnswer, request: RangeRequest): void {
    const { revision = 0, key, end, limit = 0 } = request;
    const isAlone = must.request.kind === "range";
    const upTo = revision > 0 ? revision : isAlone ? must.revision : undefined;
    for (const kv of seen.kvs ?? []) this.#fact(kv, upTo, must.returned, must.id);
    if (seen.kvs === undefined || limit > 0) return;
    const there = new Set(seen.kvs.map((kv) => kv.key));
    for (const one of end === undefined ? [key] : this.#keys.keys()) {
      if (isInRange(one, key, end) && !there.has(one)) this.#wasAbsent(one, upTo);
    }
  }

  #wasAbsent(key: string, revision: number | undefined): void {
    if (revision !== undefined) this.key(key).absent(revision);
  }

  #writer(must: Must): void {
    const { revision, request, seen, id } = must;
    if (revision === undefined) return;
    const writers = this.#writers.get(revision);
    if (writers === undefined) this.#writers.set(revision, [must]);
    else writers.push(must);
    for (const kv of writtenBy(request, seen, revision)) {
      this.#note(kv, revision, id);
      if (kv.lease !== undefined && kv.lease !== "0") this.lease(kv.lease).lived(revision);
    }
  }

  #watched({ id, request, seen }: Watch): void {
    const { key, end, without } = request;
    const isOfAll = key === "\0" && end === "\0" && without.length === 0;
    for (const response of seen) {
      if (response.kind === "canceled") continue;
      this.#saw(response.revision, response.at, id);
      if (response.kind !== "events") continue;
      for (const { type, kv, prevKv } of response.events) {
        const { key, modRevision } = kv;
        if (isOfAll) this.#whole.add(modRevision);
        const written = type === "delete" ? { key, modRevision, version: 0 } : kv;
        this.#fact(written, undefined, response.at, id);
        if (prevKv !== null) this.#fact(prevKv, modRevision - 1, response.at, id);
      }
    }
  }

  #settle(problem: Problem): void {
    const sightings = this.#sightings;
    sightings.sort((a, b) => a[0] - b[0]);
    for (let i = sightings.length - 2; i >= 0; i--) {
      const [here, next] = [sightings[i], sightings[i + 1]];
      if (here === undefined || next === undefined || next[1] >= here[1]) continue;
      here[1] = next[1];
      here[2] = next[2];
    }
    for (const { revision, called, writes } of problem.musts) {
      if (revision === undefined) continue;
      this.#calls.push([writes === "yes" ? revision : revision + 1, called]);
    }
    this.#calls.sort((a, b) => a[0] - b[0]);
    let latest = 0;
    for (const call of this.#calls) {
      latest = Math.max(latest, call[1]);
      call[1] = latest;
    }
    for (const lease of this.#leases.values()) lease.settle();
    this.#conclude(problem);
  }

  #conclude(problem: Problem): void {
    const revisions: number[] = [];
    // Each revision needs a request; a greater one is a lie (suspects.ts).
    const last = Math.min(this.lastRevision, 1 + problem.musts.length + problem.mays.length);
    for (let revision = 2; revision <= last; revision++) {
      if (!this.#writers.has(revision)) revisions.push(revision);
    }
    const deletions = deletionsOf(problem);
    for (const [key, evidence] of this.#keys) {
      const own = deletions.get(key) ?? [];
      for (const revision of evidence.settle({ revisions, deletions: own })) {
        const keys = this.#keysAt.get(revision) ?? new Set();
        this.#keysAt.set(revision, keys.add(key));
      }
      for (const revision of evidence.fixed) {
        const keys = this.#fixedAt.get(revision);
        if (keys === undefined) this.#fixedAt.set(revision, [key]);
        else keys.push(key);
      }
    }
  }
}

/** The operations that an answer shows to have run, with their answers. */
function* ranOf(
  request: Must["request"],
  seen: Must["seen"],
): Generator<[Operation, OperationAnswer]> {
  if (request.kind === "txn" && seen.kind === "txn") {
    const branch = seen.succeeded ? request.success : request.failure;
    for (const [index, response] of seen.responses.entries()) {
      const operation = branch[index];
      if (operation !== undefined) yield [operation, response];
    }
    return;
  }
  const [operation] = operationsOf(request);
  if (operation?.kind === seen.kind) yield [operation, seen as OperationAnswer];
}

/** What an answer shows to have been written at its revision. */
function writtenBy(
  request: Must["request"],
  seen: Must["seen"],
  modRevision: number,
): SeenKeyValue[] {
  const written: SeenKeyValue[] = [];
  for (const [operation, answer] of ranOf(request, seen)) {
    const { key } = operation;
    if (operation.kind === "put") {
      written.push({ key, value: operation.value, lease: operation.lease ?? "0", modRevision });
    } else if (answer.kind === "delete" && operation.end === undefined && answer.deleted === 1) {
      written.push({ key, modRevision, version: 0 });
    }
  }
  return written;
}

/** For each key the revisions in which an answered request may have deleted it, ascending. */
function deletionsOf(problem: Problem): Map<string, number[]> {
  const deletions = new Map<string, number[]>();
  const byRevision = problem.musts.filter(({ revision }) => revision !== undefined);
  byRevision.sort((a, b) => (a.revision ?? 0) - (b.revision ?? 0));
  for (const { request, seen, revision = 0 } of byRevision) {
    for (const key of problem.keys) {
      if (!mayDelete(request, seen, key)) continue;
      const revisions = deletions.get(key);
      if (revisions === undefined) deletions.set(key, [revision]);
      else revisions.push(revision);
    }
  }
  return deletions;
}

function mayDelete(request: Must["request"], seen: Must["seen"], key: string): boolean {
  if (request.kind === "revoke") return true;
  for (const [operation, answer] of ranOf(request, seen)) {
    if (operation.kind !== "delete" || answer.kind !== "delete" || answer.deleted === 0) continue;
    if (isInRange(key, operation.key, operation.end)) return true;
  }
  return false;
}
