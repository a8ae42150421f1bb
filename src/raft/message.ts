/**
 * What members say to each other: one shape for each kind of message, all of them plain data that
 * the peer codec can carry. `term` is the sender's term, but for a pre-vote, which asks about the
 * term after it, and for its granting answer, which repeats that (thesis §9.6).
 *
 * A message may be lost, repeated, delayed or reordered; none needs an answer to be safe. A
 * received one is checked by validate.ts before anything believes it.
 */
import type { Entry, MemberId, SnapshotMeta } from "./types.ts";

interface Envelope {
  readonly from: MemberId;
  readonly to: MemberId;
  readonly term: number;
}

/** Entries after (prevIndex, prevTerm), or none, to tell the commit index (paper §5.3). */
export interface AppendMessage extends Envelope {
  readonly type: "append";
  readonly prevIndex: number;
  readonly prevTerm: number;
  readonly commit: number;
  readonly entries: readonly Entry[];
}

/** The follower's log agrees, durably, up to `index`; or see AppendRejection. */
export interface AppendResponseMessage extends Envelope {
  readonly type: "append-response";
  readonly index: number;
  /** The sender's commit index; its hard state is durable when this leaves. */
  readonly commit: number;
  /** Set when the append did not fit; then `index` repeats its prevIndex. */
  readonly rejection: AppendRejection | undefined;
}

/** The last place at or before the rejected prevIndex where the logs may agree (paper §5.3). */
export interface AppendRejection {
  readonly hintIndex: number;
  readonly hintTerm: number;
}

/** The leader lives. `commit` is never past what the receiver has acknowledged. */
export interface HeartbeatMessage extends Envelope {
  readonly type: "heartbeat";
  readonly commit: number;
  /** The newest read round of this leader (thesis §6.4); the answer repeats it. */
  readonly round: number;
}

export interface HeartbeatResponseMessage extends Envelope {
  readonly type: "heartbeat-response";
  readonly round: number;
}

/** Asks for a vote (`vote`), or whether one would be given (`pre-vote`). */
export interface VoteMessage extends Envelope {
  readonly type: "vote" | "pre-vote";
  readonly lastIndex: number;
  readonly lastTerm: number;
  /** The leader itself asked for this election: a live leader is no reason to refuse (§3.10). */
  readonly force: boolean;
}

export interface VoteResponseMessage extends Envelope {
  readonly type: "vote-response" | "pre-vote-response";
  readonly granted: boolean;
}

/**
 * The receiver needs the state, not the log. The sender's driver replaces `meta` by that of the
 * copy it really sends (any snapshotAt() not older); the receiver's driver steps this message
 * when the whole copy lies, checked, beside its state.
 */
export interface SnapshotMessage extends Envelope {
  readonly type: "snapshot";
  readonly meta: SnapshotMeta;
}

/** The leader hands over: campaign now, without waiting for the election timeout (§3.10). */
export interface TimeoutNowMessage extends Envelope {
  readonly type: "timeout-now";
}

/** A follower passes on the wish that `target` should lead. */
export interface TransferMessage extends Envelope {
  readonly type: "transfer";
  readonly target: MemberId;
}

/** A follower asks for a read index for every read that waits there (thesis §6.4). */
export interface ReadIndexMessage extends Envelope {
  readonly type: "read-index";
  /** Fresh for each attempt; the answer repeats it. */
  readonly sequence: number;
}

export interface ReadIndexResponseMessage extends Envelope {
  readonly type: "read-index-response";
  readonly sequence: number;
  readonly index: number;
}

export type Message =
  | AppendMessage
  | AppendResponseMessage
  | HeartbeatMessage
  | HeartbeatResponseMessage
  | VoteMessage
  | VoteResponseMessage
  | SnapshotMessage
  | TimeoutNowMessage
  | TransferMessage
  | ReadIndexMessage
  | ReadIndexResponseMessage;

export type MessageType = Message["type"];

/** The shape of the messages of type T. */
export type MessageOf<T extends MessageType, M = Message> = M extends { readonly type: infer U }
  ? [T & U] extends [never]
    ? never
    : M
  : never;

/** Every type, in the order of the handler table's columns. */
export const MESSAGE_TYPES = [
  "append",
  "append-response",
  "heartbeat",
  "heartbeat-response",
  "vote",
  "vote-response",
  "pre-vote",
  "pre-vote-response",
  "snapshot",
  "timeout-now",
  "transfer",
  "read-index",
  "read-index-response",
] as const satisfies readonly MessageType[];

/** Why a received message was dropped; each reason is counted. */
export type DropReason =
  | "malformed" // a field out of range, entries not in sequence
  | "wrong-recipient" // meant for another member, or from ourselves
  | "unknown-sender" // an answer from someone who is not in our configuration
  | "stale-term" // the sender's term is over
  | "sticky-leader" // a vote asked while we hear a leader (thesis §4.2.3)
  | "unexpected" // no handler for this type in this role
  | "second-leader" // two leaders of one term: one of them lies
  | "past-log" // acknowledges or commits entries that do not exist
  | "not-the-leader" // only the leader of our term may say this
  | "stale" // answers a question that is no longer open
  | "not-a-member" // a snapshot of a configuration without us
  | "too-many"; // over a bound
