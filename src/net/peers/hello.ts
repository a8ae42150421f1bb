/** What a caller says of itself in the head of each of its calls. */
import type { ByteWriter } from "../../base/bytes.ts";
import { VERSION } from "../../base/version.ts";
import { DecodeError } from "../../proto/decode-error.ts";
import { PeerHello } from "../../proto/gen/aether.v1.ts";
import { encodeBinary, type Metadata } from "../../wire/grpc/metadata.ts";
import { type FrameIds, PEER_FORMAT } from "./frame.ts";
import { PeerRefusal } from "./refusal.ts";

export const HELLO_FIELD = "x-aether-peer-bin";

/** The header field of a call of ours. */
export function helloFields(ids: FrameIds, lane: number, scratch: ByteWriter): string[] {
  scratch.reset();
  const hello = PeerHello.create({
    format: PEER_FORMAT,
    clusterId: ids.clusterId,
    fromMemberId: ids.from,
    toMemberId: ids.to,
    lane,
    version: VERSION,
  });
  PeerHello.encode(hello, scratch);
  return [HELLO_FIELD, encodeBinary(scratch.view())];
}

/** The hello of a call. Throws PeerRefusal. */
export function readHello(metadata: Metadata): PeerHello {
  const bytes = metadata.binary(HELLO_FIELD);
  if (bytes === undefined) {
    throw new PeerRefusal("malformed", "not a call of a member: clients use the client port");
  }
  try {
    return PeerHello.decode(bytes, 0, bytes.length);
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    throw new PeerRefusal("malformed", `the hello is broken: ${error.message}`);
  }
}
