/** Messages as one line each, for the stories of scenarios/*.txt and for failures. */
import { configurationText } from "../../src/raft/membership/configuration.ts";
import type { Message } from "../../src/raft/message.ts";
import type { Entry } from "../../src/raft/types.ts";

/** `1>2 append term=3 after 4/2 [5/3 "x"] commit=4`. */
export function messageText(message: Message): string {
  return `${message.from}>${message.to} ${message.type} term=${message.term}${bodyText(message)}`;
}

/** `[5/3 "x" 6/3 noop]`: index, term and what is in it. */
export function entriesText(entries: readonly Entry[]): string {
  return `[${entries.map(entryText).join(" ")}]`;
}

function entryText(entry: Entry): string {
  const { index, term, kind, payload } = entry;
  if (kind !== "normal") return `${index}/${term} ${kind}`;
  const text = Buffer.from(payload).toString();
  return `${index}/${term} "${text.length > 8 ? `${text.slice(0, 8)}…` : text}"`;
}

function bodyText(message: Message): string {
  switch (message.type) {
    case "append": {
      const { prevIndex, prevTerm, entries, commit } = message;
      return ` after ${prevIndex}/${prevTerm} ${entriesText(entries)} commit=${commit}`;
    }
    case "append-response": {
      const { index, rejection } = message;
      if (rejection === undefined) return ` index=${index}`;
      return ` rejects ${index} hint=${rejection.hintIndex}/${rejection.hintTerm}`;
    }
    case "heartbeat":
      return ` commit=${message.commit} round=${message.round}`;
    case "heartbeat-response":
      return ` round=${message.round}`;
    case "vote":
    case "pre-vote": {
      const { lastIndex, lastTerm, force } = message;
      return ` last=${lastIndex}/${lastTerm}${force ? " force" : ""}`;
    }
    case "vote-response":
    case "pre-vote-response":
      return message.granted ? " granted" : " refused";
    case "snapshot": {
      const { index, term, configuration } = message.meta;
      return ` at ${index}/${term} ${configurationText(configuration)}`;
    }
    case "transfer":
      return ` to ${message.target}`;
    case "read-index":
      return "";
    case "read-index-response":
      return ` index=${message.index}`;
    case "timeout-now":
      return "";
  }
}
