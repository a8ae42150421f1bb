/**
 * Who does what with which message: role × type. A cell without a handler says so by `null`: the
 * message is honest but comes too late or to the wrong address, and is dropped and counted.
 */
import type { Core } from "./core.ts";
import { stepPreVoteResponse, stepTimeoutNow, stepVote, stepVoteResponse } from "./election.ts";
import { stepAppend, stepHeartbeat, stepSnapshot } from "./following.ts";
import { stepAppendResponse, stepHeartbeatResponse } from "./leading.ts";
import type { MessageOf, MessageType } from "./message.ts";
import { stepReadIndex, stepReadIndexResponse } from "./read-index.ts";
import { stepTransfer } from "./transfer.ts";
import type { Role } from "./types.ts";

type Row = { readonly [T in MessageType]: ((core: Core, message: MessageOf<T>) => void) | null };

/** What every member without leadership does: it may have a leader, or hear of one. */
const FOLLOWER: Row = {
  append: stepAppend,
  "append-response": null, // to the leader we were
  heartbeat: stepHeartbeat,
  "heartbeat-response": null,
  vote: stepVote,
  "vote-response": null, // to the candidate we were
  "pre-vote": stepVote,
  "pre-vote-response": null,
  snapshot: stepSnapshot,
  "timeout-now": stepTimeoutNow,
  transfer: null, // the sender's idea of the leader is old; it asks again
  "read-index": null,
  "read-index-response": stepReadIndexResponse,
};

export const HANDLERS: { readonly [R in Role]: Row } = {
  follower: FOLLOWER,
  "pre-candidate": {
    ...FOLLOWER,
    "pre-vote-response": stepPreVoteResponse,
    "timeout-now": null, // we stand already
    "read-index-response": null, // our reads were refused when we gave up the leader
  },
  candidate: {
    ...FOLLOWER,
    "vote-response": stepVoteResponse,
    "timeout-now": null,
    "read-index-response": null,
  },
  leader: {
    append: null, // of our own term: nobody else leads it
    "append-response": stepAppendResponse,
    heartbeat: null,
    "heartbeat-response": stepHeartbeatResponse,
    vote: stepVote,
    "vote-response": null, // the election is won
    "pre-vote": stepVote,
    "pre-vote-response": null,
    snapshot: null,
    "timeout-now": null,
    transfer: stepTransfer,
    "read-index": stepReadIndex,
    "read-index-response": null,
  },
};
