/**
 * A request over HTTP/2 which is not gRPC: collects its body and sends the handler's answer
 * (RFC 9113 §8.1).
 */
import { ByteWriter } from "../../base/bytes.ts";
import { StreamState } from "../http2/stream.ts";
import type { StreamEngine } from "../http2/stream-engine.ts";
import type { RequestHead } from "./request-head.ts";
import type { HttpHandler, HttpResponder } from "./server-call.ts";
import type { Exchange, ServerStream } from "./server-stream.ts";

export class HttpExchange implements HttpResponder, Exchange {
  readonly #engine: StreamEngine<ServerStream, RequestHead>;
  readonly #stream: ServerStream;
  readonly #handler: HttpHandler;
  readonly #bodyBytesMax: number;
  readonly #body = new ByteWriter(256);
  onDrain: () => void = nothing;
  onCancel: () => void = nothing;

  constructor(
    engine: StreamEngine<ServerStream, RequestHead>,
    stream: ServerStream,
    handler: HttpHandler,
    bodyBytesMax: number,
  ) {
    this.#engine = engine;
    this.#stream = stream;
    this.#handler = handler;
    this.#bodyBytesMax = bodyBytesMax;
  }

  get writable(): boolean {
    return (this.#stream.state & StreamState.DRAIN_OWED) === 0;
  }

  get cancelled(): boolean {
    return this.#stream.cancelled;
  }

  /** Adds to the body; over the limit the answer is 413. */
  onData(bytes: Buffer, start: number, end: number): void {
    const stream = this.#stream;
    if (this.#body.length + end - start > this.#bodyBytesMax) {
      this.respond(413, [], new Uint8Array(0));
      return;
    }
    this.#body.append(bytes, start, end);
    const { contentLength } = stream.head;
    stream.held = this.#body.length;
    // A body of unknown length asks for all it may have, so that it can always complete.
    const size = contentLength < 0 ? this.#bodyBytesMax : contentLength;
    stream.needed = Math.max(0, Math.min(size, this.#bodyBytesMax + 1) - stream.held);
  }

  /** The request is whole. */
  onEnd(peer: string): void {
    const { method, path, metadata } = this.#stream.head;
    const body = this.#body.copy();
    this.#handler({ method, path, headers: metadata, peer, body }, this);
  }

  respond(status: number, headers: readonly string[], body: Uint8Array): void {
    if (this.#stream.done || this.#stream.answering) return;
    this.#sendHead(status, [...headers, "content-length", String(body.length)]);
    if (body.length > 0 && this.#stream.head.method !== "HEAD") this.write(body);
    this.end();
  }

  begin(status: number, headers: readonly string[]): void {
    if (this.#stream.done || this.#stream.answering) return;
    this.#sendHead(status, headers);
  }

  write(bytes: Uint8Array): void {
    if (this.#stream.done || !this.#stream.answering || bytes.length === 0) return;
    this.#engine.sender.send(this.#stream, bytes, 0, bytes.length, false);
  }

  end(): void {
    if (this.#stream.done || !this.#stream.answering) return;
    this.#stream.done = true;
    this.#stream.state |= StreamState.CLOSE_AFTER;
    this.#engine.finish(this.#stream, undefined);
  }

  #sendHead(status: number, headers: readonly string[]): void {
    this.#stream.answering = true;
    this.#engine.sendHead(this.#stream, [":status", String(status), ...headers]);
  }
}

function nothing(): void {}
