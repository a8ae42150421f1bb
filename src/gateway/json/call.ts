/**
 * One call that came as JSON: the ServerCall that its method sees. What comes in is cut into
 * messages and encoded for the handler, what the handler says is decoded and written as JSON; so
 * there is one implementation of every method, and one order of guards in front of it.
 *
 *   request ─▶ JsonValues ─▶ fromJson ─▶ encode ─▶ handler ─▶ decode ─▶ toJson ─▶ response
 *
 * A unary method, and one that streams answers to one request, take the first object of the body
 * and ignore the rest; an empty body means an empty message. A method that takes a stream gets
 * every object; the end of the body ends its requests, but not the call.
 */
import { assert } from "../../base/assert.ts";
import { ByteWriter } from "../../base/bytes.ts";
import { AetherError } from "../../base/errors.ts";
import { KIB } from "../../base/units.ts";
import { DecodeError } from "../../proto/decode-error.ts";
import { fromJson, parseJson, toJson } from "../../proto/json.ts";
import type { MethodType } from "../../proto/message.ts";
import { failureOf } from "../../rpc/errors.ts";
import type { LargeReads } from "../../rpc/large-reads.ts";
import type { CallMeter } from "../../wire/grpc/call-meter.ts";
import type { Metadata } from "../../wire/grpc/metadata.ts";
import type { Failure, Method, ServerCall, StreamHandler } from "../../wire/grpc/server-call.ts";
import { GrpcCode } from "../../wire/grpc/status.ts";
import type { BodyReader, HttpResponse } from "../../wire/http1/http.ts";
import { longestField } from "./large-answer.ts";
import type { Pace } from "./pace.ts";
import { PacedAnswer, STEP_BYTES } from "./paced-answer.ts";
import { endWithStatus, escapeHtml, httpStatusOf, JSON_TYPE, statusJson } from "./status.ts";
import { JsonValues, tooLarge } from "./values.ts";

/** Of an answer that holds a message: etcd's gateway shows the content type of the gRPC answer. */
const MESSAGE_FIELDS: readonly string[] = [
  ...JSON_TYPE,
  ...["grpc-metadata-content-type", "application/grpc"],
];

const EMPTY = new Uint8Array(0);

/** Longer answers wait for their turn; one of this length takes some 50 µs. */
const SHORT_BYTES = 4 * KIB;

/** What a call needs of its gateway. */
export interface CallOwner {
  readonly mapError: (error: unknown) => Failure;
  readonly nowMs: () => number;
  /** Bytes of a request message in protobuf's form; in JSON it may have a third more, and some. */
  readonly receiveBytesMax: number;
  /** Where large answers become JSON. */
  readonly pace: Pace;
  /** What waits for that. */
  readonly held: LargeReads;
  /** The call is over. */
  readonly onEnd: (call: JsonCall) => void;
}

/** What is called, and how. */
export interface CallOptions {
  readonly type: MethodType<unknown, unknown>;
  readonly method: Method;
  readonly metadata: Metadata;
  readonly meter: CallMeter;
  /** Absolute; Infinity if there is none. */
  readonly deadlineMs: number;
  readonly peer: string;
  readonly siblings: number;
}

/** Room for the JSON of a message: base64 adds a third, names and white space the rest. */
export function jsonBytesMax(messageBytesMax: number): number {
  return Math.ceil((messageBytesMax * 4) / 3) + JSON_OVERHEAD_BYTES;
}

/** A transaction of 128 operations has some 10 KiB of names, quotes and white space. */
const JSON_OVERHEAD_BYTES = 64 * 1024;

export class JsonCall implements ServerCall, BodyReader {
  readonly deadlineMs: number;
  /** As in etcd, a gateway's caller is not who the client's certificate says. */
  readonly peerName = undefined;
  cancelled = false;
  onCancel: (() => void) | undefined = undefined;
  readonly #options: CallOptions;
  readonly #owner: CallOwner;
  readonly #response: HttpResponse;
  readonly #values: JsonValues;
  readonly #startedMs: number;
  #handler: StreamHandler | undefined = undefined;
  #onReplyDrain: (() => void) | undefined = undefined;
  #large: PacedAnswer | undefined = undefined;
  #replyLeft = 0;
  #asked = false;
  #sending = false;
  #done = false;

  constructor(owner: CallOwner, options: CallOptions, response: HttpResponse) {
    this.#owner = owner;
    this.#options = options;
    this.#response = response;
    this.deadlineMs = options.deadlineMs;
    this.#startedMs = owner.nowMs();
    const bytesMax = jsonBytesMax(owner.receiveBytesMax);
    this.#values = new JsonValues(bytesMax, (...value) => this.#onValue(...value));
  }

