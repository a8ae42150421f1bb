/**
 * Asks who the members of a cluster are, without being one: for a node that is to join, and for
 * founders that want to know whether their cluster exists already.
 */
import { ByteWriter } from "../../base/bytes.ts";
import { AetherError } from "../../base/errors.ts";
import {
  AetherPeer,
  type MembersPeerResponse,
  Lane as PeerLane,
} from "../../proto/gen/aether.v1.ts";
import { GrpcClientConnection } from "../../wire/grpc/client-connection.ts";
import { helloFields } from "./admission.ts";
import { callPeer } from "./calls.ts";
import { clientOptions } from "./connection.ts";
import type { PeerDialer } from "./ports.ts";

/** Whom such a caller knows: nobody, not even itself. */
const NOBODY_KNOWN = { clusterId: 0n, from: 0n, to: 0n };

/**
 * Asks the member at `url`. Rejects with AetherError after at most `timeoutMs` for the connection
 * and as much for the answer: "unhealthy" if it cannot be reached or refuses, "timeout".
 */
export async function askMembers(
  dialer: PeerDialer,
  url: string,
  secret: string | undefined,
  timeoutMs: number,
): Promise<MembersPeerResponse> {
  let answer: Promise<MembersPeerResponse> | undefined;
  const connect = (nowMs: number): GrpcClientConnection => {
    const connection = new GrpcClientConnection({ ...clientOptions(url), nowMs });
    const fields = helloFields(NOBODY_KNOWN, PeerLane.CALL, secret, new ByteWriter(256));
    answer = callPeer(connection, AetherPeer.Members, fields, {}, nowMs + timeoutMs);
    return connection;
  };
  const socket = await dialer.dial(url, timeoutMs, connect, () => undefined);
  try {
    if (answer === undefined) throw new AetherError("unhealthy", `${url}: not connected`);
    return await answer;
  } finally {
    socket.end();
  }
}
