/**
 * A call with streams, as its caller holds it. What is sent before there is a connection waits.
 *
 *   const watch = channel.open(Watch.Watch);
 *   watch.send(request);
 *   for await (const response of watch) …      // ends with OK, throws GrpcError otherwise
 *
 * Invariants
 *   D1  messages come out in the order in which they came in, all of them before the end
 *   D2  at most one next() is pending: a stream has one reader
 */
import { assert } from "../base/assert.ts";
import { ByteWriter } from "../base/bytes.ts";
import { KIB, MIB } from "../base/units.ts";
import type { MethodType } from "../proto/message.ts";
import type { ClientCall, ClientCallHandler } from "../wire/grpc/client-call.ts";
import { type Metadata, NO_METADATA } from "../wire/grpc/metadata.ts";
import { GrpcCode } from "../wire/grpc/status.ts";
import { canceled, GrpcError } from "./grpc-error.ts";
import { undecodable } from "./unary.ts";

/**
 * Encoded messages that wait for the reader; over it the server is let run into the stream's
 * window (4 MiB more, or one message), and let go on at half of it. Other calls are not held up.
 */
export const UNREAD_BYTES_MAX = 4 * MIB;
/** Messages sent before there is a connection, after which `writable` is false. */
const UNSENT_BYTES_MAX = 256 * KIB;

/** Read messages are dropped from the front of the queue this many at a time. */
const COMPACT_COUNT = 1024;

interface Reader<Response> {
  resolve(result: IteratorResult<Response, undefined>): void;
  reject(error: GrpcError): void;
}

interface Unread<Response> {
  readonly message: Response;
  readonly bytes: number;
}

type End = { readonly error: GrpcError | undefined; readonly trailers: Metadata };

