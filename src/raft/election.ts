/**
 * Elections: standing, asking, voting, winning (paper §5.2, §5.4.1; thesis §3.10, §9.6).
 *
 *   follower ─ timeout ─> pre-candidate ─ a quorum would ─> candidate ─ a quorum did ─> leader
 *                                                 ^ timeout-now: at once, with force
 */
import { assert } from "../base/assert.ts";
import { type Core, drop, sendAfterSync, sendNow } from "./core.ts";
import type { MessageOf } from "./message.ts";
import { foreseeRetirement } from "./reconfigure.ts";
import {
  becomeCandidate,
  becomeFollower,
  becomeLeader,
  becomePreCandidate,
  isPromotable,
} from "./role.ts";
import { COUNTER_MAX, type MemberId, NOBODY } from "./types.ts";

/** Why a member stands. `transfer`: its leader asked it to, so a live leader is no obstacle. */
export type CampaignReason = "timeout" | "asked" | "transfer";

type VoteKind = "vote" | "pre-vote";

/** Stands for election unless something forbids it; false then. */
export function campaign(core: Core, reason: CampaignReason): boolean {
  if (core.role === "leader" || !isPromotable(core)) return false;
  if (core.term + 1 >= COUNTER_MAX || hasUnappliedChange(core)) return false;
  if (reason !== "transfer" && isBoundByLease(core)) return false;
  if (core.config.preVote && reason !== "transfer") {
    becomePreCandidate(core);
    core.tracker.recordVote(core.id, true);
    if (!concluded(core, "pre-vote")) askForVotes(core, "pre-vote", false);
  } else {
    stand(core, reason === "transfer");
  }
  return true;
}

/**
 * Answers a request for a vote, in any role: granted if we have given no other one in that term
 * and the asker's log is at least as complete as ours. Whether we vote is not looked up: we may
 * not have applied our own promotion yet (thesis §4.2.2).
 */
export function stepVote(core: Core, message: MessageOf<VoteKind>): void {
  const { from, term } = message;
  const isPreVote = message.type === "pre-vote";
  const free =
    core.vote === from ||
    (core.vote === NOBODY && core.leader === NOBODY) ||
    (isPreVote && term > core.term);
  const granted = free && core.log.isUpToDate(message.lastIndex, message.lastTerm);
  if (granted && !isPreVote) {
    core.electionElapsed = 0;
    core.vote = from;
  }
  sendAfterSync(core, {
    type: isPreVote ? "pre-vote-response" : "vote-response",
    from: core.id,
    to: from,
    term: granted ? term : core.term, // a granted pre-vote speaks of the term it was asked for
    granted,
  });
}

/** Counts an answer to our pre-vote. */
export function stepPreVoteResponse(core: Core, message: MessageOf<"pre-vote-response">): void {
  // A grant repeats the term we asked about; an older one speaks of an election we gave up.
  if (message.granted && message.term !== core.term + 1) {
    drop(core, "stale");
    return;
  }
  countVote(core, message.from, message.granted);
  concluded(core, "pre-vote");
}

/** Counts an answer to our request for votes. */
export function stepVoteResponse(core: Core, message: MessageOf<"vote-response">): void {
  countVote(core, message.from, message.granted);
  concluded(core, "vote");
}

/** The leader wants us to lead. */
export function stepTimeoutNow(core: Core, message: MessageOf<"timeout-now">): void {
  if (message.from !== core.leader) {
    drop(core, "not-the-leader");
    return;
  }
  campaign(core, "transfer");
}

/** A write is durable: our vote for ourselves may be what it carried. */
export function countSelfVote(core: Core, sequence: number): void {
  if (core.selfVoteWrite === 0 || sequence < core.selfVoteWrite) return;
  assert(core.role === "candidate", "only a candidate waits for its own vote");
  core.selfVoteWrite = 0;
  core.tracker.recordVote(core.id, true);
  concluded(core, "vote");
}

function stand(core: Core, force: boolean): void {
  becomeCandidate(core);
  askForVotes(core, "vote", force);
}

function askForVotes(core: Core, type: VoteKind, force: boolean): void {
  const term = type === "pre-vote" ? core.term + 1 : core.term;
  const send = type === "pre-vote" ? sendNow : sendAfterSync;
  for (const peer of core.tracker.peers) {
    if (peer.isLearner) continue;
    send(core, {
      type,
      from: core.id,
      to: peer.id,
      term,
      lastIndex: core.log.lastIndex,
      lastTerm: core.log.lastTerm,
      force,
    });
  }
}

function countVote(core: Core, from: MemberId, granted: boolean): void {
  const progress = core.tracker.get(from);
  if (progress === undefined || progress.isLearner) {
    drop(core, "unknown-sender");
    return;
  }
  core.tracker.recordVote(from, granted);
}

/** Acts on the votes counted so far; false while the election is open. */
function concluded(core: Core, kind: VoteKind): boolean {
  const result = core.tracker.voteResult();
  if (result === "pending") return false;
  if (result === "lost") {
    becomeFollower(core, core.term, NOBODY);
  } else if (kind === "pre-vote") {
    stand(core, false);
  } else {
    becomeLeader(core);
    foreseeRetirement(core);
  }
  return true;
}

/**
 * A change that is committed but not applied here decides which quorum counts; until then we do
 * not know our own electorate.
 */
function hasUnappliedChange(core: Core): boolean {
  const { log } = core;
  let index = log.applied + 1;
  while (index <= log.committed) {
    const entries = log.entries(index, log.committed + 1, core.config.committedBytesMax);
    for (const entry of entries) if (entry.kind === "config") return true;
    index += entries.length;
  }
  return false;
}

/** Leases are on, and we may have promised a leader not to support anyone else yet. */
function isBoundByLease(core: Core): boolean {
  if (core.config.lease === undefined) return false;
  if (core.voteEmbargoTicks > 0) return true;
  return core.leader !== NOBODY && core.electionElapsed < core.config.electionTicks;
}
