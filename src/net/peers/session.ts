/** How a caller begins where there is a secret: the first call of each of its connections. */
import { AetherError } from "../../base/errors.ts";
import type { Secret } from "../../base/secret.ts";
import { AetherPeer } from "../../proto/gen/aether.v1.ts";
import type { GrpcClientConnection } from "../../wire/grpc/client-connection.ts";
import { callPeer } from "./calls.ts";
import { CallerSession, drawNonce } from "./proofs.ts";
import { ConnectionKey, NONCE_BYTES } from "./seal.ts";

/**
 * Asks for the receiver's part of the key. Rejects with AetherError after `deadlineMs`, or with
 * what the receiver said.
 */
export async function openSession(
  grpc: GrpcClientConnection,
  secret: Secret,
  deadlineMs: number,
): Promise<CallerSession> {
  const mine = drawNonce();
  const request = { nonce: mine };
  const { nonce } = await callPeer({ grpc }, AetherPeer.Challenge, [], request, deadlineMs);
  if (nonce.length !== NONCE_BYTES) throw new AetherError("unhealthy", "a nonce has 32 bytes");
  return new CallerSession(new ConnectionKey(secret, mine, nonce));
}
