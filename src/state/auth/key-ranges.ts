/**
 * A union of key ranges: what the roles of a user allow together. A request is covered if one
 * stretch of the union covers it whole, whether one permission or many that touch make it up
 * (etcd's range_perm_cache.go).
 *
 *   granted   [a──c)   [c──f)        [k]            request [b──e) is covered, [e──k] is not
 *   merged    [a───────f)            [k]
 */
import type { Key } from "../../base/bytes.ts";

/** The range end that means "no end", in permissions as in requests. */
const NO_END = "\0";

interface Stretch {
  readonly start: Key;
  /** The first key past it; undefined for no end. */
  readonly end: Key | undefined;
}

/** A range as permissions and requests name it: end empty is one key, "\0" is no end. */
export interface NamedRange {
  readonly key: Key;
  readonly rangeEnd: Key;
}

export class KeyRanges {
  /** In order, and with a gap between each two. */
  readonly #stretches: readonly Stretch[];

  constructor(ranges: readonly NamedRange[]) {
    this.#stretches = merged(ranges);
  }

  /** Whether all keys of the range are in the union; of a range without keys, where it begins. */
  covers(range: NamedRange): boolean {
    const stretch = this.#lastFrom(range.key);
    if (stretch === undefined) return false;
    if (range.rangeEnd === "") return stretch.end === undefined || range.key < stretch.end;
    const { start, end } = stretchOf(range);
    const isEmpty = end !== undefined && end <= start;
    return !isBefore(stretch.end, isEmpty ? `${start}\0` : end);
  }

  /** The last stretch that begins at or before `key`. */
  #lastFrom(key: Key): Stretch | undefined {
    let low = 0;
    let high = this.#stretches.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#stretches[middle] as Stretch).start <= key) low = middle + 1;
      else high = middle;
    }
    return this.#stretches[low - 1];
  }
}

/**
 * Whether a permission may name this range: a key, and an end after it, or none (etcd's
 * isValidPermissionRange).
 */
export function isRange({ key, rangeEnd }: NamedRange): boolean {
  if (key === "") return false;
  return rangeEnd === "" || rangeEnd === NO_END || key < rangeEnd;
}

function stretchOf({ key, rangeEnd }: NamedRange): Stretch {
  if (rangeEnd === "") return { start: key, end: `${key}\0` };
  return { start: key, end: rangeEnd === NO_END ? undefined : rangeEnd };
}

function merged(ranges: readonly NamedRange[]): Stretch[] {
  const sorted = ranges
    .filter(isRange)
    .map(stretchOf)
    .sort((a, b) => (a.start < b.start ? -1 : a.start > b.start ? 1 : 0));
  const stretches: Stretch[] = [];
  for (const next of sorted) {
    const last = stretches.at(-1);
    if (last === undefined || (last.end !== undefined && last.end < next.start)) {
      stretches.push(next);
    } else if (isBefore(last.end, next.end)) {
      stretches[stretches.length - 1] = { start: last.start, end: next.end };
    }
  }
  return stretches;
}

/** Whether the end `a` comes before the end `b`; none comes last. */
function isBefore(a: Key | undefined, b: Key | undefined): boolean {
  if (a === undefined) return false;
  return b === undefined || a < b;
}
