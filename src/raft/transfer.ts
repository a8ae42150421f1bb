/**
 * Handing leadership over (thesis §3.10): stop taking proposals, bring the target's log level
 * with ours, tell it to campaign at once. If it has not taken over within an election timeout,
 * go on leading.
 */
import { AetherError } from "../base/errors.ts";
import { type Core, drop, sendNow } from "./core.ts";
import { isVoter } from "./membership/configuration.ts";
import type { MessageOf } from "./message.ts";
import { sendAppend } from "./replication.ts";
import { type MemberId, NOBODY } from "./types.ts";

/**
 * Wishes that `target` should lead, here or by asking the leader. Throws AetherError "no_leader",
 * or "invalid_argument" when the target is no voter.
 */
export function requestTransfer(core: Core, target: MemberId): void {
  if (!isVoter(core.tracker.configuration, target)) {
    throw new AetherError("invalid_argument", `member ${target} does not vote`);
  }
  if (core.role === "leader") {
    beginTransfer(core, target);
    return;
  }
  if (core.leader === NOBODY) throw new AetherError("no_leader");
  const { id: from, term, leader: to } = core;
  sendNow(core, { type: "transfer", from, to, term, target });
}

/** A follower passes the wish on. */
export function stepTransfer(core: Core, message: MessageOf<"transfer">): void {
  if (core.tracker.get(message.from) === undefined) {
    drop(core, "unknown-sender");
    return;
  }
  if (!isVoter(core.tracker.configuration, message.target)) {
    drop(core, "not-a-member");
    return;
  }
  beginTransfer(core, message.target);
}

/** Tells the transferee to campaign if its log is level with ours. */
export function tellToCampaign(core: Core): void {
  const target = core.tracker.get(core.transferee);
  if (target === undefined || target.match < core.log.lastIndex) return;
  // It may campaign at any time from now, however late the message: our lease is worth nothing.
  core.leaseGivenUp = true;
  sendNow(core, { type: "timeout-now", from: core.id, to: target.id, term: core.term });
}

/** Goes on leading. */
export function abortTransfer(core: Core): void {
  core.transferee = NOBODY;
}

function beginTransfer(core: Core, target: MemberId): void {
  if (target === core.id) {
    abortTransfer(core);
    return;
  }
  if (target === core.transferee) return;
  const peer = core.tracker.get(target);
  if (peer === undefined) return;
  core.transferee = target;
  core.electionElapsed = 0;
  if (peer.match === core.log.lastIndex) tellToCampaign(core);
  else sendAppend(core, peer, "probe");
}
