/**
 * The gRPC server of one connection: turns streams into calls of handlers, and what handlers say
 * into answers (gRPC over HTTP/2, "Responses"). A call ends once; whatever comes later from its
 * handler is dropped, because a handler that waited for consensus cannot know that its client left.
 */
import { assert } from "../../base/assert.ts";
import { KIB } from "../../base/units.ts";
import { RepeatedFields } from "../http2/header-writer.ts";
import { BODY_TIMEOUT_MS, QUEUED_BYTES_MAX, STALL_TIMEOUT_MS } from "../http2/limits.ts";
import { Http2Code } from "../http2/protocol.ts";
import type { Http2Role } from "../http2/role.ts";
import { MESSAGE_PREFIX_BYTES, putMessagePrefix } from "../http2/sender.ts";
import { StreamState } from "../http2/stream.ts";
import type { StreamEngine } from "../http2/stream-engine.ts";
import type { GrpcServer } from "./grpc-server.ts";
import { HttpExchange } from "./http-exchange.ts";
import { MessageReader, type MessageSink } from "./message-reader.ts";
import type { RequestHead } from "./request-head.ts";
import type { CallRoom } from "./server-call.ts";
import { type CallOwner, type Exchange, ServerStream } from "./server-stream.ts";
import { encodeGrpcMessage, GrpcCode } from "./status.ts";

const ANSWER_HEAD: readonly string[] = [
  ...[":status", "200"],
  ...["content-type", "application/grpc"],
  ...["grpc-accept-encoding", "identity,gzip"],
];

const NEVER = Number.POSITIVE_INFINITY;

/** Answers over this are dropped where there is too much already; nobody misses the answer of a
 * write, which is small. */
const LARGE_ANSWER_BYTES = 16 * KIB;

/** Who is at the other end of a connection. */
export interface ClientIdentity {
  readonly peer: string;
  readonly peerName?: string | undefined;
  readonly secure?: boolean;
}

export class ServerRole implements Http2Role<ServerStream, RequestHead>, CallOwner, MessageSink {
  readonly peer: string;
  readonly peerName: string | undefined;
  readonly secure: boolean;
  /** A caller that a handler knows has a call here. */
  urgent = false;
  readonly #server: GrpcServer;
  readonly #answerHead = new RepeatedFields(ANSWER_HEAD);
  readonly #statusOk = new RepeatedFields(["grpc-status", "0"]);
  #engine!: StreamEngine<ServerStream, RequestHead>;
  #earliestMs = NEVER; // no deadline or timer of an open stream is before it
  #current: ServerStream | undefined; // whose messages a MessageReader hands to onMessage

  constructor(server: GrpcServer, client: ClientIdentity) {
    this.#server = server;
    this.peer = client.peer;
    this.peerName = client.peerName;
    this.secure = client.secure ?? false;
  }

  /** The engine and its role need each other; this closes the circle, once. */
  attach(engine: StreamEngine<ServerStream, RequestHead>): void {
    this.#engine = engine;
  }

  get callCount(): number {
    return this.#engine.callCount;
  }

  // ---- events of the engine ---------------------------------------------------------------

  readHead(fields: readonly string[]): RequestHead | undefined {
    return this.#server.router.readHead(fields);
  }

  open(id: number, head: RequestHead): ServerStream {
    return new ServerStream(this, id, head);
  }

  onHead(stream: ServerStream, head: RequestHead, ended: boolean): void {
    if (head.httpStatus !== 0) this.#refuse(stream, head.httpStatus);
    else if (head.http) this.#startHttp(stream, ended);
    else if (head.failure !== undefined) {
      this.fail(stream, head.failure.code, head.failure.message, undefined);
    } else this.#startCall(stream, head, ended);
  }

  onData(stream: ServerStream, bytes: Buffer, start: number, end: number, ended: boolean): void {
    if (stream.done) return;
    const length = end - start - MESSAGE_PREFIX_BYTES;
    const { unary } = stream.head;
    if (
      ended &&
      unary !== undefined &&
      stream.reader === undefined &&
      length >= 0 &&
      length <= this.#server.receiveBytesMax &&
      bytes[start] === 0 &&
      bytes.readUInt32BE(start + 1) === length
    ) {
      this.#dispatch(stream, bytes, start + MESSAGE_PREFIX_BYTES, end);
    } else if (stream.exchange !== undefined) {
      this.#onHttpData(stream, bytes, start, end);
      if (ended) this.onRemoteEnd(stream);
    } else {
      this.#onMessages(stream, bytes, start, end);
      if (ended) this.onRemoteEnd(stream);
    }
  }

