/**
 * Whether a right store can have given these answers: strict serializability of the whole store,
 * with revisions, leases and transactions. Returned revisions order the writes, so that only
 * requests of unknown outcome are searched for; without them the search is general, key by key
 * where every request has one key.
 *
 * "gave-up" is no success: the history is suspicious, or too hard, and a test must fail on it.
 */
import { assert } from "../../src/base/assert.ts";
import type { Exact } from "./board.ts";
import { Evidence } from "./evidence.ts";
import type { Call, History, Watch } from "./history.ts";
import { isMust, type May, type Must, type Problem, problemOf } from "./problem.ts";
import { describeDeadEnd, describeIds } from "./report.ts";
import { type Operation, operationsOf } from "./requests.ts";
import { type Found, Search, type Step } from "./search.ts";
import type { Change } from "./store.ts";
import { Suspects } from "./suspects.ts";

/** A revision, what it changed in the order of its events, and whose it is. */
export interface Committed {
  readonly revision: number;
  readonly changes: readonly Change[];
  /** The id of a call, or expiryOf() a lease; "one of several" if that is all that is known. */
  readonly cause: string;
  /** When an answer or a watch first showed that it was there. */
  readonly seenAt: number;
  /** False if nobody saw what the revision changed: then it is one of several possibilities. */
  readonly isCertain: boolean;
}

export type Verdict =
  | {
      readonly kind: "linearizable";
      /** Every revision from 2 on; undefined if the answers show no revisions. */
      readonly committed: readonly Committed[] | undefined;
      readonly attempts: number;
    }
  | { readonly kind: "not-linearizable"; readonly report: string; readonly attempts: number }
  | { readonly kind: "gave-up"; readonly report: string; readonly attempts: number };

export interface LinearizableOptions {
  /** Requests to run before giving up: some seconds. */
  readonly attemptsMax?: number;
  /** Whether what watches saw is taken for true (watches.ts judges them). */
  readonly believesWatches?: boolean;
}

const ATTEMPTS_MAX = 2_000_000;

type Given = Pick<History, "calls" | "watches">;

export function checkLinearizable(given: Given, options: LinearizableOptions = {}): Verdict {
  const { attemptsMax = ATTEMPTS_MAX, believesWatches = true } = options;
  const history = believesWatches ? given : { ...given, watches: [] };
  const outcome = solve(history, attemptsMax);
  const { attempts } = outcome;
  if (outcome.found?.kind === "order") {
    const { exact, found } = outcome;
    const committed = exact === undefined ? undefined : committedOf(found, exact);
    return { kind: "linearizable", committed, attempts };
  }
  if (outcome.found?.kind === "gave-up") {
    const report = `gave up after ${attempts} attempts\n${outcome.report}`;
    return { kind: "gave-up", report, attempts };
  }
  const smallest = smallestReport(history, attemptsMax);
  // Two answers that contradict each other may say more than the moment at which they did.
  const isPair = outcome.found === undefined && !smallest.includes(outcome.report);
  const report = isPair ? `${outcome.report}\n${smallest}` : smallest;
  return { kind: "not-linearizable", report, attempts };
}

interface Solved {
  /** undefined if the answers do not show the revisions. */
  readonly exact?: Exact;
  /** undefined: contradictory without any search. */
  readonly found: Found | undefined;
  readonly report: string;
  readonly attempts: number;
}

function solve(history: Given, attemptsMax: number): Solved {
  const problem = problemOf(history);
  if (!problem.isExact) return solveParts(problem, attemptsMax);
  const evidence = new Evidence(problem, history.watches);
  const suspects = new Suspects(problem, evidence);
  const { contradiction } = suspects;
  if (contradiction !== undefined) {
    const report = `${contradiction.text}\n${describeIds(problem, contradiction.ids)}`;
    return { found: undefined, report, attempts: 0 };
  }
  const exact = { evidence, suspects };
  const search = new Search(problem, exact);
  const found = search.run(attemptsMax);
  return { exact, found, report: reportOf(found), attempts: search.attempts };
}

