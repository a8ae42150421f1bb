/**
 * Encoding answers: one scratch writer for the whole room. That is safe because encoding and
 * handing over happen in one synchronous step, and a call copies what it is given.
 */
import { ByteWriter } from "../base/bytes.ts";
import { AetherError } from "../base/errors.ts";
import { KIB } from "../base/units.ts";
import { DecodeError } from "../proto/decode-error.ts";
import type { MessageType } from "../proto/message.ts";
import type { ServerCall } from "../wire/grpc/server-call.ts";
import { failureOf } from "./errors.ts";

/** Empty between calls; whoever writes to it hands it over and resets it in the same step. */
export const scratch = new ByteWriter(64 * KIB);

/** Above this the scratch writer is given back to the collector after use. */
const SCRATCH_KEPT_BYTES = 4 * 1024 * KIB;

/** Ends a unary call with `message`. */
export function reply<T>(call: ServerCall, type: MessageType<T>, message: T): void {
  type.encode(message, scratch);
  replyScratch(call);
}

/** Ends a unary call with what stands in the scratch writer. */
export function replyScratch(call: ServerCall): void {
  call.reply(scratch.bytes, 0, scratch.length);
  resetScratch();
}

/** Sends one message of a stream. */
export function send<T>(call: ServerCall, type: MessageType<T>, message: T): void {
  type.encode(message, scratch);
  sendScratch(call);
}

/** Sends what stands in the scratch writer as one message of a stream. */
export function sendScratch(call: ServerCall): void {
  call.send(scratch.bytes, 0, scratch.length);
  resetScratch();
}

function resetScratch(): void {
  scratch.reset();
  if (scratch.bytes.length > SCRATCH_KEPT_BYTES) scratch.bytes = Buffer.allocUnsafeSlow(64 * KIB);
}

/** Ends a call with an expected failure. */
export function fail(call: ServerCall, error: AetherError): void {
  const { code, message } = failureOf(error);
  call.fail(code, message);
}

/** A request, or AetherError("invalid_argument") when the bytes are not that message. */
export function decodeRequest<T>(
  type: Pick<MessageType<T>, "typeName" | "decode">,
  bytes: Uint8Array,
  start: number,
  end: number,
): T {
  try {
    return type.decode(bytes, start, end);
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    throw new AetherError("undecodable", `${type.typeName}: ${error.message}`, { cause: error });
  }
}