  onRemoteEnd(stream: ServerStream): void {
    if (stream.done) return;
    stream.timerMs = NEVER;
    if (stream.exchange !== undefined) {
      this.#guarded(stream, () => stream.exchange?.onEnd());
    } else if (stream.reader !== undefined && stream.reader.held > 0) {
      this.fail(stream, GrpcCode.INTERNAL, "unexpected EOF", undefined);
    } else if (stream.handler !== undefined) {
      this.#guarded(stream, () => stream.handler?.onHalfClose());
    } else if (!stream.dispatched) {
      const message = "the call ended without its request message";
      this.fail(stream, GrpcCode.INTERNAL, message, undefined);
    }
  }

  onReset(stream: ServerStream): void {
    if (!stream.done) this.#cancel(stream, GrpcCode.CANCELLED);
  }

  onDrain(stream: ServerStream): void {
    if (stream.exchange !== undefined) this.#guarded(stream, stream.exchange.onDrain);
    else if (!stream.done) {
      this.#guarded(stream, stream.onReplyDrain ?? (() => stream.handler?.onDrain()));
    }
  }

  onClosed(stream: ServerStream): void {
    stream.reader?.clear();
    stream.exchange?.onClosed();
  }

  onSettings(): void {}

  onGoaway(): void {}

  /** Ends what is overdue. Looks at the streams only when something may be. */
  tick(nowMs: number): void {
    if (nowMs < this.#earliestMs) return;
    let earliestMs = NEVER;
    for (const stream of this.#engine.list()) {
      if (!stream.done && stream.deadlineMs <= nowMs) this.#onDeadline(stream);
      else if (stream.timerMs <= nowMs) this.#onTimer(stream, nowMs);
      if ((stream.state & StreamState.CLOSED) !== 0) continue;
      const deadlineMs = stream.done ? NEVER : stream.deadlineMs;
      earliestMs = Math.min(earliestMs, stream.timerMs, deadlineMs);
    }
    this.#earliestMs = earliestMs;
  }

  // ---- a MessageReader hands over the messages of #current --------------------------------

  get done(): boolean {
    return this.#current === undefined || this.#current.done;
  }

  onMessage(bytes: Uint8Array, start: number, end: number): void {
    const stream = this.#current as ServerStream;
    if (stream.handler !== undefined) {
      stream.head.meter.onReceived();
      try {
        stream.handler.onMessage(bytes, start, end);
      } catch (error) {
        this.#failBy(stream, error);
      }
    } else if (!stream.dispatched) this.#dispatch(stream, bytes, start, end);
    else this.fail(stream, GrpcCode.INTERNAL, "more than one request message", undefined);
  }

  // ---- what handlers say ------------------------------------------------------------------

  reply(stream: ServerStream, bytes: Uint8Array, start: number, end: number): void {
    if (end - start > LARGE_ANSWER_BYTES && this.#refusesAnswer(stream)) return;
    if (!this.#mayEnd(stream)) return;
    if (stream.answering) {
      this.#engine.sender.send(stream, bytes, start, end, true);
      this.#engine.finish(stream, this.#statusOk);
    } else this.#engine.answer(stream, this.#answerHead, bytes, start, end, this.#statusOk);
    stream.head.meter.onSent();
    this.#ended(stream, GrpcCode.OK);
  }

  beginReply(stream: ServerStream, size: number): void {
    assert(size > 0 && stream.replyLeft === 0, "an answer in pieces is begun once");
    stream.replyLeft = size;
    if (stream.done) return;
    this.#sendHead(stream);
    const prefix = Buffer.allocUnsafe(MESSAGE_PREFIX_BYTES);
    putMessagePrefix(prefix, 0, size);
    this.#engine.sender.send(stream, prefix, 0, MESSAGE_PREFIX_BYTES, false);
    this.#setTimer(stream, STALL_TIMEOUT_MS);
  }

  continueReply(stream: ServerStream, bytes: Uint8Array, start: number, end: number): void {
    stream.replyLeft -= end - start;
    assert(stream.replyLeft >= 0, "an answer in pieces is as long as it was said to be");
    if (!stream.done) {
      this.#engine.sender.send(stream, bytes, start, end, false);
      this.#setTimer(stream, STALL_TIMEOUT_MS);
    }
    if (stream.replyLeft > 0 || !this.#mayEnd(stream)) return;
    this.#engine.finish(stream, this.#statusOk);
    stream.head.meter.onSent();
    this.#ended(stream, GrpcCode.OK);
  }

  send(stream: ServerStream, bytes: Uint8Array, start: number, end: number): void {
    if (stream.done) return;
    this.#sendHead(stream);
    stream.head.meter.onSent();
    this.#engine.sender.send(stream, bytes, start, end, true);
  }

  finish(stream: ServerStream): void {
    if (!this.#mayEnd(stream)) return;
    this.#sendHead(stream);
    stream.state |= StreamState.CLOSE_AFTER;
    this.#engine.finish(stream, this.#statusOk);
    this.#ended(stream, GrpcCode.OK);
  }

  fail(
    stream: ServerStream,
    code: GrpcCode,
    message: string,
    trailers: readonly string[] | undefined,
  ): void {
    if (!this.#mayEnd(stream)) return;
    const fields = ["grpc-status", String(code)];
    if (message !== "") fields.push("grpc-message", encodeGrpcMessage(message));
    if (trailers !== undefined) fields.push(...trailers);
    // A client that has sent all of its unary request ends by itself; others are told to stop.
    if (!stream.dispatched) stream.state |= StreamState.CLOSE_AFTER;
    this.#engine.finish(stream, stream.answering ? fields : [...ANSWER_HEAD, ...fields]);
    this.#ended(stream, code);
  }

  // ---- inside -----------------------------------------------------------------------------

  #startCall(stream: ServerStream, head: RequestHead, ended: boolean): void {
    head.meter.onStart();
    const refusal = this.#refusal();
    if (refusal !== undefined) {
      this.fail(stream, GrpcCode.RESOURCE_EXHAUSTED, refusal, undefined);
      return;
    }
    if (head.timeoutMs !== NEVER) {
      stream.deadlineMs = this.#engine.nowMs + head.timeoutMs;
      if (stream.deadlineMs < this.#earliestMs) this.#earliestMs = stream.deadlineMs;
    }
    if (head.stream !== undefined) {
      try {
        stream.handler = head.stream(stream);
        const { room } = stream.handler;
        if (room !== undefined) this.#admit(stream, room);
      } catch (error) {
        this.#failBy(stream, error);
      }
    } else this.#setTimer(stream, BODY_TIMEOUT_MS);
    if (ended) this.onRemoteEnd(stream);
  }

  /** Why the connection may begin no call now, if that is so. */
  #refusal(): string | undefined {
    const { sender, memory } = this.#engine;
    if (sender.queuedBytes > QUEUED_BYTES_MAX) return "too many unread answers on this connection";
    return memory?.refuses() === true ? "connections hold too much, this one most" : undefined;
  }

  /** Many calls may have begun before the first was answered: the last ones are too much. */
  #refusesAnswer(stream: ServerStream): boolean {
    const refusal = stream.done ? undefined : this.#refusal();
    if (refusal === undefined) return false;
    this.fail(stream, GrpcCode.RESOURCE_EXHAUSTED, refusal, undefined);
    return true;
  }

  #startHttp(stream: ServerStream, ended: boolean): void {
    const { http } = this.#server;
    if (http === undefined) return;
    const exchange = new HttpExchange(this.#engine, stream, http);
    stream.exchange = exchange;
    this.#guarded(stream, () => exchange.begin());
    if (!exchange.resting) this.#setTimer(stream, BODY_TIMEOUT_MS);
    if (ended) this.onRemoteEnd(stream);
  }

  /** A refusal in terms of HTTP, for a client which may not know gRPC. */
  #refuse(stream: ServerStream, status: number): void {
    stream.done = true;
    stream.state |= StreamState.CLOSE_AFTER;
    const fields = [":status", String(status), "content-type", "text/plain"];
    if (status === 405) fields.push("allow", "POST");
    this.#engine.finish(stream, fields);
  }

  #onHttpData(stream: ServerStream, bytes: Buffer, start: number, end: number): void {
    const exchange = stream.exchange as Exchange;
    this.#guarded(stream, () => exchange.onData(bytes, start, end));
    if (exchange.resting) stream.timerMs = NEVER;
    else this.#setTimer(stream, BODY_TIMEOUT_MS);
  }

  #onMessages(stream: ServerStream, bytes: Buffer, start: number, end: number): void {
    const reader = stream.reader ?? this.#makeReader(stream);
    this.#current = stream;
    const failure = reader.take(bytes, start, end, this);
    this.#current = undefined;
    if (failure !== undefined) this.fail(stream, failure.code, failure.message, undefined);
    stream.held = reader.held;
    stream.needed = reader.needed;
    if (stream.done) return;
    if (reader.held > 0 || (stream.handler === undefined && !stream.dispatched)) {
      this.#setTimer(stream, BODY_TIMEOUT_MS);
    } else stream.timerMs = NEVER;
  }

  #makeReader(stream: ServerStream): MessageReader {
    const bytesMax = stream.handler?.room?.receiveBytesMax ?? this.#server.receiveBytesMax;
    stream.reader = new MessageReader(bytesMax, stream.head.gzip, this.#engine.memory);
    return stream.reader;
  }

  #dispatch(stream: ServerStream, bytes: Uint8Array, start: number, end: number): void {
    stream.head.meter.onReceived();
    stream.dispatched = true;
    stream.timerMs = NEVER;
    try {
      stream.head.unary?.(stream, bytes, start, end);
    } catch (error) {
      this.#failBy(stream, error);
    }
  }

