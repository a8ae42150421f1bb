/**
 * Where a search is (search.ts): which requests are done, and the store as they left it. Says what
 * fits next, what does not and why, and takes moves back.
 */
import { assert } from "../../src/base/assert.ts";
import { Prng } from "../../src/base/prng.ts";
import { add, COMPACTION, keyed, keyOf, leasesOf, Subjects, spent } from "./blame.ts";
import type { Evidence } from "./evidence.ts";
import { difference, execute, readRange } from "./execute.ts";
import { isMust, type May, type Must, type Problem } from "./problem.ts";
import type { Request, RevokeRequest } from "./requests.ts";
import { Store } from "./store.ts";
import type { Suspects } from "./suspects.ts";
import { Timeline } from "./timeline.ts";

/** What is known of the revisions of an exact history. */
export interface Exact {
  readonly evidence: Evidence;
  readonly suspects: Suspects;
}

export interface Misfit {
  readonly why: string;
  readonly subjects: readonly string[];
  /** Nothing else that could come first would help. */
  readonly isFinal: boolean;
}

const NOT_YET: Misfit = { why: "another revision is due", subjects: [], isFinal: false };

export class Board {
  readonly store: Store;
  readonly #problem: Problem;
  readonly #exact: Exact | undefined;
  readonly #subjects: Subjects;
  readonly #line: Timeline;
  readonly #used = new Set<May>();
  /** Random bits of each request: those of a set, xored, stand for the set. */
  readonly #marks: ReadonlyMap<Must | May, [number, number]>;
  /** Musts of each revision that are not done. */
  readonly #pending = new Map<number, number>();
  readonly #stalesAt = new Map<number, Must[]>();
  #doneA = 0;
  #doneB = 0;
  #mustsDone = 0;
  /** Requests that were run, to see what a search costs. */
  attempts = 0;

  constructor(problem: Problem, exact: Exact | undefined) {
    this.#problem = problem;
    this.#exact = exact;
    this.#subjects = new Subjects(problem);
    this.store = new Store(problem.keys, problem.identity);
    this.#line = new Timeline(problem.musts);
    const prng = new Prng(problem.musts.length);
    const all = [...problem.musts, ...problem.mays];
    this.#marks = new Map(all.map((one) => [one, [prng.u32(), prng.u32()]]));
    for (const { revision } of problem.musts) {
      if (revision === undefined) continue;
      this.#pending.set(revision, (this.#pending.get(revision) ?? 0) + 1);
    }
    for (const stale of exact === undefined ? [] : problem.stales) {
      const { revision = 0 } = stale;
      this.#stalesAt.set(revision, [...(this.#stalesAt.get(revision) ?? []), stale]);
    }
  }

  get subjects(): Subjects {
    return this.#subjects;
  }

