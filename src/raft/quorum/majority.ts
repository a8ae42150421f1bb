/**
 * Majorities: what more than half of a set of voters agree on. A majority of an empty set agrees
 * on everything, which makes a joint quorum without an outgoing half the same as a simple one.
 */

/** How an election stands. */
export type VoteResult = "won" | "lost" | "pending";

/**
 * The highest value that more than half of values[0, count) reach. Sorts them in place, falling;
 * groups are small, so insertion is the fastest way. Infinity when count is 0.
 *
 *   count 5: [9 9 | 7 | 4 2]  ->  7, three of five are at 7 or beyond
 *   count 4: [9 9   7 | 4]    ->  7, three of four
 */
export function majorityValue(values: number[], count: number): number {
  if (count === 0) return Infinity;
  for (let i = 1; i < count; i++) {
    const value = values[i] as number;
    let at = i;
    while (at > 0 && (values[at - 1] as number) < value) {
      values[at] = values[at - 1] as number;
      at--;
    }
    values[at] = value;
  }
  return values[count >> 1] as number;
}

/** How an election stands with `yes` and `no` of `count` voters heard. */
export function majorityVote(count: number, yes: number, no: number): VoteResult {
  if (count === 0) return "won";
  const needed = (count >> 1) + 1;
  if (yes >= needed) return "won";
  return count - no < needed ? "lost" : "pending";
}
