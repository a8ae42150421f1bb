/**
 * How a call ends whose proposal was not taken. Where members do not forward (cluster.forward is
 * off), a follower's client is told in a trailer where the leader is.
 */
import { AetherError } from "../base/errors.ts";
import type { Group } from "../node/group.ts";
import type { ServerCall } from "../wire/grpc/server-call.ts";
import { GrpcCode } from "../wire/grpc/status.ts";
import { fail } from "./answer.ts";

/** host:port of the leader, if it has told it. */
export const LEADER_TRAILER = "x-aether-leader";

/** Ends `call` with what propose() said. */
export function failProposal(
  call: ServerCall,
  group: Pick<Group, "leader" | "machine">,
  error: AetherError,
): void {
  if (error.code !== "not_leader") {
    fail(call, error);
    return;
  }
  if (group.leader === 0n) {
    fail(call, new AetherError("no_leader"));
    return;
  }
  const address = leaderAddress(group);
  const where = address === undefined ? "" : `; the leader is ${address}`;
  const message = `this member does not lead, and it does not forward${where}`;
  const trailers = address === undefined ? [] : [LEADER_TRAILER, address];
  call.fail(GrpcCode.UNAVAILABLE, message, trailers);
}

function leaderAddress({ leader, machine }: Pick<Group, "leader" | "machine">): string | undefined {
  const [url] = machine.member(leader)?.clientURLs ?? [];
  return url?.replace(/^[a-z]+:\/\//, "");
}
