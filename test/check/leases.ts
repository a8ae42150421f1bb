/**
 * Leases as their clients see them, on the clients' clock:
 *
 *   T1  a lease lives at least its TTL from when the last renewal that was answered was sent (or
 *       its grant): nobody sees it, or a key of it, gone before
 *   T2  nobody who asks after it was seen gone is told that it was renewed
 *   T3  it is granted for the time that was asked for, or longer
 *
 * Where an outcome is unknown the server gets the benefit of the doubt: a renewal without an answer
 * promises nothing, a revocation without one may have been the end. Of a lease whose id was granted
 * twice nothing is said.
 */
import type { Call, History } from "./history.ts";
import type { Committed } from "./linearizable.ts";
import { expiryOf } from "./problem.ts";

interface Lease {
  readonly id: string;
  grants: number;
  /** When the answer to its grant came; infinity if none did. */
  grantedAt: number;
  /** Times until which it must live, each with who was told so and when they asked. */
  readonly promises: { readonly until: number; readonly called: number; readonly by: string }[];
  /** When it was seen gone, and by whom. */
  readonly sightings: { readonly at: number; readonly by: string }[];
  /** When the first revocation was sent that may have happened. */
  revokedFrom: number;
}

const MS_PER_S = 1000;

/** Complaints; `committed` is what checkLinearizable() found. */
export function checkLeases(
  history: Pick<History, "calls">,
  committed: readonly Committed[],
): string[] {
  const complaints: string[] = [];
  for (const lease of leasesOf(history, committed)) {
    if (lease.grants !== 1) continue;
    const first = lease.sightings.reduce((a, b) => (b.at < a.at ? b : a), NEVER);
    for (const { until, called, by } of lease.promises) {
      if (called > first.at) {
        complaints.push(`lease ${lease.id}: T2: ${by} renewed it, ${first.by} had seen it gone`);
      } else if (until > first.at && lease.revokedFrom > first.at) {
        const early = (until - first.at).toFixed(1);
        complaints.push(
          `lease ${lease.id}: T1: ${first.by} saw it gone ${early} ms before ${by} allows`,
        );
      }
    }
  }
  return [...complaints, ...shortGrants(history)];
}

const NEVER = { at: Number.POSITIVE_INFINITY, by: "" };

function leasesOf(
  { calls }: Pick<History, "calls">,
  committed: readonly Committed[],
): Iterable<Lease> {
  const leases = new Map<string, Lease>();
  for (const call of calls) noteGrant(leases, call);
  for (const call of calls) noteUse(leases, call);
  for (const { cause, seenAt, revision } of committed) {
    for (const lease of leases.values()) {
      if (cause !== expiryOf(lease.id)) continue;
      lease.sightings.push({ at: seenAt, by: `whoever saw revision ${revision}` });
    }
  }
  return leases.values();
}

function noteGrant(leases: Map<string, Lease>, { request, outcome, call, id: by }: Call): void {
  if (request.kind !== "grant" || outcome.kind === "refused") return;
  const answer = outcome.kind === "answered" ? outcome.answer : undefined;
  const { id, ttlSeconds } = answer?.kind === "grant" ? answer : request;
  const grantedAt = outcome.kind === "answered" ? outcome.at : Number.POSITIVE_INFINITY;
  const until = call + ttlSeconds * MS_PER_S;
  const known = leases.get(id);
  if (known !== undefined) {
    known.grants++;
    return;
  }
  leases.set(id, {
    id,
    grants: 1,
    grantedAt,
    promises: [{ until, called: call, by }],
    sightings: [],
    revokedFrom: Number.POSITIVE_INFINITY,
  });
}

function noteUse(leases: Map<string, Lease>, { request, outcome, call, id: by }: Call): void {
  const lease = leases.get(leaseNamedBy(request));
  if (lease === undefined) return;
  const isRefused = outcome.kind === "refused" && outcome.code === "lease_not_found";
  if (request.kind === "revoke" && outcome.kind !== "refused") {
    lease.revokedFrom = Math.min(lease.revokedFrom, call);
  }
  if (outcome.kind === "unknown") return;
  const { at } = outcome;
  const answer = outcome.kind === "answered" ? outcome.answer : undefined;
  const left = answer?.kind === "renew" || answer?.kind === "life" ? answer.ttlSeconds : 1;
  const isGone =
    isRefused || left <= (answer?.kind === "life" ? -1 : 0) || answer?.kind === "revoke";
  if (isGone && call >= lease.grantedAt) lease.sightings.push({ at, by });
  if (answer?.kind === "renew" && left > 0) {
    lease.promises.push({ until: call + left * MS_PER_S, called: call, by });
  }
}

function leaseNamedBy(request: Call["request"]): string {
  if (request.kind === "put") return request.lease ?? "0";
  const isOfLease =
    request.kind === "revoke" || request.kind === "renew" || request.kind === "life";
  return isOfLease ? request.id : "0";
}

function shortGrants({ calls }: Pick<History, "calls">): string[] {
  return calls.flatMap(({ request, outcome, id }) => {
    if (request.kind !== "grant" || outcome.kind !== "answered") return [];
    const { answer } = outcome;
    if (answer.kind !== "grant" || answer.ttlSeconds >= request.ttlSeconds) return [];
    return [`lease ${answer.id}: T3: ${id} asked for ${request.ttlSeconds} s`];
  });
}
