/**
 * What a caller sees of gRPC: the shapes that client/ programs against. Byte ranges are borrowed
 * in both directions, as in server-call.ts.
 */
import type { Metadata } from "./metadata.ts";
import type { GrpcCode } from "./status.ts";

/** One call on a client connection, unary or streaming. */
export interface ClientCall {
  /** Queues one message; ignored after halfClose or the end. */
  send(bytes: Uint8Array, start: number, end: number): void;
  /** No more messages from us. A unary call is send, then halfClose. */
  halfClose(): void;
  /** Gives the call up: onEnd follows at once with CANCELLED. */
  cancel(): void;
  /** False: produce no more until onDrain. */
  readonly writable: boolean;
  readonly queuedBytes: number;
  /**
   * The reader is behind: the server may send what its window still allows, and no more until
   * resume(). Other calls of the connection go on.
   */
  pause(): void;
  resume(): void;
  /**
   * True after onEnd if the server certainly did not process the call (REFUSED_STREAM, above the
   * last stream of a GOAWAY, or never sent). Then even a write may be tried again elsewhere.
   */
  readonly unprocessed: boolean;
}

/** Events of one call. onEnd comes exactly once and is the last. */
export interface ClientCallHandler {
  onHeaders(metadata: Metadata): void;
  onMessage(bytes: Uint8Array, start: number, end: number): void;
  /** `trailers` holds the server's trailing fields; empty if the call failed on our side. */
  onEnd(code: GrpcCode, message: string, trailers: Metadata): void;
  /** `writable` is true again. */
  onDrain(): void;
}
