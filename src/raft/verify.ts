/**
 * Every invariant of a member, at any cost: tests and the simulator call it after each step.
 *
 *   V1  the term is at least that of the last entry
 *   V2  a leader is its own leader, installs no snapshot, and has a vote unless it is retiring
 *   V3  a leader counts itself exactly as far as its own log is durable
 *   V4  only a leader has rounds of reads, a transferee, a pending change, bytes uncommitted
 *   V5  candidates have no leader; only a candidate waits for its own vote
 *   V6  the active configuration is sound, is the newest of the history, and what is tracked
 *   V7  what is being applied adds up
 */
import { assert } from "../base/assert.ts";
import type { Core } from "./core.ts";
import { faultOf, isVoter } from "./membership/configuration.ts";
import { NOBODY } from "./types.ts";

/** Throws AssertionError naming the first invariant that is broken. */
export function verify(core: Core): void {
  core.log.verify();
  core.tracker.verify();
  core.leaderReads.verify();
  core.forwardedReads.verify();
  assert(core.term >= core.log.lastTerm, "V1: a term behind the log");
  if (core.role === "leader") verifyLeader(core);
  else verifyFollower(core);
  verifyConfiguration(core);
  let bytes = 0;
  for (const batch of core.applying) bytes += batch.bytes;
  assert(bytes === core.applyingBytes, "V7: bytes being applied");
}

function verifyLeader(core: Core): void {
  const { log, tracker } = core;
  assert(core.leader === core.id, "V2: a leader follows itself");
  assert(core.vote === core.id, "V2: a leader has voted for itself");
  const retired = core.retireIndex > 0 && log.applied >= core.retireIndex;
  assert(isVoter(tracker.configuration, core.id) !== retired, "V2: a leader votes or retires");
  assert(log.installing === undefined, "V2: a leader installs no snapshot");
  if (tracker.self !== undefined) {
    assert(tracker.self.match === log.stable, "V3: a leader counts what is durable here");
  }
  for (const peer of tracker.peers) {
    assert(peer.match <= log.lastIndex, "V3: a peer holds no more than the leader");
    assert(peer.sentCommit <= Math.max(log.committed, peer.pendingSnapshot), "V3: told commit");
  }
  assert(core.uncommittedBytes >= 0, "V4: bytes uncommitted");
  assert(core.termStart > 0 && core.termStart <= log.lastIndex, "V4: the first entry of the term");
}

function verifyFollower(core: Core): void {
  assert(core.leader !== core.id, "V2: only a leader follows itself");
  assert(core.leaderReads.waiting === 0 && core.leaderReads.round === 0, "V4: rounds of reads");
  assert(core.transferee === NOBODY && core.pendingConfigIndex === 0, "V4: a leader's cares");
  assert(core.uncommittedBytes === 0 && core.retireIndex === 0, "V4: a leader's end");
  if (core.role !== "follower") assert(core.leader === NOBODY, "V5: candidates have no leader");
  if (core.role === "candidate")
    assert(core.vote === core.id, "V5: candidates vote for themselves");
  else assert(core.selfVoteWrite === 0, "V5: waits for its own vote");
}

function verifyConfiguration(core: Core): void {
  const { configurations, tracker } = core;
  const newest = configurations[configurations.length - 1];
  assert(newest !== undefined, "V6: there is a configuration");
  assert(newest.configuration === tracker.configuration, "V6: the newest one is tracked");
  assert(faultOf(tracker.configuration) === undefined, "V6: the configuration is sound");
  assert(newest.index <= core.log.applied, "V6: a configuration counts from its application");
  let previous = -1;
  for (const { index } of configurations) {
    assert(index > previous, "V6: the history rises");
    previous = index;
  }
}
