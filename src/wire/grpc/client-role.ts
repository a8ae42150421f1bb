/**
 * The gRPC client of one connection: opens streams for calls as the server's limit allows, and
 * turns what comes back into the calls' events (gRPC over HTTP/2, "Responses"). onEnd comes once
 * for each call, never from within call() itself.
 */
import { Http2Code } from "../http2/protocol.ts";
import type { Http2Role } from "../http2/role.ts";
import type { Http2Session } from "../http2/session.ts";
import { StreamState } from "../http2/stream.ts";
import type { ClientCallHandler } from "./client-call.ts";
import { type ClientCallOwner, ClientStream } from "./client-stream.ts";
import { gzip } from "./gzip.ts";
import { MessageReader, type MessageSink } from "./message-reader.ts";
import { type Metadata, NO_METADATA } from "./metadata.ts";
import { codeOfReset, type ResponseHead, readResponseHead, textOfReset } from "./response-head.ts";
import { GrpcCode } from "./status.ts";
import { formatGrpcTimeout } from "./timeout.ts";

/** Streams opened before the server has said how many it takes: the least that the RFC finds
 * sensible (RFC 9113 §6.5.2), so that few servers refuse one. */
const UNTOLD_STREAMS_MAX = 100;

/** Calls that wait for a free stream. Over it a call fails at once: the caller is too fast. */
const WAITING_CALLS_MAX = 10_000;

export interface ClientRoleOptions {
  readonly scheme: "http" | "https";
  readonly authority: string;
  readonly userAgent: string;
  readonly receiveBytesMax: number;
  /** Compress the messages that we send. */
  readonly gzip: boolean;
}

