/**
 * Linearizable reads without a log entry (thesis §6.4): a commit index taken after the read
 * arrived, confirmed by a quorum which still followed this leader afterwards. See
 * reads/leader-reads.ts and reads/forwarded-reads.ts for why late answers can do no harm.
 */
import { AetherError } from "../base/errors.ts";
import { leaseMs } from "./config.ts";
import { type Core, drop, hasCommittedInTerm, sendNow } from "./core.ts";
import type { MessageOf } from "./message.ts";
import type { ReadRound } from "./reads/leader-reads.ts";
import { broadcastHeartbeat } from "./replication.ts";
import { NOBODY } from "./types.ts";

/** readNow()'s answer when a read needs a round. */
export const NO_INDEX = -1;

/**
 * Takes a local read; its grant or refusal comes with a Ready. Throws AetherError "no_leader", or
 * "too_many_requests" when readsWaitingMax reads wait.
 */
export function requestRead(core: Core, id: number): void {
  const waiting = core.leaderReads.waiting + core.forwardedReads.waiting;
  if (waiting >= core.config.readsWaitingMax) {
    throw new AetherError("too_many_requests", `${waiting} reads wait to be confirmed`);
  }
  if (core.role === "leader") core.leaderReads.add(id);
  else if (core.leader !== NOBODY) core.forwardedReads.add(id);
  else throw new AetherError("no_leader");
}

/**
 * The index a read must wait for, if it needs no message: when we alone are the quorum, or hold
 * a lease at `nowMs` (monotonic, taken now, not remembered). NO_INDEX otherwise.
 */
export function readNow(core: Core, nowMs: number): number {
  if (!hasCommittedInTerm(core)) return NO_INDEX;
  if (core.tracker.isAlone) return core.log.committed;
  if (core.config.lease === undefined || core.leaseGivenUp) return NO_INDEX;
  const age = nowMs - core.leaderReads.confirmedMs;
  return nowMs >= core.nowMs && age < leaseMs(core.config) ? core.log.committed : NO_INDEX;
}

/** A follower's question. */
export function stepReadIndex(core: Core, message: MessageOf<"read-index">): void {
  if (core.tracker.get(message.from) === undefined) {
    drop(core, "unknown-sender");
    return;
  }
  if (core.leaderReads.waiting >= core.config.readsWaitingMax) {
    drop(core, "too-many");
    return;
  }
  core.leaderReads.addRemote({ from: message.from, sequence: message.sequence });
}

/** The leader's answer to our question. */
export function stepReadIndexResponse(core: Core, message: MessageOf<"read-index-response">): void {
  if (message.from !== core.leader) {
    drop(core, "not-the-leader");
    return;
  }
  const ids = core.forwardedReads.answer(message.sequence);
  if (ids === undefined) {
    drop(core, "stale");
    return;
  }
  for (const id of ids) core.grants.push({ id, index: message.index });
}

/** Starts what waits to be started: a round as leader, a question as follower. */
export function flushReads(core: Core): void {
  if (core.role === "leader") {
    if (core.leaderReads.wantsRound && hasCommittedInTerm(core)) startRound(core);
  } else if (core.forwardedReads.wantsBatch && core.leader !== NOBODY) {
    sendNow(core, {
      type: "read-index",
      from: core.id,
      to: core.leader,
      term: core.term,
      sequence: core.forwardedReads.start(),
    });
  }
}

/** Grants every read whose round a quorum has answered. */
export function confirmReads(core: Core): void {
  const { leaderReads, tracker } = core;
  if (tracker.self !== undefined) tracker.self.round = leaderReads.round;
  for (const round of leaderReads.confirm(tracker.quorumRound())) grant(core, round);
}

function startRound(core: Core): void {
  core.leaderReads.start(core.log.committed, core.nowMs);
  if (core.tracker.isAlone) confirmReads(core);
  else broadcastHeartbeat(core);
}

function grant(core: Core, round: ReadRound): void {
  for (const id of round.ids) core.grants.push({ id, index: round.index });
  for (const { from, sequence } of round.remote) {
    sendNow(core, {
      type: "read-index-response",
      from: core.id,
      to: from,
      term: core.term,
      sequence,
      index: round.index,
    });
  }
}
