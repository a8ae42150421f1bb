/**
 * Encoding answers: one scratch writer for the whole room. That is safe because encoding and
 * handing over happen in one synchronous step, a call copies what it is given, and calls no other
 * handler meanwhile: that would write behind our bytes and send them as its own.
 */
import { assert } from "../base/assert.ts";
import { ByteWriter } from "../base/bytes.ts";
import { AetherError } from "../base/errors.ts";
import { KIB, MIB } from "../base/units.ts";
import { DecodeError } from "../proto/decode-error.ts";
import type { MessageType } from "../proto/message.ts";
import type { ServerCall } from "../wire/grpc/server-call.ts";
import { GrpcCode } from "../wire/grpc/status.ts";
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
  const { length } = scratch;
  call.reply(scratch.bytes, 0, length);
  resetScratch(length);
}

/** Sends what stands in the scratch writer as the next piece of a large answer. */
export function continueScratch(call: ServerCall): void {
  const { length } = scratch;
  call.continueReply(scratch.bytes, 0, length);
  resetScratch(length);
}

/** Sends one message of a stream. */
export function send<T>(call: ServerCall, type: MessageType<T>, message: T): void {
  type.encode(message, scratch);
  sendScratch(call);
}

/** Sends what stands in the scratch writer as one message of a stream. */
export function sendScratch(call: ServerCall): void {
  const { length } = scratch;
  call.send(scratch.bytes, 0, length);
  resetScratch(length);
}

function resetScratch(handedOver: number): void {
  assert(scratch.length === handedOver, "an answer was encoded while another was handed over");
  scratch.reset();
  if (scratch.bytes.length > SCRATCH_KEPT_BYTES) scratch.bytes = Buffer.allocUnsafeSlow(64 * KIB);
}

/** Answers that may wait for a client, beside the largest response: far beyond an honest one. */
const UNREAD_BYTES_MAX = 16 * MIB;

/**
 * True if the client asks on without reading: an answer to a request is always sent, so the call's
 * queue would grow without bound. The caller ends the call with UNREAD.
 */
export function leavesUnread(call: ServerCall): boolean {
  return call.queuedBytes > UNREAD_BYTES_MAX;
}

/** How a call ends whose client leaves its answers unread. */
export const UNREAD = {
  code: GrpcCode.RESOURCE_EXHAUSTED,
  message: "requests are sent faster than answers are read",
} as const;

/** Ends a call with an expected failure. */
export function fail(call: ServerCall, error: AetherError): void {
  const { code, message } = failureOf(error);
  call.fail(code, message);
}

/** Runs `work`; an expected failure ends the call, anything else is ours to crash on. */
export function guarded(call: ServerCall, work: () => void): void {
  try {
    work();
  } catch (error) {
    if (!(error instanceof AetherError)) throw error;
    fail(call, error);
  }
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

/** etcd's default --max-request-bytes: what one request may put into the log. */
export const REQUEST_BYTES_MAX = 1.5 * MIB;

/** request_too_large: before a request goes to the log, and after all other checks, as in etcd. */
export function checkSize(start: number, end: number, bytesMax = REQUEST_BYTES_MAX): void {
  if (end - start > bytesMax) throw new AetherError("request_too_large");
}