/** A key at a time, if each request has one; the first part that has no order decides. */
function solveParts(problem: Problem, attemptsMax: number): Solved {
  let attempts = 0;
  let found: Found | undefined;
  for (const part of partsOf(problem)) {
    const search = new Search(part, undefined);
    found = search.run(attemptsMax - attempts);
    attempts += search.attempts;
    if (found.kind !== "order") break;
  }
  assert(found !== undefined, "there is a part");
  return { found, report: reportOf(found), attempts };
}

function reportOf(found: Found): string {
  return found.kind === "order" ? "" : describeDeadEnd(found.deadEnd);
}

/** By key; one part with everything if a request has several, or speaks of revisions. */
function partsOf(problem: Problem): Problem[] {
  const { musts, mays } = problem;
  if (problem.identity !== "values" || musts.length + mays.length === 0) return [problem];
  const parts = new Map<string, { musts: Must[]; mays: May[] }>();
  for (const request of [...musts, ...mays]) {
    const key = onlyKeyOf(request);
    if (key === undefined) return [problem];
    const part = parts.get(key) ?? { musts: [], mays: [] };
    parts.set(key, part);
    if (isMust(request)) part.musts.push(request);
    else part.mays.push(request);
  }
  return [...parts].map(([key, part]) => {
    return { ...problem, ...part, stales: [], isOfOneKey: true, keys: new Set([key]) };
  });
}

function onlyKeyOf({ request }: Must | May): string | undefined {
  const isAlone = (operation: Operation): boolean => {
    if (operation.kind === "put") return (operation.lease ?? "0") === "0";
    return operation.end === undefined;
  };
  const operations = operationsOf(request);
  if (!operations.every(isAlone)) return undefined;
  const compared = request.kind === "txn" ? request.compare : [];
  const [key, ...more] = new Set([...operations, ...compared].map((one) => one.key));
  return more.length === 0 ? key : undefined;
}

function committedOf(
  { steps, store }: Extract<Found, { kind: "order" }>,
  { evidence, suspects }: Exact,
): Committed[] {
  const committed: Committed[] = [];
  for (let at = steps.length - 1; at >= 0; at--) {
    const { request, mark } = steps[at] as Step;
    const changes = store.changesSince(mark);
    store.undo(mark);
    if (changes.length === 0) continue;
    const revision = store.revision + 1;
    const hasOneCause = (suspects.of(revision)?.size ?? 1) === 1;
    const isCertain = evidence.isWhole(revision) || hasOneCause;
    const cause = hasOneCause ? request.id : "one of several";
    const seenAt = evidence.firstSeen(revision).at;
    committed.push({ revision, changes, cause, seenAt, isCertain });
  }
  return committed.reverse();
}

/**
 * The report of the shortest beginning of the history that has no order: its last answer is the
 * one that gave the lie away. (What begins a right history is right, so bisection finds it.)
 */
function smallestReport(history: Given, attemptsMax: number): string {
  const times = history.calls.flatMap(({ outcome }) => ("at" in outcome ? [outcome.at] : []));
  times.push(...history.watches.flatMap(({ seen }) => seen.map(({ at }) => at)));
  times.sort((a, b) => a - b);
  let low = 0; // times[high] is too much, all before times[low] is right
  let high = times.length - 1;
  const isWrong = (outcome: Solved): boolean => {
    return outcome.found === undefined || outcome.found.kind === "none";
  };
  while (low < high) {
    const middle = (low + high) >> 1;
    const until = truncated(history, times[middle] as number);
    if (isWrong(solve(until, attemptsMax))) high = middle;
    else low = middle + 1;
  }
  const until = truncated(history, times[high] as number);
  const count = until.calls.filter(({ outcome }) => outcome.kind !== "unknown").length;
  const { report } = solve(until, attemptsMax);
  return `no order explains the first ${count} answers of ${history.calls.length} calls\n${report}`;
}

/** The history as it was known at a time: what had no answer then may or may not have happened. */
function truncated(history: Given, until: number): Given {
  const calls: Call[] = [];
  for (const call of history.calls) {
    if (call.call > until) continue;
    const isOver = "at" in call.outcome && call.outcome.at <= until;
    calls.push(isOver ? call : { ...call, outcome: { kind: "unknown" } });
  }
  const watches = history.watches.map((watch): Watch => {
    return { ...watch, seen: watch.seen.filter(({ at }) => at <= until) };
  });
  return { calls, watches };
}