  /** 53 bits that stand for what is done and the state it led to. */
  get place(): number {
    const [a, b] = this.store.fingerprint;
    return ((a ^ this.#doneA) >>> 0) * 2 ** 21 + ((b ^ this.#doneB) >>> 11);
  }

  get isComplete(): boolean {
    if (this.#mustsDone < this.#problem.musts.length) return false;
    const last = this.#exact?.evidence.lastRevision ?? 1;
    return this.store.revision >= last;
  }

  /** A stale read of the empty store that does not fit it. */
  staleAtFirst(): { readonly must: Must; readonly why: string } | undefined {
    for (const must of this.#stalesAt.get(1) ?? []) {
      const why = this.#whyNotStale(must);
      if (why !== undefined) return { must, why };
    }
    return undefined;
  }

  /** Musts that may come next as far as time says. */
  enabled(): Must[] {
    return this.#line.enabled();
  }

  /** Notes that a request that was run is done. */
  take(request: Must | May): void {
    if (isMust(request)) {
      this.#line.lift(request);
      this.#mustsDone++;
      this.#count(request, -1);
    } else {
      this.#used.add(request);
    }
    this.#toggle(request);
  }

  /** Takes back the last request that was taken, and what it did since `mark`. */
  takeBack(request: Must | May, mark: number): void {
    this.store.undo(mark);
    if (isMust(request)) {
      this.#line.unlift(request);
      this.#mustsDone--;
      this.#count(request, 1);
    } else {
      this.#used.delete(request);
    }
    this.#toggle(request);
  }

  /** Runs a request; if it does not fit, says why and takes it back. */
  misfit(request: Must | May): Misfit | undefined {
    return isMust(request) ? this.#mustMisfit(request) : this.#mayMisfit(request);
  }

  /** Keys whose state at this revision is beyond doubt are not to blame. */
  blame(conflict: Map<string, number>, subjects: readonly string[]): void {
    const { revision } = this.store;
    for (const subject of subjects) {
      const known = this.#exact?.evidence.lastKnown(subject, revision) ?? 0;
      if (known === revision && keyOf(subject) !== undefined) continue;
      add(conflict, subject, known);
    }
  }

  /** Mays that can make the next revision; what keeps others from it is added to `conflict`. */
  makers(conflict: Map<string, number>): May[] {
    const limit = this.#line.limit();
    return this.#candidates().filter((may) => {
      if (may.called > limit) return false;
      if (this.#used.has(may)) add(conflict, spent(may), 0);
      else if (may.request.kind !== "revoke") return true;
      else return this.#hasKeys(may.request, conflict);
      return false;
    });
  }

  /**
   * Where only values of one key are seen, what nobody sees might as well not have happened. So a
   * may comes right before a request that does not fit without it, or a may that does nothing
   * without it: that is told with it.
   */
  helpfulMays(): Map<May, (Must | May)[]> {
    const { mays } = this.#problem;
    const limit = this.#line.limit();
    const helped = new Map<May, (Must | May)[]>();
    const free = mays.filter((may) => may.called <= limit && !this.#used.has(may));
    const idle = free.filter((may) => may.request.kind === "txn");
    const stuck = [...this.#line.enabled(), ...idle].filter((one) => !this.#fits(one));
    for (const may of free) {
      const { mark } = this.store;
      if (this.#mayMisfit(may) !== undefined) continue;
      const freed = stuck.filter((one) => one !== may && this.#fits(one));
      if (freed.length > 0) helped.set(may, freed);
      this.store.undo(mark);
    }
    return helped;
  }

  /** Mays that change a lease or the compaction of which these requests speak. */
  wantedMays(requests: readonly (Must | May)[], conflict: Map<string, number>): May[] {
    const wanted = new Set(requests.flatMap(({ request }) => leasesOf(request)));
    if (requests.some((one) => isMust(one) && isCompacted(one))) wanted.add(COMPACTION);
    if (wanted.size === 0) return [];
    const limit = this.#line.limit();
    return this.#problem.mays.filter((may) => {
      const { request } = may;
      if (may.called > limit || !wanted.has(leaseOrCompaction(request))) return false;
      if (this.#used.has(may)) add(conflict, spent(may), 0);
      return !this.#used.has(may);
    });
  }

  #toggle(request: Must | May): void {
    const [a, b] = this.#marks.get(request) as [number, number];
    this.#doneA ^= a;
    this.#doneB ^= b;
  }

  #count({ revision }: Must, by: number): void {
    if (revision === undefined) return;
    this.#pending.set(revision, (this.#pending.get(revision) as number) + by);
  }

  /** Runs a must; if it does not fit it is taken back. */
  #mustMisfit(must: Must): Misfit | undefined {
    const store = this.store;
    const { mark, revision } = store;
    if (this.#isOfAnotherRevision(must)) return NOT_YET;
    this.attempts++;
    const due = execute(store, must.request);
    const why = difference(must.seen, due);
    if (why !== undefined) {
      store.undo(mark);
      if (this.#exact === undefined) return { why, subjects: [], isFinal: false };
      const isOfLease = due.kind === "refused" || leasesOf(must.request).length > 0;
      const isFinal = must.revision !== undefined && must.writes !== "maybe" && !isOfLease;
      return { why, subjects: this.#subjects.blame(store, must), isFinal };
    }
    return store.revision === revision ? undefined : this.#misfitOfRevision(must, mark);
  }

  #mayMisfit(may: May): Misfit | undefined {
    const store = this.store;
    const { mark, revision } = store;
    this.attempts++;
    execute(store, may.request);
    if (store.mark > mark && store.revision === revision && this.#isOver(may.called)) {
      store.undo(mark);
      return NOT_YET;
    }
    if (store.mark > mark) {
      return store.revision === revision ? undefined : this.#misfitOfRevision(may, mark);
    }
    const subjects = this.#subjects.of(may.request);
    return { why: "it would change nothing", subjects, isFinal: false };
  }

  /** In an exact history the revision alone says when it is a request's turn. */
  #isOfAnotherRevision({ revision, writes, called }: Must): boolean {
    const now = this.store.revision;
    if (this.#exact === undefined) return false;
    if (revision === undefined) return this.#isOver(called);
    if (writes !== "no" && revision === now + 1) return this.#isBlocked();
    return writes === "yes" || revision !== now;
  }

  /** Whether a later revision than the present was seen before `called`. */
  #isOver(called: number): boolean {
    const seen = this.#exact?.evidence.firstSeen(this.store.revision + 1);
    return seen !== undefined && seen.at < called;
  }

  /** Whether answers of the present revision are still to come. */
  #isBlocked(): boolean {
    return (this.#pending.get(this.store.revision) ?? 0) > 0;
  }

  /** The store's newest revision was made by `request`: takes that back if it cannot be. */
  #misfitOfRevision(request: Must | May, mark: number): Misfit | undefined {
    const exact = this.#exact;
    if (exact === undefined) return undefined;
    const { revision } = this.store;
    const isFinal = isMust(request) && request.writes === "yes";
    const others = exact.suspects.of(revision);
    const isHis = isMust(request)
      ? request.writes === "yes" || others !== undefined
      : others?.has(request) === true;
    let why = isHis ? undefined : `it cannot have made ${revision}`;
    let subjects = this.#subjects.of(request.request);
    const changes = this.store.changesSince(mark);
    const found = why === undefined ? exact.evidence.contradiction(this.store, changes) : undefined;
    if (found?.key !== undefined && !changes.some(({ kv }) => kv.key === found.key)) {
      subjects = [keyed(found.key)]; // wrong before, and not set right by this
    }
    why ??= found?.why;
    for (const stale of why === undefined ? (this.#stalesAt.get(revision) ?? []) : []) {
      const other = this.#whyNotStale(stale);
      if (other === undefined) continue;
      why = `${stale.id} read at ${revision}: ${other}`;
      subjects = [...subjects, ...this.#subjects.of(stale.request)];
      break;
    }
    if (why === undefined) return undefined;
    this.store.undo(mark);
    return { why, subjects, isFinal };
  }

  #whyNotStale(stale: Must): string | undefined {
    assert(stale.request.kind === "range", "only ranges are stale");
    return difference(stale.seen, readRange(this.store, stale.request));
  }

  #fits(request: Must | May): boolean {
    const { mark } = this.store;
    const fits = this.misfit(request) === undefined;
    this.store.undo(mark);
    return fits;
  }

  /** Mays to which the next revision may be owed. */
  #candidates(): readonly May[] {
    if (this.#exact === undefined) return this.#problem.mays;
    if (this.#isBlocked()) return [];
    return [...(this.#exact.suspects.of(this.store.revision + 1) ?? [])];
  }

  /** The end of a lease makes a revision only if it deletes something. */
  #hasKeys(revoke: RevokeRequest, conflict: Map<string, number>): boolean {
    if (this.store.keysOf(revoke.id).length > 0) return true;
    const [lease, ...keys] = this.#subjects.of(revoke);
    const isThere = this.store.hasLease(revoke.id);
    this.blame(conflict, isThere || lease === undefined ? keys : [lease]);
    return false;
  }
}

function isCompacted({ seen }: Must): boolean {
  return seen.kind === "refused" && seen.code === "compacted";
}

function leaseOrCompaction(request: Request): string {
  if (request.kind === "compact") return COMPACTION;
  return request.kind === "grant" || request.kind === "revoke" ? (leasesOf(request)[0] ?? "") : "";
}
