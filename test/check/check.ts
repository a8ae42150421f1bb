/** All checks of one history. */
import { checkFencing } from "./fencing.ts";
import type { History } from "./history.ts";
import { checkLeases } from "./leases.ts";
import { checkLinearizable, type LinearizableOptions, type Verdict } from "./linearizable.ts";
import { checkWatches } from "./watches.ts";

/** Complaints of each kind; a longer list has its count. */
const COMPLAINTS_MAX = 10;

/**
 * Complaints about a history, none if a right cluster can have given it. What watches saw helps to
 * find what requests without an answer did; if that cannot be, the answers are checked alone, to
 * tell whether they or the watches are wrong.
 */
export function checkHistory(history: History, options: LinearizableOptions = {}): string[] {
  const complaints = some(checkFencing(history));
  const together = checkLinearizable(history, options);
  if (together.kind === "linearizable") return [...complaints, ...checkRest(history, together)];
  const alone = checkLinearizable(history, { ...options, believesWatches: false });
  if (alone.kind !== "linearizable") return [...complaints, `${alone.kind}: ${alone.report}`];
  const rest = checkRest(history, alone);
  return [...complaints, ...rest, `with the watches, ${together.kind}: ${together.report}`];
}

type Order = Extract<Verdict, { kind: "linearizable" }>;

function checkRest(history: History, { committed }: Order): string[] {
  if (committed === undefined) return [];
  return [...some(checkWatches(history, committed)), ...some(checkLeases(history, committed))];
}

function some(complaints: readonly string[]): string[] {
  const more = complaints.length - COMPLAINTS_MAX;
  const shown = complaints.slice(0, COMPLAINTS_MAX);
  return more > 0 ? [...shown, `and ${more} more like these`] : shown;
}
