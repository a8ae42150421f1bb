/**
 * What was seen of one key: versions, in which revisions it was left alone, when it was not there.
 * From that follows what it was at many revisions at which nobody read it.
 */
import { difference } from "./execute.ts";
import type { SeenKeyValue } from "./requests.ts";

/** A key value as it was written at its mod_revision; version 0 for a deletion. */
export interface Fact {
  readonly kv: SeenKeyValue;
  readonly seenBy: string;
}

/** Revisions about which there is something to find out. */
export interface Unknowns {
  /** Revisions that no answer claims for sure, ascending. */
  readonly revisions: readonly number[];
  /** Revisions in which an answered request may have deleted the key, ascending. */
  readonly deletions: readonly number[];
}

export class KeyEvidence {
  readonly #key: string;
  readonly #facts = new Map<number, Fact[]>();
  /** (from, to]: no other than known revisions wrote the key. */
  readonly #quiet: [from: number, to: number][] = [];
  readonly #absent = new Set<number>([1]);
  /** The key may have been deleted there, but not put. */
  readonly #notPut = new Set<number>();
  /** Single revisions in which it was not written, whatever it was. */
  readonly #untouched = new Set<number>();
  /** Revisions with facts, ascending, once settled. */
  #writes: number[] = [];
  /** Revisions at which the state is known in every field, ascending, once settled. */
  #fixed: number[] = [];

  constructor(key: string) {
    this.#key = key;
  }

  /** The key was written like this. */
  wrote(kv: SeenKeyValue, revision: number, seenBy: string): void {
    const facts = this.#facts.get(revision);
    if (facts === undefined) this.#facts.set(revision, [{ kv, seenBy }]);
    else if (!facts.some((one) => difference(kv, one.kv) === undefined)) facts.push({ kv, seenBy });
    if (kv.version === 0) this.#absent.add(revision);
    if (kv.version === 1) this.#absent.add(revision - 1);
  }

  /** The key was seen at `to` as it was written at `from`. */
  leftAlone(from: number, to: number): void {
    if (to > from) this.#quiet.push([from, to]);
  }

  absent(revision: number): void {
    this.#absent.add(revision);
  }

