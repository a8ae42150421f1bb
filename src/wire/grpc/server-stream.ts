/**
 * One request at a server: the engine's stream and the handler's call in one object, since it is
 * made for each request. Its logic is in server-role.ts, which all calls of a connection share.
 */
import type { OutputBuffer } from "../connection.ts";
import type { Fields } from "../http2/header-writer.ts";
import { type Http2Stream, StreamState } from "../http2/stream.ts";
import type { MessageReader } from "./message-reader.ts";
import type { Metadata } from "./metadata.ts";
import type { RequestHead } from "./request-head.ts";
import type { ServerCall, StreamHandler } from "./server-call.ts";
import type { GrpcCode } from "./status.ts";

/** What a call needs of its connection. */
export interface CallOwner {
  readonly peer: string;
  readonly peerName: string | undefined;
  /** The connection is inside TLS. */
  readonly secure: boolean;
  /** Calls under way. */
  readonly callCount: number;
  reply(stream: ServerStream, bytes: Uint8Array, start: number, end: number): void;
  beginReply(stream: ServerStream, size: number): void;
  continueReply(stream: ServerStream, bytes: Uint8Array, start: number, end: number): void;
  send(stream: ServerStream, bytes: Uint8Array, start: number, end: number): void;
  finish(stream: ServerStream): void;
  fail(
    stream: ServerStream,
    code: GrpcCode,
    message: string,
    trailers: readonly string[] | undefined,
  ): void;
}

/** A request which is not gRPC, as the role sees it. */
export interface Exchange {
  begin(): void;
  onData(bytes: Buffer, start: number, end: number): void;
  onEnd(): void;
  /** The client may wait as long as it likes before it goes on with the body. */
  readonly resting: boolean;
  /** The stream is over: gives back what it held. */
  onClosed(): void;
  /** The handler threw. */
  onError(): void;
  readonly onDrain: () => void;
  readonly onCancel: () => void;
}

export class ServerStream implements ServerCall, Http2Stream {
  id: number;
  state = 0;
  startedMs = 0;
  headBytes = 0;
  sendWindow = 0;
  recvWindow = 0;
  usualWindow = 0;
  received = 0;
  expected = -1;
  held = 0;
  needed = 0;
  granted = 0;
  queue: OutputBuffer | undefined = undefined;
  trailers: Fields | undefined = undefined;

  readonly head: RequestHead;
  readonly owner: CallOwner;
  deadlineMs = Number.POSITIVE_INFINITY;
  /** When the call ends unless something moves: a request or an answer that got stuck. */
  timerMs = Number.POSITIVE_INFINITY;
  cancelled = false;
  /** Answered or cancelled: nothing more is sent. */
  done = false;
  /** The head of the answer is on the wire. */
  answering = false;
  /** The unary handler has been called. */
  dispatched = false;
  /** Cancelled, but the unary handler has not ended: still counts as a stream. */
  lingers = false;
  handler: StreamHandler | undefined = undefined;
  /** Bytes of a piecewise answer that are still to come. */
  replyLeft = 0;
  onReplyDrain: (() => void) | undefined = undefined;
  onCancel: (() => void) | undefined = undefined;
  reader: MessageReader | undefined = undefined;
  /** Bytes of the queue taken when the timer was set: whether the answer moves. */
  queueTaken = 0;
  exchange: Exchange | undefined = undefined;

  constructor(owner: CallOwner, id: number, head: RequestHead) {
    this.owner = owner;
    this.id = id;
    this.head = head;
  }

  get path(): string {
    return this.head.path;
  }

  get metadata(): Metadata {
    return this.head.metadata;
  }

  get peer(): string {
    return this.owner.peer;
  }

  get connection(): object {
    return this.owner;
  }

  get peerName(): string | undefined {
    return this.owner.peerName;
  }

  get siblings(): number {
    return this.owner.callCount;
  }

  get writable(): boolean {
    return (this.state & StreamState.DRAIN_OWED) === 0;
  }

  get queuedBytes(): number {
    return this.queue === undefined ? 0 : this.queue.pending;
  }

  reply(bytes: Uint8Array, start: number, end: number): void {
    this.owner.reply(this, bytes, start, end);
  }

  beginReply(size: number, onDrain: () => void): void {
    this.onReplyDrain = onDrain;
    this.owner.beginReply(this, size);
  }

  continueReply(bytes: Uint8Array, start: number, end: number): void {
    this.owner.continueReply(this, bytes, start, end);
  }

  send(bytes: Uint8Array, start: number, end: number): void {
    this.owner.send(this, bytes, start, end);
  }

  finish(): void {
    this.owner.finish(this);
  }

  fail(code: GrpcCode, message: string, trailers?: readonly string[]): void {
    this.owner.fail(this, code, message, trailers);
  }
}
