/**
 * A request over HTTP/2 which is not gRPC: collects its body, or hands it on as it comes to who
 * wants that, and sends the handler's answer (RFC 9113 §8.1). Handlers are those of HTTP/1.1 and
 * cannot tell the difference, but that no protocol can be switched to.
 */
import { assert } from "../../base/assert.ts";
import { ByteWriter } from "../../base/bytes.ts";
import {
  type BodyReader,
  HTTP_METHODS,
  HttpHeaders,
  type HttpMethod,
  type HttpRequest,
  type HttpResponse,
} from "../http1/http.ts";
import { Http2Code } from "../http2/protocol.ts";
import { StreamState } from "../http2/stream.ts";
import type { StreamEngine } from "../http2/stream-engine.ts";
import type { HttpService } from "./grpc-server.ts";
import type { RequestHead } from "./request-head.ts";
import type { Exchange, ServerStream } from "./server-stream.ts";

export class HttpExchange implements HttpResponse, Exchange {
  readonly #engine: StreamEngine<ServerStream, RequestHead>;
  readonly #stream: ServerStream;
  readonly #service: HttpService;
  readonly #body = new ByteWriter(256);
  #bodyBytes = 0; // of its buffer, as the connection's account has it
  #reader: BodyReader | undefined = undefined;
  #received = 0;
  #added: readonly string[] = [];
  #bodiless = false;
  onDrain: () => void = nothing;
  onCancel: () => void = nothing;

  constructor(
    engine: StreamEngine<ServerStream, RequestHead>,
    stream: ServerStream,
    service: HttpService,
  ) {
    this.#engine = engine;
    this.#stream = stream;
    this.#service = service;
  }

  /** The head has come; what answers before its body is whole begins now. */
  begin(): void {
    const { streams } = this.#service;
    if (streams === undefined || !isKnownMethod(this.#stream.head.method)) return;
    this.#reader = streams(this.#request(this.#stream.head.method, NO_BODY), this);
  }

  /** Nothing of the body is waited for: what has come was taken. */
  get resting(): boolean {
    return this.#reader !== undefined && this.#reader.held === 0;
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
    const { bodyBytesMax } = this.#service;
    this.#received += end - start;
    if (this.#reader !== undefined) this.#reader.onData(bytes, start, end);
    else if (this.#body.length + end - start > bodyBytesMax) {
      this.#refuse(413);
      return;
    } else this.#collect(bytes, start, end);
    stream.held = this.#reader?.held ?? this.#body.length;
    const { contentLength } = stream.head;
    // A body of unknown length asks for all it may have, so that it can always complete.
    const left = contentLength < 0 ? bodyBytesMax : contentLength - this.#received;
    const waits = this.#reader === undefined || stream.held > 0;
    stream.needed = waits ? Math.max(0, Math.min(left, bodyBytesMax + 1 - stream.held)) : 0;
  }

  /** The stream is over: what was collected is not waited for any longer. */
  onClosed(): void {
    this.#engine.memory?.add(-this.#bodyBytes);
    this.#bodyBytes = 0;
  }

  #collect(bytes: Buffer, start: number, end: number): void {
    this.#body.append(bytes, start, end);
    this.#engine.memory?.add(this.#body.bytes.length - this.#bodyBytes);
    this.#bodyBytes = this.#body.bytes.length;
  }

  /** The request is whole. */
  onEnd(): void {
    const { method } = this.#stream.head;
    if (this.#reader !== undefined) this.#reader.onEnd();
    else if (!isKnownMethod(method)) this.#refuse(501);
    else this.#service.handler(this.#request(method, this.#body.copy()), this);
  }

  #request(method: HttpMethod, body: Uint8Array): HttpRequest {
    const { path: target, metadata } = this.#stream.head;
    const mark = target.indexOf("?");
    const path = mark < 0 ? target : target.slice(0, mark);
    const query = mark < 0 ? "" : target.slice(mark + 1);
    const headers = new HttpHeaders(regularFields(metadata.fields));
    const { peer, peerName, secure } = this.#stream.owner;
    const { siblings } = this.#stream;
    return { method, path, query, headers, body, peer, siblings, peerName, secure };
  }

  /** An answer that has begun cannot be taken back: it is cut off. */
  onError(): void {
    if (this.#stream.done) return;
    if (this.#stream.answering) this.abort();
    else this.#refuse(500);
  }

  addFields(fields: readonly string[]): void {
    this.#added = [...this.#added, ...fields];
  }

  /** HTTP/2 has no such thing (RFC 9113 §8.6). */
  upgrade(): boolean {
    return false;
  }

  abort(): void {
    if (this.cancelled) return;
    assert(this.#stream.answering && !this.#stream.done, "cut off outside of an answer");
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
    this.#end([":status", String(status), ...this.#added, ...fields]);
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
    this.#engine.sendHead(this.#stream, [":status", String(status), ...this.#added, ...fields]);
  }
}

const NO_BODY = new Uint8Array(0);

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