  /** Everything is told: draws the conclusions. Returns the revisions in which it was written. */
  settle(unknowns: Unknowns): Iterable<number> {
    this.#concludeFromDeaths(unknowns);
    this.#writes = [...this.#facts.keys()].sort((a, b) => a - b);
    this.#concludeFromVersions(unknowns);
    this.#writes = [...this.#facts.keys()].sort((a, b) => a - b);
    const ends = this.#quiet.map(([, to]) => to);
    this.#quiet.sort((a, b) => a[0] - b[0]);
    let furthest = 0;
    for (const interval of this.#quiet) {
      furthest = Math.max(furthest, interval[1]);
      interval[1] = furthest;
    }
    const points = new Set([...ends, ...this.#writes, ...this.#absent]);
    this.#fixed = [...points].filter((one) => isWhole(this.stateAt(one))).sort((a, b) => a - b);
    return this.#writes;
  }

  /** Revisions at which a reader, or what follows from others, shows the whole state. */
  get fixed(): readonly number[] {
    return this.#fixed;
  }

  /** The last revision up to this one at which the whole state is known. */
  lastFixed(revision: number): number {
    if (isWhole(this.stateAt(revision))) return revision;
    const at = countBelow(this.#fixed.length, (i) => (this.#fixed[i] as number) <= revision);
    return this.#fixed[at - 1] ?? 1;
  }

  factsAt(revision: number): readonly Fact[] {
    return this.#facts.get(revision) ?? [];
  }

  /** Whether the key is known not to have been written at `revision`. */
  isQuiet(revision: number): boolean {
    if (this.#facts.has(revision)) return false;
    return this.#untouched.has(revision) || this.#isLeftAlone(revision);
  }

  /** Whether the key was then what it was last known to be written. */
  #isLeftAlone(revision: number): boolean {
    const at = countBelow(this.#quiet.length, (i) => (this.#quiet[i]?.[0] ?? 0) < revision);
    return (this.#quiet[at - 1]?.[1] ?? 0) >= revision;
  }

  mayBePut(revision: number): boolean {
    return !this.#notPut.has(revision) && !this.isQuiet(revision);
  }

  /** What the key was after `revision`: null for absent, undefined if that is not known. */
  stateAt(revision: number): SeenKeyValue | null | undefined {
    if (this.#absent.has(revision)) return null;
    if (!this.#facts.has(revision) && !this.#isLeftAlone(revision)) return undefined;
    const kv = this.lastBefore(revision + 1);
    return kv?.version === 0 ? null : kv;
  }

  /** The last version that is known to have been written before `revision`. */
  lastBefore(revision: number): SeenKeyValue | undefined {
    const at = countBelow(this.#writes.length, (i) => (this.#writes[i] ?? 0) < revision);
    const facts = this.#facts.get(this.#writes[at - 1] ?? 0);
    return facts === undefined ? undefined : Object.assign({}, ...facts.map(({ kv }) => kv));
  }

  /**
   * Where a key was and then is not, something deleted it in between; and a put in between was
   * followed by a deletion.
   */
  #concludeFromDeaths({ revisions, deletions }: Unknowns): void {
    for (const [from, wasThere, to] of this.#stretches()) {
      const unknown = between(revisions, from, to);
      const last = unknown.at(-1);
      if (last === undefined || between(deletions, last - 1, to).length > 0) continue;
      this.#notPut.add(last);
      if (unknown.length > 1 || between(deletions, from, to).length > 0) continue;
      const by = `whoever saw ${this.#key} gone at ${to}`;
      if (!wasThere) this.#untouched.add(last);
      else this.wrote({ key: this.#key, modRevision: last, version: 0 }, last, by);
    }
  }

  /** Neighbouring revisions at which something is known, the later with the key absent. */
  #stretches(): [from: number, wasThere: boolean, to: number][] {
    const points = new Map<number, boolean>();
    for (const [, to] of this.#quiet) points.set(to, true);
    for (const revision of this.#facts.keys()) points.set(revision, true);
    for (const revision of this.#absent) points.set(revision, false);
    const sorted = [...points].sort((a, b) => a[0] - b[0]);
    return sorted.flatMap(([to, isThere], index): [number, boolean, number][] => {
      const before = sorted[index - 1];
      return isThere || before === undefined ? [] : [[before[0], before[1], to]];
    });
  }

  /** Between two versions of one life there were as many puts as the versions differ. */
  #concludeFromVersions({ revisions }: Unknowns): void {
    let from: SeenKeyValue | undefined;
    let writes = 0;
    for (const revision of this.#writes) {
      writes++;
      const kv = this.factsAt(revision).find((one) => one.kv.version !== undefined)?.kv;
      if (kv?.version === undefined) continue;
      if (from?.version !== undefined && from.createRevision === kv.createRevision) {
        const since = from.modRevision ?? 0;
        const hidden = kv.version - from.version - writes;
        const unknown = between(revisions, since, revision).filter((one) => !this.#facts.has(one));
        const by = `whoever saw ${this.#key} written at ${revision}`;
        if (hidden === 0) this.leftAlone(since, revision);
        else if (hidden === unknown.length) {
          for (const one of unknown) this.wrote({ key: this.#key, modRevision: one }, one, by);
        }
      }
      from = kv;
      writes = 0;
    }
  }
}

function isWhole(kv: SeenKeyValue | null | undefined): boolean {
  if (kv === undefined || kv === null) return kv === null;
  const { value, lease, createRevision, modRevision, version } = kv;
  return [value, lease, createRevision, modRevision, version].every((field) => field !== undefined);
}

/** Those of ascending numbers that are in (from, to]. */
function between(numbers: readonly number[], from: number, to: number): readonly number[] {
  const start = countBelow(numbers.length, (i) => (numbers[i] as number) <= from);
  const end = countBelow(numbers.length, (i) => (numbers[i] as number) <= to);
  return numbers.slice(start, end);
}

/** How many of the first `count` numbers are below a bound; `isBelow` is true for those alone. */
export function countBelow(count: number, isBelow: (index: number) => boolean): number {
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (isBelow(middle)) low = middle + 1;
    else high = middle;
  }
  return low;
}
