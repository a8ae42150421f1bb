/**
 * What a message's term says before its content is looked at (paper §5.1; thesis §4.2.3, §9.6).
 * Either the message is of our term afterwards, or it has been dealt with here.
 */
import { type Core, drop, sendAfterSync } from "./core.ts";
import type { Message, VoteMessage } from "./message.ts";
import { becomeFollower } from "./role.ts";
import { type MemberId, NOBODY } from "./types.ts";

/** Whether the message goes on to its handler. */
export function admitTerm(core: Core, message: Message): boolean {
  if (isVoteRequest(message) && isLoyal(core) && !message.force && message.term > core.term) {
    drop(core, "sticky-leader");
    return false;
  }
  if (message.term > core.term) return admitNewer(core, message);
  if (message.term < core.term) {
    answerOlder(core, message);
    return false;
  }
  return true;
}

/** We hear a leader, or may have heard one before a restart: no reason for a new one. */
function isLoyal(core: Core): boolean {
  if (!core.config.checkQuorum) return false;
  if (core.voteEmbargoTicks > 0) return true;
  return core.leader !== NOBODY && core.electionElapsed < core.config.electionTicks;
}

function admitNewer(core: Core, message: Message): boolean {
  // A pre-vote, asked or granted, speaks of a term that has not begun.
  if (message.type === "pre-vote") return true;
  if (message.type === "pre-vote-response" && message.granted) return true;
  becomeFollower(core, message.term, leaderIn(message));
  return true;
}

/** Only a leader sends these, so the sender leads its term. */
function leaderIn(message: Message): MemberId {
  const { type, from } = message;
  return type === "append" || type === "heartbeat" || type === "snapshot" ? from : NOBODY;
}

/**
 * An older term is over. Its candidates find out by themselves, but its leader must be told
 * (paper §5.1): a member at a higher term than its leader is not heard where voters are loyal or
 * ask first, and a learner does not even speak; it would ignore its leader for ever.
 */
function answerOlder(core: Core, message: Message): void {
  const { type, from } = message;
  if (type === "pre-vote") {
    // A candidate from before pre-votes were turned on may have raised the term with an old log.
    sendAfterSync(core, {
      type: "pre-vote-response",
      from: core.id,
      to: from,
      term: core.term,
      granted: false,
    });
  } else if (leaderIn(message) !== NOBODY) {
    sendAfterSync(core, {
      type: "append-response",
      from: core.id,
      to: from,
      term: core.term,
      index: 0,
      commit: core.log.committed,
      rejection: undefined,
    });
  }
  drop(core, "stale-term");
}

function isVoteRequest(message: Message): message is VoteMessage {
  return message.type === "vote" || message.type === "pre-vote";
}