  #failBy(stream: ServerStream, error: unknown): void {
    const failure = this.#server.mapError(error);
    this.fail(stream, failure.code, failure.message, failure.trailers);
  }

  /** Calls a handler; what it throws ends the call. */
  #guarded(stream: ServerStream, body: () => void): void {
    try {
      body();
    } catch (error) {
      if (stream.exchange === undefined) this.#failBy(stream, error);
      else {
        this.#server.mapError(error); // it may want to stop the process
        stream.exchange.onError();
      }
    }
  }

  #sendHead(stream: ServerStream): void {
    if (stream.answering) return;
    stream.answering = true;
    this.#engine.sendHead(stream, this.#answerHead);
  }

  /** Whether the call is still to be ended; if not, its handler has ended now. */
  #mayEnd(stream: ServerStream): boolean {
    if (!stream.done) {
      stream.done = true;
      return true;
    }
    if (stream.lingers) {
      stream.lingers = false;
      this.#engine.endLinger(stream);
    }
    return false;
  }

  #ended(stream: ServerStream, code: GrpcCode): void {
    if ((stream.state & StreamState.CLOSED) === 0) {
      const waits = stream.queue === undefined ? BODY_TIMEOUT_MS : STALL_TIMEOUT_MS;
      this.#setTimer(stream, waits);
    }
    stream.head.meter.onEnd(code, stream.startedMs);
  }

  /** The call is over by the client or by its deadline; the handler is told. */
  #cancel(stream: ServerStream, code: GrpcCode): void {
    stream.done = true;
    stream.cancelled = true;
    if (stream.head.unary !== undefined && stream.dispatched) {
      stream.lingers = true;
      this.#engine.linger(stream);
    }
    if (stream.exchange !== undefined) this.#guarded(stream, stream.exchange.onCancel);
    else {
      stream.head.meter.onEnd(code, stream.startedMs);
      const told = stream.onCancel ?? stream.onReplyDrain;
      this.#guarded(stream, told ?? (() => stream.handler?.onCancel()));
    }
  }

  #onDeadline(stream: ServerStream): void {
    const code = GrpcCode.DEADLINE_EXCEEDED;
    const fields = ["grpc-status", String(code), "grpc-message", "context deadline exceeded"];
    this.#cancel(stream, code);
    stream.state |= StreamState.CLOSE_AFTER;
    this.#engine.finish(stream, stream.answering ? fields : [...ANSWER_HEAD, ...fields]);
    if ((stream.state & StreamState.CLOSED) === 0) this.#setTimer(stream, STALL_TIMEOUT_MS);
  }

  /** A request that stopped coming, or an answer that stopped going. */
  #onTimer(stream: ServerStream, nowMs: number): void {
    const { queue } = stream;
    const stopsHalfWay = !stream.done && stream.exchange === undefined;
    if (stopsHalfWay && stream.replyLeft === 0) {
      this.fail(stream, GrpcCode.CANCELLED, "the request stopped half way", undefined);
    } else if (queue !== undefined && queue.taken !== stream.queueTaken) {
      stream.queueTaken = queue.taken;
      stream.timerMs = nowMs + STALL_TIMEOUT_MS;
    } else {
      if (!stream.done) this.#cancel(stream, GrpcCode.CANCELLED);
      stream.done = true;
      this.#engine.reset(stream, queue === undefined ? Http2Code.NO_ERROR : Http2Code.CANCEL);
    }
  }

  /** Its caller is known to us: what it sends and takes is not held against strangers. */
  #admit(stream: ServerStream, room: CallRoom): void {
    this.#engine.widen(stream, room.windowBytes);
    this.#engine.memory?.trust();
    this.urgent = true;
  }

  #setTimer(stream: ServerStream, delayMs: number): void {
    stream.timerMs = this.#engine.nowMs + delayMs;
    if (stream.timerMs < this.#earliestMs) this.#earliestMs = stream.timerMs;
  }
}
