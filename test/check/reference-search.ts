/**
 * The definition, tried out: every order of every request, without any of the shortcuts of
 * search.ts and suspects.ts. For histories of a dozen requests, to hold the real search to.
 */
import { difference, execute, readRange } from "./execute.ts";
import type { History } from "./history.ts";
import { isMust, type May, type Must, type Problem, problemOf } from "./problem.ts";
import { Store } from "./store.ts";

export function isLinearizable(history: Pick<History, "calls">): boolean {
  const problem = problemOf(history);
  return new Reference(problem).search(new Set(problem.musts), new Set(problem.mays));
}

class Reference {
  readonly #store: Store;
  readonly #stales: readonly Must[];
  readonly #answered: readonly Must[];
  readonly #lastRevision: number;
  readonly #failed = new Set<string>();

  constructor(problem: Problem) {
    this.#store = new Store(problem.keys, "past");
    this.#stales = problem.stales;
    this.#answered = [...problem.musts, ...problem.stales];
    this.#lastRevision = Math.max(1, ...this.#answered.map(({ revision }) => revision ?? 1));
  }

  search(musts: Set<Must>, mays: Set<May>): boolean {
    if (!this.#staleReadsHold()) return false;
    if (musts.size === 0 && this.#store.revision >= this.#lastRevision) return true;
    const ids = [...musts, ...mays].map(({ id }) => id).join();
    const place = `${this.#store.fingerprint} ${ids}`;
    if (this.#failed.has(place)) return false;
    const limit = Math.min(...[...musts].map(({ returned }) => returned));
    const next = [...musts, ...mays].filter(({ called }) => called <= limit);
    const isFound = next.some((request) => this.#try(request, musts, mays));
    if (!isFound) this.#failed.add(place);
    return isFound;
  }

  #try(request: Must | May, musts: Set<Must>, mays: Set<May>): boolean {
    const { mark, revision } = this.#store;
    const due = execute(this.#store, request.request);
    let fits = isMust(request)
      ? difference(request.seen, due) === undefined
      : this.#store.mark > mark;
    const isNew = this.#store.revision > revision;
    fits &&= !this.#wasSeenBefore(this.#store.revision + (isNew ? 0 : 1), request.called);
    const isFound =
      fits &&
      this.search(
        new Set([...musts].filter((one) => one !== request)),
        new Set([...mays].filter((one) => one !== request)),
      );
    this.#store.undo(mark);
    return isFound;
  }

  /** Whether someone had been told of `revision`, or a later one, before a request was sent. */
  #wasSeenBefore(revision: number, called: number): boolean {
    return this.#answered.some((must) => {
      return (must.revision ?? 0) >= revision && must.returned < called;
    });
  }

  #staleReadsHold(): boolean {
    return this.#stales.every(({ request, seen, revision }) => {
      if (request.kind !== "range" || revision !== this.#store.revision) return true;
      return difference(seen, readRange(this.#store, request)) === undefined;
    });
  }
}
