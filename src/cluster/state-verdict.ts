/**
 * Whose state is wrong, from hashes of all of them that were asked for by the leader.
 *
 * What is sound about it: an answer speaks of a state that had applied all that the leader's had
 * when the leader's hash was begun, and the leader's state is now further than any answer. So what
 * only one of them has, a compaction or a revision, is proof of a difference, unless a compaction
 * came in between: then the two cannot be compared, and have to be asked again.
 */
import { AetherError } from "../base/errors.ts";
import type { MemberId } from "../raft/types.ts";

export interface StateHash {
  readonly hash: number;
  /** Everything up to this revision was hashed. */
  readonly revision: number;
  /** The compaction point, -1 if there is none. */
  readonly compactRevision: number;
}

export interface Comparison {
  readonly self: MemberId;
  readonly voters: readonly MemberId[];
  readonly own: StateHash;
  /** The compaction point of our state now. */
  readonly compactRevision: number;
  /** Of the others, learners too; an AetherError is why there is no hash. */
  readonly answers: ReadonlyMap<MemberId, StateHash | AetherError>;
}

export type Verdict =
  /** Nobody who could be compared differs. */
  | { readonly kind: "equal" }
  /** A majority of the voters agrees, and these differ from it. */
  | { readonly kind: "wrong"; readonly wrong: readonly MemberId[] }
  /** States differ, and no majority agrees. */
  | { readonly kind: "tie" };

export interface Judgement {
  readonly verdict: Verdict;
  /** Members that hold the same state, each group of them. */
  readonly groups: readonly (readonly MemberId[])[];
  /** A compaction came in between: to be asked again. */
  readonly later: readonly MemberId[];
  /** Did not answer, or could not. */
  readonly absent: readonly MemberId[];
}

/** Judges; needs at least our own hash. */
export function judge(comparison: Comparison): Judgement {
  const { self, own, answers, voters } = comparison;
  const groups = new Map([[textOf(own), [self]]]);
  const later: MemberId[] = [];
  const absent: MemberId[] = [];
  for (const [id, answer] of answers) {
    const place = placeOf(id, answer, comparison);
    if (place === "later") later.push(id);
    else if (place === "absent") absent.push(id);
    else groups.set(place.state, [...(groups.get(place.state) ?? []), id]);
  }
  const all = [...groups.values()];
  return { verdict: verdictOf(all, self, voters), groups: all, later, absent };
}

function verdictOf(
  groups: readonly (readonly MemberId[])[],
  self: MemberId,
  voters: readonly MemberId[],
): Verdict {
  if (groups.length === 1) return { kind: "equal" };
  const votes = (group: readonly MemberId[]): number =>
    group.filter((id) => voters.includes(id)).length;
  const right = groups.find((group) => votes(group) > voters.length / 2);
  if (right === undefined) return { kind: "tie" };
  // What was proved is who differs from us. If that is the majority, we know only of ourselves:
  // the others may differ among each other in what they had applied when they were asked.
  if (!right.includes(self)) return { kind: "wrong", wrong: [self] };
  return { kind: "wrong", wrong: groups.flatMap((group) => (group === right ? [] : group)) };
}

type Place = "later" | "absent" | { readonly state: string };

function placeOf(
  id: MemberId,
  answer: StateHash | AetherError,
  { own, compactRevision }: Comparison,
): Place {
  if (answer instanceof AetherError) {
    if (answer.code !== "compacted") return "absent";
    // It is compacted beyond the revision, and we have applied what it has.
    return compactRevision > own.revision ? "later" : { state: `compacted at ${id}` };
  }
  const { compactRevision: theirs } = answer;
  if (theirs > own.compactRevision && theirs <= compactRevision) return "later";
  return { state: textOf(answer) };
}

function textOf({ hash, revision, compactRevision }: StateHash): string {
  return `${hash} up to ${revision}, compacted at ${compactRevision}`;
}
