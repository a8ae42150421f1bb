/**
 * Asks who the members of a cluster are, without being one: for a node that is to join, and for
 * founders that want to know whether their cluster exists already.
 */
import { ByteWriter } from "../../base/bytes.ts";
import { AetherError } from "../../base/errors.ts";
import type { Secret } from "../../base/secret.ts";
import {
  AetherPeer,
  type MembersPeerResponse,
  Lane as PeerLane,
} from "../../proto/gen/aether.v1.ts";
import { GrpcClientConnection } from "../../wire/grpc/client-connection.ts";
import { callPeer } from "./calls.ts";
import { clientOptions } from "./connection.ts";
import { helloFields } from "./hello.ts";
import type { PeerDialer } from "./ports.ts";
import { openSession } from "./session.ts";

/** Whom such a caller knows: nobody, not even itself. */
const NOBODY_KNOWN = { clusterId: 0n, from: 0n, to: 0n };

/**
 * Asks the member at `url`. Rejects with AetherError after at most `timeoutMs` for the connection
 * and as much for the answer: "unhealthy" if it cannot be reached or refuses, "timeout".
 */
export async function askMembers(
  dialer: PeerDialer,
  url: string,
  secret: Secret | undefined,
  timeoutMs: number,
): Promise<MembersPeerResponse> {
  let answer: Promise<MembersPeerResponse> | undefined;
  const connect = (nowMs: number): GrpcClientConnection => {
    const grpc = new GrpcClientConnection({ ...clientOptions(url), nowMs });
    answer = ask(grpc, secret, nowMs + timeoutMs);
    return grpc;
  };
  const socket = await dialer.dial(url, timeoutMs, connect, () => undefined);
  try {
    if (answer === undefined) throw new AetherError("unhealthy", `${url}: not connected`);
    return await answer;
  } finally {
    socket.end();
  }
}

async function ask(
  grpc: GrpcClientConnection,
  secret: Secret | undefined,
  deadlineMs: number,
): Promise<MembersPeerResponse> {
  const fields = helloFields(NOBODY_KNOWN, PeerLane.CALL, new ByteWriter(256));
  const session = secret === undefined ? undefined : await openSession(grpc, secret, deadlineMs);
  return await callPeer({ grpc, session }, AetherPeer.Members, fields, {}, deadlineMs);
}
