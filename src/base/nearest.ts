/** "Did you mean …?": the known word that is fewest letters away from a misspelt one. */

/** More changed letters than this is another word, not a slip. */
const DISTANCE_MAX = 2;

/** The nearest of `known` by Levenshtein distance, or undefined when none is near. */
export function nearest(word: string, known: Iterable<string>): string | undefined {
  let best: string | undefined;
  let least = DISTANCE_MAX + 1;
  for (const candidate of known) {
    const distance = distanceOf(word, candidate);
    if (distance >= least) continue;
    best = candidate;
    least = distance;
  }
  return best;
}

/** Letters added, dropped, changed or swapped with their neighbour on the way from `a` to `b`. */
function distanceOf(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const changed = (last[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1);
      let least = Math.min((last[j] as number) + 1, (row[j - 1] as number) + 1, changed);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        least = Math.min(least, (beforeLast[j - 2] as number) + 1);
      }
      row[j] = least;
    }
    beforeLast = last;
    last = row;
  }
  return last[b.length] as number;
}
