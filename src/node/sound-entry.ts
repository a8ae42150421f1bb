/**
 * Whether the state machine can apply an entry that another member sent. An entry that it cannot
 * would end this process when it is applied, and again at every start, since it is in the log then;
 * so it does not come into the log. Without it this member stands still, and says so: it waits for
 * a leader that makes no such entries, or for a newer program.
 */
import { asBuffer } from "../base/bytes.ts";
import { decodeChange } from "../raft/membership/codec.ts";
import type { Entry } from "../raft/types.ts";
import { isSoundBatch, isSoundChange } from "../state/command.ts";

export function isSoundEntry({ kind, payload }: Entry): boolean {
  switch (kind) {
    case "normal":
      return isSoundBatch(asBuffer(payload));
    case "config": {
      const context = decodeChange(payload)?.context; // no change at all changes nothing
      if (context === undefined || context.length === 0) return true;
      return isSoundChange(asBuffer(context));
    }
    case "noop":
      return true; // whatever is in it is not looked at
  }
}