export class Duplex<Request, Response>
  implements ClientCallHandler, AsyncIterableIterator<Response, undefined>
{
  readonly #method: MethodType<Request, Response>;
  readonly #scratch = new ByteWriter(256);
  readonly #headers = Promise.withResolvers<Metadata>();
  readonly #closed = Promise.withResolvers<void>();
  #drained: PromiseWithResolvers<void> | undefined;
  #call: ClientCall | undefined;
  #unsent: Uint8Array[] = [];
  #unsentBytes = 0;
  #halfClosed = false;
  #unread: Unread<Response>[] = [];
  #unreadHead = 0; // the first that was not read: shifting a long array is slow
  #unreadBytes = 0;
  #reader: Reader<Response> | undefined;
  #end: End | undefined;

  /** Use Channel.open(). */
  constructor(method: MethodType<Request, Response>) {
    this.#method = method;
    this.#headers.promise.catch(ignore); // whoever does not ask for it must not be told
  }

  /** Sends one message; ignored after the end (the reader is told why), wrong after halfClose. */
  send(message: Request): void {
    assert(!this.#halfClosed, "a message after halfClose");
    if (this.#end !== undefined) return;
    const scratch = this.#scratch;
    scratch.reset();
    this.#method.request.encode(message, scratch);
    if (this.#call !== undefined) {
      this.#call.send(scratch.bytes, 0, scratch.length);
      return;
    }
    this.#unsent.push(scratch.copy());
    this.#unsentBytes += scratch.length;
  }

  /** False: wait for drained() before sending much more. */
  get writable(): boolean {
    return this.#call === undefined ? this.#unsentBytes < UNSENT_BYTES_MAX : this.#call.writable;
  }

  /** Resolves once `writable`, or when the call has ended. */
  drained(): Promise<void> {
    if (this.writable || this.#end !== undefined) return Promise.resolve();
    this.#drained ??= Promise.withResolvers<void>();
    return this.#drained.promise;
  }

  /** No more messages from us; answers still come. */
  halfClose(): void {
    if (this.#halfClosed) return;
    this.#halfClosed = true;
    this.#call?.halfClose();
  }

  /** Gives the call up; the reader gets CANCELLED after what it has not read yet. */
  cancel(): void {
    if (this.#end !== undefined) return;
    this.#call?.cancel();
    if (this.#end === undefined) this.fail(canceled());
  }

  /** The server's header fields; rejects with GrpcError when the call ends without. */
  get headers(): Promise<Metadata> {
    return this.#headers.promise;
  }

  /** Resolves when the call is over, however it ended. */
  get closed(): Promise<void> {
    return this.#closed.promise;
  }

  /** The call is over; what was not read yet can still be. */
  get ended(): boolean {
    return this.#end !== undefined;
  }

  /** The trailing fields after the end, empty before. */
  get trailers(): Metadata {
    return this.#end?.trailers ?? NO_METADATA;
  }

  /** The next message; done after the last one of a call that ended with OK. */
  next(): Promise<IteratorResult<Response, undefined>> {
    assert(this.#reader === undefined, "a stream has one reader");
    if (this.#unreadHead < this.#unread.length) {
      return Promise.resolve({ done: false, value: this.#takeUnread() });
    }
    if (this.#end === undefined) {
      return new Promise((resolve, reject) => {
        this.#reader = { resolve, reject };
      });
    }
    const { error } = this.#end;
    if (error !== undefined) return Promise.reject(error);
    return Promise.resolve({ done: true, value: undefined });
  }

  /** Leaving a `for await` loop gives the call up. */
  return(): Promise<IteratorResult<Response, undefined>> {
    this.cancel();
    this.#unread = [];
    this.#unreadHead = 0;
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** The channel has a connection: what waited goes out. Not for callers. */
  attach(call: ClientCall): void {
    this.#call = call;
    for (const bytes of this.#unsent) call.send(bytes, 0, bytes.length);
    this.#unsent = [];
    if (this.#halfClosed) call.halfClose();
    if (call.writable) this.onDrain();
  }

  /** The call ends on our side. Not for callers. */
  fail(error: GrpcError): void {
    this.#finish({ error, trailers: error.trailers });
  }

  onHeaders(metadata: Metadata): void {
    this.#headers.resolve(metadata);
  }

  onMessage(bytes: Uint8Array, start: number, end: number): void {
    if (this.#end !== undefined) return;
    let message: Response;
    try {
      message = this.#method.response.decode(bytes, start, end);
    } catch (error) {
      this.#giveUp(undecodable(error, this.#method.response.typeName));
      return;
    }
    const reader = this.#reader;
    if (reader !== undefined) {
      this.#reader = undefined;
      reader.resolve({ done: false, value: message });
      return;
    }
    this.#unread.push({ message, bytes: end - start });
    this.#unreadBytes += end - start;
    if (this.#unreadBytes > UNREAD_BYTES_MAX) this.#call?.pause();
  }

  onEnd(code: GrpcCode, message: string, trailers: Metadata): void {
    const unprocessed = this.#call?.unprocessed === true;
    const failed = code !== GrpcCode.OK;
    const error = failed ? new GrpcError(code, message, { trailers, unprocessed }) : undefined;
    this.#finish({ error, trailers });
  }

  onDrain(): void {
    this.#drained?.resolve();
    this.#drained = undefined;
  }

  #takeUnread(): Response {
    const unread = this.#unread[this.#unreadHead++] as Unread<Response>;
    this.#unreadBytes -= unread.bytes;
    if (this.#unreadBytes < UNREAD_BYTES_MAX / 2) this.#call?.resume();
    if (this.#unreadHead === this.#unread.length || this.#unreadHead === COMPACT_COUNT) {
      this.#unread.splice(0, this.#unreadHead);
      this.#unreadHead = 0;
    }
    return unread.message;
  }

  /** Ends with `error` and tells the server that nobody listens. */
  #giveUp(error: GrpcError): void {
    this.fail(error);
    this.#call?.cancel();
  }

  #finish(end: End): void {
    if (this.#end !== undefined) return;
    this.#end = end;
    this.#unsent = [];
    this.onDrain();
    this.#headers.reject(end.error ?? new GrpcError(GrpcCode.INTERNAL, "no header fields"));
    this.#closed.resolve();
    const reader = this.#reader;
    this.#reader = undefined;
    if (end.error !== undefined) reader?.reject(end.error);
    else reader?.resolve({ done: true, value: undefined });
  }
}

function ignore(): void {}
