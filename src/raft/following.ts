/**
 * What a member does for its leader: take entries, heartbeats and snapshots (paper §5.3, §7).
 * The answers are promises about the disk, so they leave after it.
 */
import { type Core, drop, sendAfterSync, sendNow } from "./core.ts";
import { isMember } from "./membership/configuration.ts";
import type { AppendRejection, MessageOf } from "./message.ts";
import { adoptSnapshotConfiguration } from "./reconfigure.ts";
import { followLeader } from "./role.ts";
import { type MemberId, NOBODY } from "./types.ts";

export function stepAppend(core: Core, message: MessageOf<"append">): void {
  if (!acceptLeader(core, message.from)) return;
  const { log } = core;
  const { prevIndex, prevTerm, entries } = message;
  if (prevIndex < log.committed) {
    // Late, or from before our log begins: what is committed agrees anyway.
    answer(core, message.from, log.committed, undefined);
    return;
  }
  if (!log.tryAppend(prevIndex, prevTerm, entries)) {
    const hint = log.lastIndexWithin(prevIndex, prevTerm);
    const rejection = { hintIndex: hint.index, hintTerm: hint.term };
    answer(core, message.from, prevIndex, rejection);
    return;
  }
  const last = prevIndex + entries.length;
  log.commitTo(Math.min(message.commit, last));
  answer(core, message.from, last, undefined);
}

export function stepHeartbeat(core: Core, message: MessageOf<"heartbeat">): void {
  if (!acceptLeader(core, message.from)) return;
  if (message.commit > core.log.lastIndex) {
    drop(core, "past-log");
    return;
  }
  core.log.commitTo(message.commit);
  sendNow(core, {
    type: "heartbeat-response",
    from: core.id,
    to: message.from,
    term: core.term,
    round: message.round,
  });
}

/** The state up to meta.index has arrived whole; takes it unless we are that far ourselves. */
export function stepSnapshot(core: Core, message: MessageOf<"snapshot">): void {
  if (!acceptLeader(core, message.from)) return;
  const { log } = core;
  const { meta } = message;
  if (meta.index <= log.committed) {
    answer(core, message.from, log.committed, undefined);
    return;
  }
  if (!isMember(meta.configuration, core.id)) {
    drop(core, "not-a-member");
    return;
  }
  if (log.term(meta.index) === meta.term) {
    // Our log already agrees up to there: no need to throw away what comes after it.
    log.commitTo(meta.index);
    answer(core, message.from, meta.index, undefined);
    return;
  }
  log.install(meta);
  adoptSnapshotConfiguration(core, meta);
  answer(core, message.from, meta.index, undefined);
}

/** A leader of our term spoke; false if it cannot be one. */
function acceptLeader(core: Core, from: MemberId): boolean {
  if (core.leader !== NOBODY && core.leader !== from) {
    drop(core, "second-leader");
    return false;
  }
  followLeader(core, from);
  return true;
}

function answer(
  core: Core,
  to: MemberId,
  index: number,
  rejection: AppendRejection | undefined,
): void {
  sendAfterSync(core, {
    type: "append-response",
    from: core.id,
    to,
    term: core.term,
    index,
    commit: core.log.committed,
    rejection,
  });
}