  /** Opens the stream, if the method has one. */
  begin(): void {
    const { method, meter } = this.#options;
    meter.onStart();
    this.#response.onCancel = () => this.#cancel(GrpcCode.CANCELLED);
    this.#response.onDrain = () => this.#onDrain();
    if ("stream" in method) {
      this.#guarded(() => {
        this.#handler = method.stream(this);
      });
    }
  }

  get path(): string {
    return this.#options.type.path;
  }

  get metadata(): Metadata {
    return this.#options.metadata;
  }

  get peer(): string {
    return this.#options.peer;
  }

  get siblings(): number {
    return this.#options.siblings;
  }

  get writable(): boolean {
    return this.#response.writable && this.#large?.busy !== true;
  }

  get queuedBytes(): number {
    return this.#response.queuedBytes;
  }

  // ---- what comes in ----------------------------------------------------------------------

  get held(): number {
    return this.#values.held;
  }

  onData(bytes: Uint8Array, start: number, end: number): void {
    if (this.#done) return;
    try {
      this.#values.take(bytes, start, end);
    } catch (error) {
      this.#onMalformed(error);
    }
  }

  onEnd(): void {
    if (this.#done) return;
    if (this.#values.held > 0) {
      this.#onMalformed(new AetherError("invalid_argument", "unexpected EOF"));
    } else if (this.#options.type.clientStream) {
      this.#guarded(() => this.#handler?.onHalfClose());
    } else if (!this.#asked) this.#ask(EMPTY, 0);
  }

  /** The time has come that `deadlineMs` says. */
  onDeadline(): void {
    this.#cancel(GrpcCode.DEADLINE_EXCEEDED);
  }

  /** Whether more objects are wanted. */
  #onValue(bytes: Uint8Array, start: number, end: number): boolean {
    const message = this.#encoded(bytes, start, end);
    const { bytes: encoded, length } = message;
    const { receiveBytesMax } = this.#owner;
    if (length > receiveBytesMax) throw tooLarge(length, receiveBytesMax);
    this.#ask(encoded, length);
    return this.#options.type.clientStream && !this.#done;
  }

  /** Memory of its own: a method may be called again before this call of it returns. */
  #encoded(bytes: Uint8Array, start: number, end: number): ByteWriter {
    const { request } = this.#options.type;
    try {
      const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(start, end));
      const writer = new ByteWriter(Math.max(64, end - start));
      request.encode(fromJson(request, parseJson(text)), writer);
      return writer;
    } catch (error) {
      const isText = !(error instanceof TypeError); // what the decoder throws for no UTF-8
      if (isText && !(error instanceof DecodeError)) throw error;
      const reason = isText ? (error as Error).message : "invalid UTF-8";
      throw new AetherError("invalid_argument", reason, { cause: error });
    }
  }

  #ask(bytes: Uint8Array, length: number): void {
    this.#asked = true;
    const { method, type, meter } = this.#options;
    meter.onReceived();
    this.#guarded(() => {
      if ("unary" in method) method.unary(this, bytes, 0, length);
      else {
        this.#handler?.onMessage(bytes, 0, length);
        if (!type.clientStream && !this.#done) this.#handler?.onHalfClose();
      }
    });
  }

  /** Of a stream that had a request, one that is none only ends the requests, as in etcd. */
  #onMalformed(error: unknown): void {
    const { code, message } = this.#owner.mapError(error);
    this.#values.end();
    if (this.#asked) this.#guarded(() => this.#handler?.onHalfClose());
    else this.#endHandled(code, message, false);
  }

  /** Calls the handler; what it throws ends the call. */
  #guarded(body: () => void): void {
    try {
      body();
    } catch (error) {
      const { code, message } = this.#owner.mapError(error);
      this.#endHandled(code, message, true);
    }
  }

  // ---- what goes out ----------------------------------------------------------------------

  reply(bytes: Uint8Array, start: number, end: number): void {
    if (this.#done) return;
    if (this.#owner.nowMs() >= this.deadlineMs) {
      this.#cancel(GrpcCode.DEADLINE_EXCEEDED);
      return;
    }
    if (end - start > SHORT_BYTES) {
      this.#replyLarge(bytes, start, end);
      return;
    }
    this.#options.meter.onSent();
    const text = JSON.stringify(this.#json(bytes, start, end));
    this.#over(GrpcCode.OK);
    this.#response.end(200, MESSAGE_FIELDS, text);
  }

  /** In slices; one field is made in one go, so that of a transaction must not be a whole range. */
  #replyLarge(bytes: Uint8Array, start: number, end: number): void {
    const longest = longestField(bytes, start, end);
    const { receiveBytesMax } = this.#owner;
    if (longest > receiveBytesMax) {
      const message = `a part of the answer has ${longest} bytes, JSON takes ${receiveBytesMax}`;
      this.#endWith(GrpcCode.RESOURCE_EXHAUSTED, message, false);
      return;
    }
    if (this.#beginLarge(end - start)) this.#takeLarge(bytes, start, end, true);
  }

  beginReply(size: number, onDrain: () => void): void {
    this.#replyLeft = size;
    this.#onReplyDrain = onDrain;
    if (!this.#done && !this.#beginLarge(Math.min(size, STEP_BYTES))) this.cancelled = true;
  }

  /** `first`: bytes that come at once. False: too much waits already, and the client was told. */
  #beginLarge(first: number): boolean {
    const held = this.#owner.held.begin();
    try {
      held.hold(first);
    } catch (error) {
      held.end();
      const { code, message } = this.#owner.mapError(error);
      this.#endWith(code, message, false);
      return false;
    }
    held.onCut = () => this.#cutLarge(new AetherError("too_many_requests"));
    this.#large = new PacedAnswer({
      type: this.#options.type.response,
      response: this.#response,
      pace: this.#owner.pace,
      held,
      onRoom: () => this.#onDrain(),
      onEnd: () => this.#endLarge(),
    });
    this.#start();
    return true;
  }

  continueReply(bytes: Uint8Array, start: number, end: number): void {
    this.#replyLeft -= end - start;
    assert(this.#replyLeft >= 0, "an answer in pieces is as long as it was said to be");
    if (!this.#done) this.#takeLarge(bytes, start, end, this.#replyLeft === 0);
  }

  #takeLarge(bytes: Uint8Array, start: number, end: number, isLast: boolean): void {
    try {
      this.#large?.take(bytes, start, end, isLast);
    } catch (error) {
      this.#cutLarge(error);
    }
  }

  /** Too much waits to become JSON, and this answer has begun. */
  #cutLarge(error: unknown): void {
    const { code, message } = this.#owner.mapError(error);
    this.cancelled = true;
    this.#endWith(code, message, false);
    this.#tell();
  }

  #endLarge(): void {
    this.#options.meter.onSent();
    this.#over(GrpcCode.OK);
    this.#response.finish();
  }

  send(bytes: Uint8Array, start: number, end: number): void {
    if (this.#done) return;
    this.#options.meter.onSent();
    if (!this.#sending) this.#start();
    const text = JSON.stringify({ result: this.#json(bytes, start, end) });
    this.#response.write(`${escapeHtml(text)}\n`);
  }

  finish(): void {
    if (this.#done) return;
    this.#over(GrpcCode.OK);
    if (!this.#sending) this.#response.start(200, []);
    this.#response.finish();
  }

  fail(code: GrpcCode, message: string): void {
    if (!this.#done) this.#endWith(code, message, this.#handler !== undefined);
  }

  /** Ends the call for its handler, too, which did not end it itself. */
  #endHandled(code: GrpcCode, message: string, asStream: boolean): void {
    if (this.#done) return;
    const handler = this.#handler;
    this.cancelled = true;
    handler?.onCancel();
    this.cancelled = false;
    this.#endWith(code, message, asStream && this.#handler !== undefined);
  }

  /** The failure of a stream is its last message, with a status if it is also the first. */
  #endWith(code: GrpcCode, message: string, asStream: boolean): void {
    if (this.#done) return; // the handler ended the call when it was told
    this.#over(code);
    const response = this.#response;
    if (this.#large !== undefined) response.abort();
    else if (asStream) {
      const text = `{"error":${escapeHtml(statusJson(code, message))}}\n`;
      if (!this.#sending) response.start(httpStatusOf(code), JSON_TYPE);
      response.write(text);
      response.finish();
    } else endWithStatus(response, code, message);
  }

  #start(): void {
    this.#sending = true;
    this.#response.start(200, MESSAGE_FIELDS);
  }

  #json(bytes: Uint8Array, start: number, end: number): unknown {
    const { response } = this.#options.type;
    return toJson(response, response.decode(bytes, start, end));
  }

  // ---- ends -------------------------------------------------------------------------------

  #onDrain(): void {
    if (this.#done) return;
    this.#large?.resume();
    if (!this.writable) return;
    this.#guarded(this.#onReplyDrain ?? (() => this.#handler?.onDrain()));
  }

  /** The client has gone, or the time is over: the handler is told, and so is a client. */
  #cancel(code: GrpcCode): void {
    if (this.#done) return;
    this.cancelled = true;
    const gone = this.#response.cancelled;
    const { message } = failureOf(
      new AetherError(code === GrpcCode.CANCELLED ? "canceled" : "deadline_exceeded"),
    );
    if (gone) this.#over(code);
    else this.#endWith(code, message, this.#handler !== undefined);
    this.#tell();
  }

  /** The handler hears that nobody waits any more. */
  #tell(): void {
    const told = this.onCancel ?? this.#onReplyDrain;
    this.#guarded(told ?? (() => this.#handler?.onCancel()));
  }

  #over(code: GrpcCode): void {
    this.#done = true;
    this.#values.end();
    this.#large?.stop();
    this.#options.meter.onEnd(code, this.#startedMs);
    this.#owner.onEnd(this);
  }
}
