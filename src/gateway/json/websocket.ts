/**
 * The gateway over a WebSocket, for browsers, which cannot stream the body of a request: each
 * message of the client is a part of the body, each line of the answer is a message (etcd wraps
 * its gateway so: grpc-websocket-proxy). The status of an answer is lost; its text is not.
 *
 * A browser cannot set Authorization here: a token comes as the subprotocol "Bearer, <token>" or
 * in a cookie "token".
 */
import { asBuffer } from "../../base/bytes.ts";
import type { BodyReader, HttpRequest, HttpResponse } from "../../wire/http1/http.ts";
import { HttpHeaders } from "../../wire/http1/http.ts";
import { CloseCode, Opcode, putFrame } from "../../wire/websocket/frames.ts";
import { acceptFields, refusalOf } from "../../wire/websocket/handshake.ts";
import { WebSocketReader, type WebSocketSink } from "../../wire/websocket/reader.ts";
import { jsonBytesMax } from "./call.ts";

export interface WebSocketParts {
  /** Begins the call that the messages are for; undefined: it is answered already. */
  readonly open: (request: HttpRequest, response: HttpResponse) => BodyReader | undefined;
  readonly receiveBytesMax: number;
}

const NEWLINE = 0x0a;
const LINE_END = new Uint8Array([NEWLINE]);

/** Answers the handshake, and from then on carries a call. */
export function openWebSocket(
  request: HttpRequest,
  response: HttpResponse,
  parts: WebSocketParts,
): void {
  const refusal = refusalOf(request);
  const pipe = new WebSocketPipe(response, jsonBytesMax(parts.receiveBytesMax));
  if (refusal !== undefined) {
    response.end(refusal.status, refusal.fields, refusal.text);
  } else if (response.upgrade(acceptedFields(request), pipe.reader)) {
    pipe.begin(parts.open(asPost(request), pipe));
  } else response.end(400, ["content-type", "text/plain; charset=utf-8"], "Bad Request\n");
}

/** Whoever offers a bearer's token as a subprotocol is told that it was taken. */
function acceptedFields(request: HttpRequest): readonly string[] {
  const fields = acceptFields(request);
  const offered = request.headers.get("sec-websocket-protocol") ?? "";
  return offered.startsWith("Bearer") ? [...fields, "sec-websocket-protocol", "Bearer"] : fields;
}

/** The request that the call is made of: of the handshake's fields only those that say who asks. */
function asPost({ headers, ...request }: HttpRequest): HttpRequest {
  const fields: string[] = [];
  for (const name of ["origin", "referer", "host"]) {
    const value = headers.get(name);
    if (value !== undefined) fields.push(name, value);
  }
  const token = /(?:^|;\s*)token=([^;]*)/.exec(headers.get("cookie") ?? "")?.[1];
  const offered = headers.get("sec-websocket-protocol") ?? "";
  const bearer = token ?? /Bearer,\s*(.*)$/.exec(offered)?.[1]?.trim();
  if (bearer !== undefined) fields.push("authorization", `Bearer ${bearer}`);
  return { ...request, method: "POST", headers: new HttpHeaders(fields), body: new Uint8Array(0) };
}

/** The response that a call writes to, and the reader of what the client sends. */
class WebSocketPipe implements HttpResponse, WebSocketSink {
  readonly reader: WebSocketReader;
  onDrain: () => void = nothing;
  onCancel: () => void = nothing;
  readonly #response: HttpResponse;
  #body: BodyReader | undefined = undefined;
  /** A line has begun whose end has not been written. */
  #inLine = false;
  #cancelled = false;
  #closed = false;

  constructor(response: HttpResponse, messageBytesMax: number) {
    this.#response = response;
    this.reader = new WebSocketReader(this, messageBytesMax);
    response.onDrain = () => this.onDrain();
    response.onCancel = () => this.#cancel();
  }

  begin(body: BodyReader | undefined): void {
    this.#body = body;
  }

  // ---- of the client ----------------------------------------------------------------------

  onMessage(bytes: Uint8Array, start: number, end: number): void {
    this.#body?.onData(bytes, start, end);
    this.#body?.onData(LINE_END, 0, 1);
  }

  onPing(payload: Uint8Array): void {
    if (!this.#closed) this.#frame(Opcode.PONG, true, payload);
  }

  onClose(code: number): void {
    this.#close(code);
    this.#cancel();
  }

  // ---- of the call ------------------------------------------------------------------------

  get writable(): boolean {
    return this.#response.writable;
  }

  get queuedBytes(): number {
    return this.#response.queuedBytes;
  }

  get cancelled(): boolean {
    return this.#cancelled;
  }

  addFields(): void {}

  upgrade(): boolean {
    return false;
  }

  end(_status: number, _fields: readonly string[], body: Uint8Array | string): void {
    this.write(body);
    this.finish();
  }

  start(): void {}

  /** A line, or a part of one: each line is a message. */
  write(piece: Uint8Array | string): void {
    if (this.#cancelled || this.#closed) return;
    const bytes = typeof piece === "string" ? Buffer.from(piece, "utf8") : asBuffer(piece);
    if (bytes.length === 0) return;
    const isLast = bytes[bytes.length - 1] === NEWLINE;
    this.#part(isLast ? bytes.subarray(0, -1) : bytes, isLast);
  }

  finish(): void {
    if (this.#cancelled || this.#closed) return;
    if (this.#inLine) this.#part(LINE_END.subarray(0, 0), true);
    this.#close(CloseCode.NORMAL);
  }

  abort(): void {
    if (this.#cancelled || this.#closed) return;
    this.#closed = true;
    this.#response.abort();
  }

  #part(bytes: Uint8Array, isLast: boolean): void {
    this.#frame(this.#inLine ? Opcode.CONTINUATION : Opcode.TEXT, isLast, bytes);
    this.#inLine = !isLast;
  }

  #frame(opcode: Opcode, isLast: boolean, payload: Uint8Array): void {
    this.#response.write(putFrame(opcode, isLast, payload));
  }

  #close(code: number): void {
    if (this.#closed) return;
    this.#closed = true;
    const payload = Buffer.allocUnsafe(2);
    payload.writeUInt16BE(code, 0);
    this.#frame(Opcode.CLOSE, true, payload);
    this.#response.finish();
  }

  #cancel(): void {
    if (this.#cancelled) return;
    this.#closed = true;
    this.#cancelled = true;
    this.onCancel();
  }
}

function nothing(): void {}
