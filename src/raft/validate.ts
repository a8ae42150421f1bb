/**
 * The shape of a received message: every field in its range, entries in sequence. After this,
 * handlers only ask whether a message makes sense now. Nothing a peer sends may crash a member,
 * so handlers drop what does not, with a counted reason; only our own mistakes assert.
 */
import { faultOf } from "./membership/configuration.ts";
import type { AppendMessage, DropReason, Message } from "./message.ts";
import {
  COUNTER_MAX,
  type Configuration,
  type Entry,
  type MemberId,
  NOBODY,
  type SnapshotMeta,
} from "./types.ts";

/** Why a message must be dropped before it is looked at, or undefined. */
export function faultInMessage(
  message: Message,
  self: MemberId,
  isSoundEntry: (entry: Entry) => boolean,
): DropReason | undefined {
  if (message.to !== self || message.from === self) return "wrong-recipient";
  if (!isId(message.from) || !isCounter(message.term)) return "malformed";
  if (!hasSoundBody(message)) return "malformed";
  return message.type !== "append" || message.entries.every(isSoundEntry) ? undefined : "malformed";
}

/** A term, an index or a count that nothing here can overflow. */
function isCounter(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0 && value < COUNTER_MAX;
}

function isId(id: MemberId): boolean {
  return typeof id === "bigint" && id > NOBODY && id < 1n << 64n;
}

function hasSoundBody(message: Message): boolean {
  switch (message.type) {
    case "append":
      return isSoundAppend(message);
    case "append-response":
      if (!isCounter(message.index) || !isCounter(message.commit)) return false;
      return isSoundRejection(message.rejection);
    case "heartbeat":
      return isCounter(message.commit) && isCounter(message.round);
    case "heartbeat-response":
      return isCounter(message.round);
    case "vote":
    case "pre-vote":
      return isCounter(message.lastIndex) && isCounter(message.lastTerm);
    case "snapshot":
      return isSoundMeta(message.meta) && message.meta.term <= message.term;
    case "transfer":
      return isId(message.target);
    case "read-index":
      return Number.isSafeInteger(message.sequence);
    case "read-index-response":
      return Number.isSafeInteger(message.sequence) && isCounter(message.index);
    case "vote-response":
    case "pre-vote-response":
    case "timeout-now":
      return true;
    default:
      return false; // a type from a future version, or from nowhere
  }
}

function isSoundRejection(
  rejection: { readonly hintIndex: number; readonly hintTerm: number } | undefined,
): boolean {
  return (
    rejection === undefined || (isCounter(rejection.hintIndex) && isCounter(rejection.hintTerm))
  );
}

/** Entries follow prevIndex without a gap; terms never fall and never pass the leader's. */
function isSoundAppend(message: AppendMessage): boolean {
  if (!isCounter(message.prevIndex) || !isCounter(message.prevTerm)) return false;
  if (!isCounter(message.commit) || !Array.isArray(message.entries)) return false;
  let index = message.prevIndex;
  let term = message.prevTerm;
  for (const entry of message.entries) {
    index++;
    if (!isWholeEntry(entry) || entry.index !== index || entry.term < term) return false;
    term = entry.term;
  }
  return term <= message.term && index < COUNTER_MAX;
}

function isWholeEntry(entry: Entry): boolean {
  if (!isCounter(entry.index) || !isCounter(entry.term) || entry.term === 0) return false;
  if (!(entry.payload instanceof Uint8Array)) return false;
  return entry.kind === "normal" || entry.kind === "config" || entry.kind === "noop";
}

function isSoundMeta(meta: SnapshotMeta): boolean {
  if (!isCounter(meta.index) || !isCounter(meta.term) || meta.index === 0) return false;
  return isSoundConfiguration(meta.configuration);
}

function isSoundConfiguration(configuration: Configuration): boolean {
  const { voters, votersOutgoing, learners, learnersNext } = configuration;
  for (const ids of [voters, votersOutgoing, learners, learnersNext]) {
    if (!Array.isArray(ids) || !ids.every(isId)) return false;
  }
  return voters.length > 0 && faultOf(configuration) === undefined;
}
