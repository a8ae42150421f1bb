/**
 * A history as the search sees it: what must be put in order, what may have happened besides,
 * and what was seen of the past.
 *
 *   must   answered, or refused for a reason that the store's state gives
 *   may    without an answer; and the end of a lease by itself, which nobody asks for
 *   stale  serializable reads: states of the store at the revision they name, whenever it was
 *
 * Reads without an answer, and what was refused for other reasons, take no part.
 */

import type { Refused } from "./execute.ts";
import type { Call, History } from "./history.ts";
import {
  type Answer,
  isRefusal,
  operationsOf,
  type RangeRequest,
  type Request,
} from "./requests.ts";
import type { Identity } from "./store.ts";

export interface Must {
  readonly id: string;
  readonly client: string;
  readonly request: Request;
  readonly seen: Answer | Refused;
  readonly called: number;
  readonly returned: number;
  /** Of the answer's header. */
  readonly revision: number | undefined;
  /** Whether the answer's revision is this request's own, as far as the answer shows it. */
  readonly writes: "yes" | "no" | "maybe";
}

export interface May {
  readonly id: string;
  readonly client: string;
  readonly request: Request;
  readonly called: number;
  /** When it most likely happened, if it did: a guess that only orders what is tried. */
  readonly likely: number;
}

export function isMust(request: Must | May): request is Must {
  return "seen" in request;
}

export interface Problem {
  readonly musts: readonly Must[];
  readonly mays: readonly May[];
  readonly stales: readonly Must[];
  /** Every answer shows its revision: then revisions are the order. */
  readonly isExact: boolean;
  readonly identity: Identity;
  /** Part of a history that shows values alone, and requests of one key each. */
  readonly isOfOneKey: boolean;
  /** Every key that a request may write. */
  readonly keys: ReadonlySet<string>;
}

export function problemOf(history: Pick<History, "calls">): Problem {
  const musts: Must[] = [];
  const mays: May[] = [];
  const stales: Must[] = [];
  for (const call of history.calls) {
    const { kind } = call.request;
    if (kind === "renew" || kind === "life") continue;
    if (call.outcome.kind === "unknown") {
      if (canChange(call.request)) mays.push(mayOf(call));
      continue;
    }
    const must = mustOf(call);
    if (must === undefined) continue;
    if (kind === "range" && call.request.serializable === true) stales.push(must);
    else musts.push(must);
  }
  mays.push(...expiriesOf(musts, mays));
  const isExact = musts.every(({ seen, revision }) => {
    return revision !== undefined || seen.kind === "refused";
  });
  const keys = new Set<string>();
  for (const { request } of [...musts, ...mays]) {
    for (const operation of operationsOf(request)) {
      if (operation.kind === "put") keys.add(operation.key);
    }
  }
  const identity = identityOf([...musts, ...stales], mays);
  return { musts, mays, stales, isExact, identity, isOfOneKey: false, keys };
}

function mayOf({ id, client, request, call }: Call): May {
  return { id, client, request, called: call, likely: call };
}

function mustOf({ id, client, request, call, outcome }: Call): Must | undefined {
  const called = call;
  if (outcome.kind === "unknown") return undefined;
  const returned = outcome.at;
  if (outcome.kind === "refused") {
    const { code } = outcome;
    if (!isRefusal(code)) return undefined;
    const seen = { kind: "refused", code } as const;
    return { id, client, request, seen, called, returned, revision: undefined, writes: "no" };
  }
  const seen = outcome.answer;
  const revision = "revision" in seen ? seen.revision : undefined;
  const writes = writesOf(request, seen);
  return { id, client, request: granted(request, seen), seen, called, returned, revision, writes };
}

/** A grant under the id and the time that the server chose. */
function granted(request: Request, seen: Answer): Request {
  if (request.kind !== "grant" || seen.kind !== "grant") return request;
  return { ...request, id: seen.id, ttlSeconds: seen.ttlSeconds };
}

/** Whether a request may change anything. */
function canChange(request: Request): boolean {
  if (request.kind === "grant") return request.id !== "0"; // nobody can name what got no answer
  if (request.kind === "revoke" || request.kind === "compact") return true;
  return operationsOf(request).some(({ kind }) => kind !== "range");
}

function writesOf(request: Request, seen: Answer): Must["writes"] {
  if (request.kind === "revoke") return "maybe"; // if the lease had keys
  if (seen.kind === "put") return "yes";
  if (seen.kind === "delete") {
    if (seen.deleted === undefined) return "maybe";
    return seen.deleted > 0 ? "yes" : "no";
  }
  if (seen.kind !== "txn") return "no";
  const parts = seen.responses.map((response) => writesOf(request, response));
  if (parts.includes("yes")) return "yes";
  return parts.includes("maybe") ? "maybe" : "no";
}

/** The name of the end of a lease that nobody asked for. */
export function expiryOf(lease: string): string {
  return `expiry of lease ${lease}`;
}

/** Each lease may run out; whether it was too early is the matter of leases.ts. */
function expiriesOf(musts: readonly Must[], mays: readonly May[]): May[] {
  const expiries: May[] = [];
  for (const { request, called } of [...musts, ...mays]) {
    if (request.kind !== "grant") continue;
    const { id, ttlSeconds } = request;
    const revoke = { kind: "revoke", id } as const;
    const likely = called + ttlSeconds * 1000;
    expiries.push({ id: expiryOf(id), client: "", request: revoke, called, likely });
  }
  return expiries;
}

function identityOf(musts: readonly Must[], mays: readonly May[]): Identity {
  const requests = [...musts, ...mays].map(({ request }) => request);
  const isPast = (request: Request): boolean => {
    return operationsOf(request).some((one) => ((one as RangeRequest).revision ?? 0) > 0);
  };
  if (requests.some(isPast)) return "past";
  return requests.some(speaksOfRevisions) || musts.some(showsRevisions) ? "revisions" : "values";
}

function speaksOfRevisions(request: Request): boolean {
  if (request.kind !== "txn") return request.kind === "compact";
  return request.compare.some(({ target, number = 0 }) => target !== "value" && number > 0);
}

function showsRevisions({ seen, revision }: Must): boolean {
  if (revision !== undefined) return true;
  return /"(createRevision|modRevision|version)":/.test(JSON.stringify(seen));
}
