/**
 * What a leader does with its members' answers (paper §5.3; thesis §6.4, §10.2).
 */
import { type Core, drop } from "./core.ts";
import type { MessageOf } from "./message.ts";
import type { Progress } from "./progress/progress.ts";
import { confirmReads } from "./read-index.ts";
import { maybeCommit, sendAppend } from "./replication.ts";
import { maybeRetire } from "./retire.ts";
import { tellToCampaign } from "./transfer.ts";

export function stepAppendResponse(core: Core, message: MessageOf<"append-response">): void {
  const peer = core.tracker.get(message.from);
  if (peer === undefined) {
    drop(core, "unknown-sender");
    return;
  }
  peer.recentActive = true;
  if (message.commit > peer.knownCommit) peer.knownCommit = message.commit;
  if (message.rejection !== undefined) {
    stepRejection(core, peer, message);
    return;
  }
  if (message.index > core.log.lastIndex) {
    drop(core, "past-log");
    return;
  }
  const moved = peer.acknowledge(message.index);
  if (moved || (peer.state === "probe" && message.index === peer.match)) {
    moveOn(core, peer);
    maybeCommit(core);
    core.dirty = true;
    if (core.transferee === peer.id) tellToCampaign(core);
  }
  maybeRetire(core);
}

/** The peer lives; what we sent before may be lost, so remind it where its log should end. */
export function stepHeartbeatResponse(core: Core, message: MessageOf<"heartbeat-response">): void {
  const peer = core.tracker.get(message.from);
  if (peer === undefined) {
    drop(core, "unknown-sender");
    return;
  }
  if (message.round > core.leaderReads.round) {
    drop(core, "past-log");
    return;
  }
  peer.recentActive = true;
  peer.probeSent = false;
  const behind = peer.match < core.log.lastIndex || peer.knownCommit < core.retireIndex;
  if (behind || peer.state === "probe") sendAppend(core, peer, "probe");
  if (message.round <= peer.round) return;
  peer.round = message.round;
  confirmReads(core);
}

/** The transport lost a peer: what is in flight is probably lost, so go back to probing. */
export function peerUnreachable(peer: Progress): void {
  if (peer.state === "replicate") peer.becomeProbe();
}

/**
 * A snapshot's journey ended. Arrived: probe after it, and wait for the answer to that; failed:
 * the next heartbeat's answer starts another.
 */
export function snapshotEnded(peer: Progress, arrived: boolean): void {
  if (peer.state !== "snapshot") return;
  if (!arrived) peer.pendingSnapshot = 0;
  peer.becomeProbe();
  peer.probeSent = true;
}

/** Where the logs part is before the rejected index; skip whole terms to find it. */
function stepRejection(core: Core, peer: Progress, message: MessageOf<"append-response">): void {
  const { rejection } = message;
  if (rejection === undefined) return;
  let hint = rejection.hintIndex;
  if (rejection.hintTerm > 0) {
    hint = core.log.lastIndexWithin(rejection.hintIndex, rejection.hintTerm).index;
  }
  if (!peer.reject(message.index, hint)) return;
  if (peer.state === "replicate") peer.becomeProbe();
  core.dirty = true;
}

/** An acknowledgement ends guessing, and a snapshot's silence once the log reaches that far. */
function moveOn(core: Core, peer: Progress): void {
  if (peer.state === "probe") peer.becomeReplicate();
  else if (peer.state === "replicate") peer.inflights.freeTo(peer.match);
  else if (peer.match + 1 >= core.log.firstIndex) peer.becomeReplicate();
}
