/**
 * The passing of time: one message among others. A driver that was paused ticks once, late, and
 * not for all it missed: a member that slept must not believe it has waited.
 */
import type { Core } from "./core.ts";
import { campaign } from "./election.ts";
import { broadcastHeartbeat } from "./replication.ts";
import { becomeFollower } from "./role.ts";
import { abortTransfer } from "./transfer.ts";
import { NOBODY } from "./types.ts";

/** One tick; `nowMs` is monotonic and matters only for leases. */
export function tick(core: Core, nowMs: number): void {
  if (nowMs > core.nowMs) core.nowMs = nowMs;
  if (core.voteEmbargoTicks > 0) core.voteEmbargoTicks--;
  if (core.role === "leader") tickLeader(core);
  else tickFollower(core);
}

function tickFollower(core: Core): void {
  core.electionElapsed++;
  // A refused campaign is tried again at the next tick: the patience with the leader is over.
  if (core.electionElapsed >= core.electionTimeout && campaign(core, "timeout")) return;
  if (core.forwardedReads.tick(core.config.heartbeatTicks + 1)) core.forwardedReads.retry();
}

function tickLeader(core: Core): void {
  core.heartbeatElapsed++;
  core.electionElapsed++;
  if (core.electionElapsed >= core.config.electionTicks) {
    core.electionElapsed = 0;
    if (core.config.checkQuorum && !core.tracker.quorumActive()) {
      becomeFollower(core, core.term, NOBODY);
      return;
    }
    core.tracker.forgetActivity();
    abortTransfer(core);
  }
  if (core.heartbeatElapsed < core.config.heartbeatTicks) return;
  core.heartbeatElapsed = 0;
  if (core.config.lease !== undefined) core.leaderReads.beat(core.nowMs);
  broadcastHeartbeat(core);
}
