/**
 * Streams of answers to one request. On the wire such a method looks like any other stream, so a
 * client may send no message or two; both end the call here, once for every such method (gRPC
 * over HTTP/2: a method that is not client-streaming has exactly one request message).
 */
import type { ServerCall, StreamHandler } from "../wire/grpc/server-call.ts";
import { GrpcCode } from "../wire/grpc/status.ts";

/** What such a method does; `onEnd` runs when the call is over without us. */
export interface OneRequest {
  readonly onRequest: (bytes: Uint8Array, start: number, end: number) => void;
  readonly onEnd: () => void;
  readonly onDrain: () => void;
}

/** The handler of a call that has one request and many answers. */
export function oneRequest(call: ServerCall, method: OneRequest): StreamHandler {
  let asked = false;
  return {
    onMessage: (bytes, start, end) => {
      if (asked) {
        method.onEnd();
        call.fail(GrpcCode.INTERNAL, "more than one request message");
      } else {
        asked = true;
        method.onRequest(bytes, start, end);
      }
    },
    onHalfClose: () => {
      if (!asked) call.fail(GrpcCode.INTERNAL, "the call ended without its request message");
    },
    onCancel: method.onEnd,
    onDrain: method.onDrain,
  };
}
