/**
 * Changes of role and term. Every function here leaves a Core in which the new role has begun
 * and nothing of the old one is left (paper figure 4).
 */
import { assert } from "../base/assert.ts";
import { EMPTY_BYTES } from "../base/bytes.ts";
import { AetherError } from "../base/errors.ts";
import { type Core, refuseRead } from "./core.ts";
import { isVoter } from "./membership/configuration.ts";
import { type MemberId, NOBODY } from "./types.ts";

/** Follows `leader`, or nobody yet, in `term`; never goes back in terms. */
export function becomeFollower(core: Core, term: number, leader: MemberId): void {
  reset(core, term);
  core.role = "follower";
  core.leader = leader;
}

/** Follows `leader` in the current term; a follower's timers go on. */
export function followLeader(core: Core, leader: MemberId): void {
  if (core.role !== "follower") becomeFollower(core, core.term, leader);
  else core.leader = leader;
  core.electionElapsed = 0;
}

/** Asks whether an election could be won; term and vote stay as they are (thesis §9.6). */
export function becomePreCandidate(core: Core): void {
  assert(core.role !== "leader", "a leader does not campaign");
  refuseReads(core);
  core.role = "pre-candidate";
  core.leader = NOBODY;
  core.selfVoteWrite = 0;
  core.tracker.clearVotes();
  core.electionElapsed = 0;
  drawElectionTimeout(core);
}

/** Stands for the next term, with a vote for itself that counts once it is durable. */
export function becomeCandidate(core: Core): void {
  assert(core.role !== "leader", "a leader does not campaign");
  reset(core, core.term + 1);
  core.role = "candidate";
  core.vote = core.id;
  core.selfVoteWrite = core.log.nextWrite;
}

/**
 * Leads: appends the entry whose commitment commits everything before it (§5.4.2, §6.4), and
 * holds back changes of the configuration until all that precedes is applied.
 */
export function becomeLeader(core: Core): void {
  assert(core.role === "candidate", "only a candidate becomes leader");
  assert(core.tracker.self !== undefined, "a leader is a member");
  reset(core, core.term);
  core.role = "leader";
  core.leader = core.id;
  core.pendingConfigIndex = core.log.lastIndex;
  core.termStart = core.log.lastIndex + 1;
  const index = core.termStart;
  core.log.append({ index, term: core.term, kind: "noop", payload: EMPTY_BYTES });
  const self = core.tracker.self;
  self.match = core.log.stable;
  self.becomeReplicate();
  self.next = index + 1;
  self.recentActive = true;
  core.dirty = core.tracker.peers.length > 0;
}

/** A voter without a snapshot to finish: it may stand for election. */
export function isPromotable(core: Core): boolean {
  return core.log.installing === undefined && isVoter(core.tracker.configuration, core.id);
}

/** Draws how long to wait for a leader, so that members rarely stand together (§5.2). */
export function drawElectionTimeout(core: Core): void {
  const { electionTicks, random } = core.config;
  core.electionTimeout = electionTicks + random.below(electionTicks);
}

/** Fails every local read that waits: whoever leads now has not confirmed it. */
export function refuseReads(core: Core): void {
  for (const id of core.leaderReads.reset()) refuseRead(core, id, lostLeader());
  for (const id of core.forwardedReads.reset()) refuseRead(core, id, lostLeader());
}

function lostLeader(): AetherError {
  return new AetherError("leader_changed", "the read was not confirmed before");
}

function reset(core: Core, term: number): void {
  assert(term >= core.term, "terms never fall");
  if (term > core.term) core.vote = NOBODY;
  core.term = term;
  core.leader = NOBODY;
  core.electionElapsed = 0;
  core.heartbeatElapsed = 0;
  drawElectionTimeout(core);
  core.selfVoteWrite = 0;
  core.termStart = 0;
  core.pendingConfigIndex = 0;
  core.transferee = NOBODY;
  core.retireIndex = 0;
  core.leaseGivenUp = false;
  core.uncommittedBytes = 0;
  core.dirty = false;
  refuseReads(core);
  core.tracker.reset(core.log.lastIndex + 1);
}
