/**
 * What a service implementation sees of gRPC: the shapes that rpc/ programs against. Nothing here
 * knows of HTTP/2. Every byte range handed in by a call is borrowed: valid until the function
 * returns; every byte range handed out is copied before the function returns.
 *
 * A call ends once: by reply, finish, fail, or by the peer (onCancel). What comes after is ignored,
 * since a handler that waited for consensus cannot know that its client has gone.
 */
import type { Metadata } from "./metadata.ts";
import type { GrpcCode } from "./status.ts";

export interface ServerCall {
  /** "/package.Service/Method". */
  readonly path: string;
  readonly metadata: Metadata;
  /** Absolute, on the clock of the connection's nowMs; Infinity if the client set none. */
  readonly deadlineMs: number;
  /** The address of the client, for logs. */
  readonly peer: string;
  /**
   * Stands for the connection of HTTP/2: one object for all its calls, and nobody else's. Not there
   * for a call that came in another way.
   */
  readonly connection?: object;
  /** The common name of the client's verified certificate, if it has one. */
  readonly peerName: string | undefined;
  /** Calls of its connection that are under way, this one included; 1 where there is only one. */
  readonly siblings: number;
  /** The client has gone or the deadline has passed: the answer will not be sent. */
  readonly cancelled: boolean;
  /** Set by a unary handler that waits for long: runs once if the call is over without it. */
  onCancel?: (() => void) | undefined;
  /** Unary: headers, the one message and status OK in one go. */
  reply(bytes: Uint8Array, start: number, end: number): void;
  /**
   * Unary, for an answer too large to be made in one go: its message has `size` bytes, which
   * follow by continueReply; the call ends with the last of them. After each piece wait for
   * `onDrain` unless `writable`; it is also called when the client has gone (see `cancelled`).
   */
  beginReply(size: number, onDrain: () => void): void;
  /** The next bytes of the message that beginReply began; fail() cuts it off instead. */
  continueReply(bytes: Uint8Array, start: number, end: number): void;
  /** Streaming: one message. Never refused; look at `writable` before producing much more. */
  send(bytes: Uint8Array, start: number, end: number): void;
  /** Streaming: status OK. */
  finish(): void;
  /** Ends with a failure; `trailers` is a flat field list (-bin values already base64). */
  fail(code: GrpcCode, message: string, trailers?: readonly string[]): void;
  /** False: the call's queue is over its bound; produce no more until onDrain. */
  readonly writable: boolean;
  /** Bytes of this call which wait for the peer's window or the socket. */
  readonly queuedBytes: number;
}

/** What a handler lets its caller send beyond what the server takes from anybody. */
export interface CallRoom {
  /** Bytes of a message, unpacked. */
  readonly receiveBytesMax: number;
  /** Bytes that may be on their way, and not yet taken by us. */
  readonly windowBytes: number;
}

/** The receiving end of a call with streams; made once per call. */
export interface StreamHandler {
  /** Set by a handler that knows its caller, who is given this as the call begins. */
  readonly room?: CallRoom;
  /** One message, borrowed. A server-streaming method gets exactly one. */
  onMessage(bytes: Uint8Array, start: number, end: number): void;
  /** The client sends no more messages. */
  onHalfClose(): void;
  /** The call is over without us: reset, deadline, or the connection is gone. The last event. */
  onCancel(): void;
  /** `writable` is true again. */
  onDrain(): void;
}

export interface UnaryMethod {
  readonly path: string;
  /** Answers now or later by reply or fail, exactly once, also when cancelled. */
  readonly unary: (call: ServerCall, bytes: Uint8Array, start: number, end: number) => void;
}

export interface StreamMethod {
  readonly path: string;
  readonly stream: (call: ServerCall) => StreamHandler;
}

/** A handler that throws is mapped to a failure by the server's `mapError`. */
export type Method = UnaryMethod | StreamMethod;

/** How a call ends when it fails. */
export interface Failure {
  readonly code: GrpcCode;
  readonly message: string;
  readonly trailers?: readonly string[];
}
