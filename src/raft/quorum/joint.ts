/**
 * Joint quorums (§4.3): while the membership changes, every decision needs a majority of the
 * incoming and one of the outgoing voters.
 */
import type { VoteResult } from "./majority.ts";

/** The highest value both halves agree on. */
export function jointValue(incoming: number, outgoing: number): number {
  return Math.min(incoming, outgoing);
}

/** Won in both halves, lost if lost in one, else pending. */
export function jointVote(incoming: VoteResult, outgoing: VoteResult): VoteResult {
  if (incoming === "lost" || outgoing === "lost") return "lost";
  return incoming === "won" && outgoing === "won" ? "won" : "pending";
}
