/**
 * A request over HTTP/2 which is not gRPC: collects its body and sends the handler's answer
 * (RFC 9113 §8.1). Handlers are those of HTTP/1.1 and cannot tell the difference.
 */
import { assert } from "../../base/assert.ts";
import { ByteWriter } from "../../base/bytes.ts";
import {
  HTTP_METHODS,
  type HttpHandler,
  HttpHeaders,
  type HttpMethod,
  type HttpRequest,
  type HttpResponse,
} from "../http1/http.ts";
import { Http2Code } from "../http2/protocol.ts";
import { StreamState } from "../http2/stream.ts";
import type { StreamEngine } from "../http2/stream-engine.ts";
import type { RequestHead } from "./request-head.ts";
import type { Exchange, ServerStream } from "./server-stream.ts";

export class HttpExchange implements HttpResponse, Exchange {
  readonly #engine: StreamEngine<ServerStream, RequestHead>;
  readonly #stream: ServerStream;
  readonly #handler: HttpHandler;
  readonly #bodyBytesMax: number;
  readonly #body = new ByteWriter(256);
  #bodiless = false;
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
    return this.#stream.writable;
  }

  get queuedBytes(): number {
    return this.#stream.queuedBytes;
  }

  get cancelled(): boolean {
    return this.#stream.cancelled;
  }

  /** Adds to the body; over the limit the answer is 413. */
  onData(bytes: Buffer, start: number, end: number): void {
    const stream = this.#stream;
    if (this.#body.length + end - start > this.#bodyBytesMax) {
      this.#refuse(413);
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
    const { method, path: target, metadata } = this.#stream.head;
    if (!isKnownMethod(method)) {
      this.#refuse(501);
      return;
    }
    const mark = target.indexOf("?");
    const path = mark < 0 ? target : target.slice(0, mark);
    const query = mark < 0 ? "" : target.slice(mark + 1);
    const headers = new HttpHeaders(regularFields(metadata.fields));
    const body = this.#body.copy();
    const request: HttpRequest = { method, path, query, headers, body, peer };
    this.#handler(request, this);
  }

  /** An answer that has begun cannot be taken back: it is cut off. */
  onError(): void {
    if (this.#stream.done) return;
    if (!this.#stream.answering) {
      this.#refuse(500);
      return;
    }
    this.#stream.done = true;
    this.#engine.reset(this.#stream, Http2Code.INTERNAL_ERROR);
  }

  end(status: number, fields: readonly string[], body: Uint8Array | string): void {
    if (this.cancelled) return;
    const bytes = typeof body === "string" ? Buffer.from(body, "utf8") : body;
    const bare = status === 204 || status === 304;
    const head = bare ? fields : [...fields, "content-length", String(bytes.length)];
    if (bytes.length === 0) {
      this.#answered(status, head);
      return;
    }
    this.#sendHead(status, head);
    this.write(bytes);
    this.finish();
  }

  start(status: number, fields: readonly string[]): void {
    if (!this.cancelled) this.#sendHead(status, fields);
  }

  write(piece: Uint8Array | string): void {
    if (this.cancelled) return;
    assert(this.#stream.answering && !this.#stream.done, "written outside of an answer");
    const bytes = typeof piece === "string" ? Buffer.from(piece, "utf8") : piece;
    if (this.#bodiless || bytes.length === 0) return;
    this.#engine.sender.send(this.#stream, bytes, 0, bytes.length, false);
  }

  finish(): void {
    if (this.cancelled) return;
    assert(this.#stream.answering && !this.#stream.done, "finished outside of an answer");
    this.#end(undefined);
  }

  /** The whole answer in one HEADERS frame. */
  #answered(status: number, fields: readonly string[]): void {
    assert(!this.#stream.answering, "a request was answered twice");
    this.#stream.answering = true;
    this.#end([":status", String(status), ...fields]);
  }

  #end(fields: readonly string[] | undefined): void {
    this.#stream.done = true;
    this.#stream.state |= StreamState.CLOSE_AFTER;
    this.#engine.finish(this.#stream, fields);
  }

  #refuse(status: number): void {
    this.end(status, ["content-type", "text/plain"], "");
  }

  #sendHead(status: number, fields: readonly string[]): void {
    assert(!this.#stream.answering, "a request was answered twice");
    this.#stream.answering = true;
    this.#bodiless = this.#stream.head.method === "HEAD" || status === 204 || status === 304;
    this.#engine.sendHead(this.#stream, [":status", String(status), ...fields]);
  }
}

function isKnownMethod(method: string): method is HttpMethod {
  return (HTTP_METHODS as readonly string[]).includes(method);
}

/** Without the pseudo fields, of which only :authority says something: it was the host field. */
function regularFields(fields: readonly string[]): string[] {
  const regular: string[] = [];
  for (let at = 0; at < fields.length; at += 2) {
    const name = fields[at] as string;
    if (name === ":authority") regular.push("host", fields[at + 1] as string);
    else if (!name.startsWith(":")) regular.push(name, fields[at + 1] as string);
  }
  return regular;
}

function nothing(): void {}