export class ClientRole
  implements Http2Role<ClientStream, ResponseHead>, ClientCallOwner, MessageSink
{
  /** False: new calls fail; the server is going or we are. */
  accepting = true;
  /** Called when `accepting` or the session's `ready` has changed. */
  onChange: () => void = nothing;
  readonly #options: ClientRoleOptions;
  #session!: Http2Session<ClientStream, ResponseHead>;
  #waiting: ClientStream[] = [];
  #refused: ClientStream[] = []; // ended by the next tick
  #earliestMs = Number.POSITIVE_INFINITY; // no deadline of a call is before it
  #current: ClientStream | undefined;

  constructor(options: ClientRoleOptions) {
    this.#options = options;
  }

  /** The session and its role need each other; this closes the circle, once. */
  attach(session: Http2Session<ClientStream, ResponseHead>): void {
    this.#session = session;
  }

  /** Calls without a stream yet. */
  get waiting(): readonly ClientStream[] {
    return this.#waiting;
  }

  /** Calls that have not ended. */
  get openCalls(): number {
    return this.#session.engine.count + this.#waiting.length;
  }

  call(
    path: string,
    metadata: readonly string[],
    deadlineMs: number,
    handler: ClientCallHandler,
  ): ClientStream {
    const stream = new ClientStream(this, path, metadata, deadlineMs, handler);
    if (!this.accepting || this.#session.closing || this.#waiting.length >= WAITING_CALLS_MAX) {
      this.#refused.push(stream);
      return stream;
    }
    if (deadlineMs < this.#earliestMs) this.#earliestMs = deadlineMs;
    if (this.#mayOpen()) this.#open(stream);
    else this.#waiting.push(stream);
    return stream;
  }

  /** No new calls; those without a stream end. */
  stop(reason: string): void {
    if (!this.accepting) return;
    this.accepting = false;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const stream of waiting) this.#endUnprocessed(stream, reason);
    this.onChange();
  }

  tick(nowMs: number): void {
    const refused = this.#refused;
    this.#refused = [];
    for (const stream of refused) this.#endUnprocessed(stream, "no stream for the call");
    if (nowMs < this.#earliestMs) return;
    let earliestMs = Number.POSITIVE_INFINITY;
    for (const stream of [...this.#session.engine.list(), ...this.#waiting]) {
      if (stream.ended) continue;
      if (stream.deadlineMs > nowMs) earliestMs = Math.min(earliestMs, stream.deadlineMs);
      else this.#giveUp(stream, GrpcCode.DEADLINE_EXCEEDED, "context deadline exceeded");
    }
    this.#earliestMs = earliestMs;
  }

  // ---- what callers say -------------------------------------------------------------------

  send(stream: ClientStream, bytes: Uint8Array, start: number, end: number): void {
    if (stream.ended || stream.halfClosed) return;
    const { sender } = this.#session.engine;
    if (!this.#options.gzip) {
      sender.send(stream, bytes, start, end, true);
      return;
    }
    const packed = gzip(bytes, start, end);
    const message = Buffer.allocUnsafe(5 + packed.length);
    message[0] = 1;
    message.writeUInt32BE(packed.length, 1);
    message.set(packed, 5);
    sender.send(stream, message, 0, message.length, false);
  }

  halfClose(stream: ClientStream): void {
    if (stream.ended || stream.halfClosed) return;
    stream.halfClosed = true;
    this.#session.engine.finish(stream, undefined);
  }

  cancel(stream: ClientStream): void {
    if (!stream.ended) this.#giveUp(stream, GrpcCode.CANCELLED, "context canceled");
  }

  resume(stream: ClientStream): void {
    if (!stream.ended && stream.id !== 0) this.#session.engine.resume(stream);
  }

  // ---- events of the engine ---------------------------------------------------------------

  readHead(fields: readonly string[]): ResponseHead | undefined {
    return readResponseHead(fields);
  }

  open(): ClientStream {
    throw new Error("a client's peer opens no streams");
  }

  onHead(stream: ClientStream, head: ResponseHead, ended: boolean): void {
    if (stream.ended) return;
    const first = (stream.state & StreamState.HEAD_SEEN) === 0;
    const informational = head.httpStatus >= 100 && head.httpStatus < 200;
    // §8.1: 1xx heads if the server likes, one head, then trailers, which end the stream.
    const legal = first
      ? head.httpStatus !== 0 && !(informational && ended)
      : head.httpStatus === 0;
    if (!legal || (!first && !ended)) {
      this.#session.engine.resetFault(stream, Http2Code.PROTOCOL_ERROR);
    } else if (ended) {
      this.#onStatus(stream, head);
    } else if (!informational) this.#onAnswer(stream, head);
  }

  onData(stream: ClientStream, bytes: Buffer, start: number, end: number, ended: boolean): void {
    if (stream.ended) return;
    if ((stream.state & StreamState.HEAD_SEEN) === 0) {
      this.#session.engine.resetFault(stream, Http2Code.PROTOCOL_ERROR);
      return;
    }
    stream.reader ??= new MessageReader(this.#options.receiveBytesMax, stream.gzip);
    const { reader } = stream;
    this.#current = stream;
    const failure = reader.take(bytes, start, end, this);
    this.#current = undefined;
    if (failure !== undefined) this.#giveUp(stream, failure.code, failure.message);
    stream.held = reader.held;
    stream.needed = reader.needed;
    if (!ended || stream.ended) return;
    const message = "server closed the stream without sending trailers";
    this.#end(stream, GrpcCode.INTERNAL, message, NO_METADATA);
  }

  onRemoteEnd(): void {}

  onReset(stream: ClientStream, code: number): void {
    if (stream.ended) return;
    if (code === Http2Code.REFUSED_STREAM) stream.unprocessed = true;
    if (this.#session.closing || stream.unprocessed) {
      const reason = this.#session.reason;
      const message = code === Http2Code.REFUSED_STREAM ? textOfReset(code) : reason;
      this.#end(stream, GrpcCode.UNAVAILABLE, message, NO_METADATA);
    } else this.#end(stream, codeOfReset(code), textOfReset(code), NO_METADATA);
  }

  onDrain(stream: ClientStream): void {
    if (!stream.ended) stream.handler.onDrain();
  }

  onClosed(): void {
    this.#openWaiting();
  }

  onSettings(): void {
    this.#openWaiting();
    this.onChange();
  }

  /** §6.8: what is above `lastId` was not looked at, and may be tried again elsewhere. */
  onGoaway(lastId: number, code: number, debug: string): void {
    const reason = `connection going away: ${debug === "" ? `code ${code}` : debug}`;
    this.stop(reason);
    this.#session.drain(reason);
    for (const stream of this.#session.engine.list()) {
      if (stream.id <= lastId) continue;
      stream.unprocessed = true;
      this.#session.engine.abandon(stream, Http2Code.CANCEL);
    }
  }

  // ---- a MessageReader hands over the messages of #current --------------------------------

  get done(): boolean {
    return this.#current === undefined || this.#current.ended;
  }

  onMessage(bytes: Uint8Array, start: number, end: number): void {
    this.#current?.handler.onMessage(bytes, start, end);
  }

  // ---- inside -----------------------------------------------------------------------------

  #mayOpen(): boolean {
    const { engine, ready } = this.#session;
    return engine.canOpen() && (ready || engine.count < UNTOLD_STREAMS_MAX);
  }

  #openWaiting(): void {
    while (this.#waiting.length > 0 && this.#mayOpen()) {
      const stream = this.#waiting.shift() as ClientStream;
      if (!stream.ended) this.#open(stream);
    }
  }

  #open(stream: ClientStream): void {
    const { engine } = this.#session;
    engine.openLocal(stream, this.#requestFields(stream, engine.nowMs));
    if (!engine.exhausted) return;
    this.stop("stream ids are used up");
    this.#session.drain("stream ids are used up");
  }

  #requestFields(stream: ClientStream, nowMs: number): string[] {
    const { scheme, authority, userAgent } = this.#options;
    const fields = [
      ...[":method", "POST", ":scheme", scheme, ":path", stream.path, ":authority", authority],
      ...["te", "trailers", "content-type", "application/grpc", "user-agent", userAgent],
      ...["grpc-accept-encoding", "identity,gzip"],
    ];
    if (this.#options.gzip) fields.push("grpc-encoding", "gzip");
    if (stream.deadlineMs !== Number.POSITIVE_INFINITY) {
      fields.push("grpc-timeout", formatGrpcTimeout(stream.deadlineMs - nowMs));
    }
    for (const text of stream.metadata) fields.push(text);
    return fields;
  }

  #onAnswer(stream: ClientStream, head: ResponseHead): void {
    stream.state |= StreamState.HEAD_SEEN;
    if (head.httpStatus !== 200 || !head.isGrpc) {
      const message = `not a gRPC answer: HTTP status ${head.httpStatus}`;
      this.#giveUp(stream, head.code, message);
      return;
    }
    stream.gzip = head.gzip;
    stream.handler.onHeaders(head.metadata);
  }

  #onStatus(stream: ClientStream, head: ResponseHead): void {
    if (head.code === GrpcCode.OK && stream.reader !== undefined && stream.reader.held > 0) {
      this.#end(stream, GrpcCode.INTERNAL, "unexpected EOF", head.metadata);
    } else this.#end(stream, head.code, head.message, head.metadata);
  }

  #endUnprocessed(stream: ClientStream, reason: string): void {
    if (stream.ended) return;
    stream.unprocessed = true;
    this.#end(stream, GrpcCode.UNAVAILABLE, reason, NO_METADATA);
  }

  /** Ends the call by our own will. */
  #giveUp(stream: ClientStream, code: GrpcCode, message: string): void {
    const opened = stream.id !== 0;
    if (!opened) stream.unprocessed = true;
    this.#end(stream, code, message, NO_METADATA);
    if (opened) this.#session.engine.reset(stream, Http2Code.CANCEL);
  }

  #end(stream: ClientStream, code: GrpcCode, message: string, trailers: Metadata): void {
    stream.ended = true;
    if (stream.id === 0) this.#forget(stream);
    else if ((stream.state & StreamState.REMOTE_ENDED) !== 0 && !this.#hasEnded(stream)) {
      this.#session.engine.reset(stream, Http2Code.NO_ERROR);
    }
    stream.handler.onEnd(code, message, trailers);
  }

  #hasEnded(stream: ClientStream): boolean {
    return (stream.state & (StreamState.LOCAL_ENDED | StreamState.CLOSED)) !== 0;
  }

  /** The call never got a stream: what it queued is not the connection's any more. */
  #forget(stream: ClientStream): void {
    this.#session.engine.sender.drop(stream);
    const at = this.#waiting.indexOf(stream);
    if (at >= 0) this.#waiting.splice(at, 1);
  }
}

function nothing(): void {}
