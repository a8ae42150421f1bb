/**
 * What can be decided of an exact history (problem.ts) without searching: contradictions between
 * two answers, and for each revision that no answered request made, who can have made it.
 */
import type { Evidence } from "./evidence.ts";
import { makersOf } from "./possibility.ts";
import type { May, Problem } from "./problem.ts";

/** A contradiction, and the calls that are in it. */
export interface Contradiction {
  readonly text: string;
  readonly ids: readonly string[];
}

/** Answers that are shown beside the first that shows a revision. */
const OTHERS_MAX = 5;

export class Suspects {
  readonly #problem: Problem;
  readonly #evidence: Evidence;
  /** By revision that no answer claims: the mays that can have made it. */
  readonly #of = new Map<number, Set<May>>();
  /** Revisions that a must may have made (a revoke does not say whether it did). */
  readonly #claimed: ReadonlySet<number>;
  readonly contradiction: Contradiction | undefined;

  constructor(problem: Problem, evidence: Evidence) {
    this.#problem = problem;
    this.#evidence = evidence;
    const claims = problem.musts.filter(({ writes }) => writes === "maybe");
    this.#claimed = new Set(claims.flatMap(({ revision }) => revision ?? []));
    this.contradiction = this.#twoWriters() ?? this.#backInTime() ?? this.#gap();
  }

  /** Who can have made `revision`; undefined if an answered request has. */
  of(revision: number): ReadonlySet<May> | undefined {
    return this.#of.get(revision);
  }

  #twoWriters(): Contradiction | undefined {
    for (const must of this.#problem.musts) {
      if (must.writes !== "yes" || must.revision === undefined) continue;
      const [first, second] = this.#evidence.writersOf(must.revision);
      if (first !== undefined && second !== undefined) {
        const text = `two requests are said to have made revision ${must.revision}`;
        return { text, ids: [first.id, second.id] };
      }
    }
    return undefined;
  }

  /** Who asks after anybody saw revision R gets R at least, and more if it wrote. */
  #backInTime(): Contradiction | undefined {
    for (const { id, called, revision, writes } of this.#problem.musts) {
      if (revision === undefined) continue;
      const seen = this.#evidence.firstSeen(writes === "yes" ? revision : revision + 1);
      if (seen.at >= called) continue;
      const text =
        writes === "yes"
          ? `revision ${revision} was seen before the request that made it was sent`
          : `a revision after ${revision} was seen before a request that was answered at it`;
      return { text, ids: [seen.by, id] };
    }
    return undefined;
  }

  /** A may makes one revision at most: where it is the only one left, it is none elsewhere. */
  #gap(): Contradiction | undefined {
    const last = this.#evidence.lastRevision;
    const { musts, mays: unknown } = this.#problem;
    if (last > 1 + musts.length + unknown.length) return this.#nobody(last);
    const forced: number[] = [];
    for (let revision = 2; revision <= last; revision++) {
      if (this.#evidence.writersOf(revision).length > 0) continue;
      const mays = makersOf(revision, unknown, this.#evidence);
      this.#of.set(revision, new Set(mays));
      const isClaimed = this.#claimed.has(revision);
      if (mays.length === 0 && !isClaimed) return this.#nobody(revision);
      if (mays.length === 1 && !isClaimed) forced.push(revision);
    }
    return this.#propagate(forced);
  }

  #propagate(forced: number[]): Contradiction | undefined {
    for (let revision = forced.pop(); revision !== undefined; revision = forced.pop()) {
      const [may] = this.#of.get(revision) as Set<May>;
      if (may === undefined) continue;
      for (const [other, mays] of this.#of) {
        if (other === revision || !mays.delete(may) || this.#claimed.has(other)) continue;
        if (mays.size === 0) return this.#nobody(other);
        if (mays.size === 1) forced.push(other);
      }
    }
    return undefined;
  }

  #nobody(revision: number): Contradiction {
    const { by } = this.#evidence.firstSeen(revision);
    const text = `no request can have made revision ${revision}, which was seen`;
    const all = [...this.#problem.musts, ...this.#problem.stales];
    const others = all.filter((must) => must.revision === revision && must.id !== by);
    return { text, ids: [by, ...others.map(({ id }) => id).slice(0, OTHERS_MAX)] };
  }
}
