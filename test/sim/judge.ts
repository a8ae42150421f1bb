/**
 * Holds what the clients of a finished simulation were told against what a right cluster says. The
 * watches are held against the history that the members have, not against one that the answers
 * allow: a simulation knows what happened.
 */
import type { History } from "../check/history.ts";
import { checkLeases } from "../check/leases.ts";
import { type Committed, checkLinearizable } from "../check/linearizable.ts";
import type { KeyValue } from "../check/requests.ts";
import type { Change } from "../check/store.ts";
import { checkWatches } from "../check/watches.ts";
import { seenKv } from "./calls.ts";
import type { Chronicle } from "./chronicle.ts";
import { fail } from "./failure.ts";

const COMPLAINTS_MAX = 5;

/** Nothing is guessed. */
const KNOWN = { isCertain: true, hasOneCause: true } as const;

/** `clocksDiffer`: then leases are judged only by who knows by how much (leases.ts). */
export function judge(history: History, chronicle: Chronicle, clocksDiffer: boolean): void {
  const verdict = checkLinearizable(history);
  if (verdict.kind !== "linearizable") fail(`${verdict.kind}: ${verdict.report}`);
  const complaints = checkWatches(history, committedOf(chronicle));
  if (!clocksDiffer) complaints.push(...checkLeases(history, verdict.committed ?? []));
  if (complaints.length > 0) fail(complaints.slice(0, COMPLAINTS_MAX).join("\n  "));
}

/** The history as the checkers speak of it. */
function committedOf(chronicle: Chronicle): Committed[] {
  const live = new Map<string, KeyValue>();
  return chronicle.revisions().map(({ atMs: seenAt, rows }, at) => {
    const changes = rows.map(({ kv: bytes, tombstone }): Change => {
      const seen = seenKv(bytes);
      const before = live.get(seen.key);
      if (tombstone) live.delete(seen.key);
      else live.set(seen.key, seen);
      return { kv: seen, before };
    });
    return { revision: at + 2, changes, cause: "the log", seenAt, ...KNOWN };
  });
}
