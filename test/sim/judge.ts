/**
 * Holds what the clients of a finished simulation were told against what a right cluster says. The
 * watches are held against the history that the members have, not against one that the answers
 * allow: a simulation knows what happened.
 */
import type { History, Watch, WatchSeen } from "../check/history.ts";
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
  const committed = committedOf(chronicle);
  // Who did what of that which nobody answered is known too, as if somebody had seen it all.
  const watches = [...history.watches, watchOf(committed)];
  const verdict = checkLinearizable({ ...history, watches });
  if (verdict.kind !== "linearizable") fail(`${verdict.kind}: ${verdict.report}`);
  const complaints = checkWatches(history, committed);
  if (!clocksDiffer) complaints.push(...checkLeases(history, verdict.committed ?? []));
  if (complaints.length > 0) fail(complaints.slice(0, COMPLAINTS_MAX).join("\n  "));
}

/** Somebody who was told of every change as soon as it was. */
function watchOf(committed: readonly Committed[]): Watch {
  const request = { key: "\0", end: "\0", startRevision: 1, prevKv: true, without: [] };
  const seen = committed.map(({ revision, seenAt: at, changes }): WatchSeen => {
    const events = changes.map(({ kv, before }) => {
      const type = kv.version === 0 ? ("delete" as const) : ("put" as const);
      return { type, kv, prevKv: before ?? null };
    });
    return { kind: "events", at, revision, events, fragment: false };
  });
  const created: WatchSeen = { kind: "created", at: 0, revision: 1 };
  return { id: "log", client: "log", request, seen: [created, ...seen] };
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
