/**
 * Overload is refused early: while more calls wait for consensus than are answered in good time
 * (node/call-limit.ts), a new one ends with RESOURCE_EXHAUSTED before anything is done for it, and
 * those that were taken are answered as fast as ever. Who has few calls under way is taken until
 * twice as many wait, so that one who floods is refused and his neighbours are not.
 *
 * Not refused: what makes room (deletes of leases, compactions), and what tells how things are.
 */
import { AetherError } from "../base/errors.ts";
import type { CallLoad } from "../node/requests.ts";
import { AetherKV, AetherLease } from "../proto/gen/aether.v1.ts";
import { KV, Lease } from "../proto/gen/etcdserverpb.ts";
import { Election } from "../proto/gen/v3electionpb.ts";
import { Lock } from "../proto/gen/v3lockpb.ts";
import type { ServerCall } from "../wire/grpc/server-call.ts";

/** Calls of one connection that nobody would call a flood: a busy client of one application. */
export const FEW_CALLS = 32;

/** What those with few calls may go beyond the limit. */
const ROOM_FOR_FEW = 2;

/** What waits for consensus, and so fails first; by path. */
export const REFUSED_WHEN_FULL: ReadonlySet<string> = new Set(
  [
    ...[KV.Range, KV.Put, KV.DeleteRange, KV.Txn, Lease.LeaseGrant, AetherLease.LeaseGrant],
    ...Object.values(AetherKV),
    ...Object.values(Lock),
    ...Object.values(Election),
  ].map(({ path }) => path),
);

export class Overload {
  /** Calls that were refused. */
  refusedCount = 0;
  /** Whose call it was the last time; "": nobody's. */
  refusedPeer = "";
  readonly #load: Pick<CallLoad, "waiting" | "limit">;

  constructor(load: Pick<CallLoad, "waiting" | "limit">) {
    this.#load = load;
  }

  /** Throws too_many_requests if this call should not be begun. */
  check(call: Pick<ServerCall, "siblings" | "peer">): void {
    const { waiting, limit } = this.#load;
    if (waiting < limit) return;
    if (call.siblings <= FEW_CALLS && waiting < ROOM_FOR_FEW * limit) return;
    this.refusedCount++;
    this.refusedPeer = call.peer;
    throw new AetherError("too_many_requests", `${waiting} calls wait, ${limit} are good`);
  }
}
