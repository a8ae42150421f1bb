/**
 * The answer to one request, written into the connection's output as it is given.
 *
 *   waiting ─ end() ─────────────────────▶ done
 *      ├──── start() ─▶ streaming ─ finish() ─▶ done          (any) ─ cancel() ─▶ cancelled
 *      └── upgrade() ─▶ upgraded ── finish() ─▶ done
 *
 * A stream is chunked in HTTP/1.1; in HTTP/1.0 it ends with the connection (RFC 9112 §6.3, §7.1).
 */
import { assert } from "../../base/assert.ts";
import type { OutputBuffer } from "../connection.ts";
import type { BodyReader, HttpResponse } from "./http.ts";
import { OUTPUT_HIGH_BYTES } from "./limits.ts";
import { reasonPhrase } from "./status.ts";

/** What an exchange needs of its connection. */
export interface ExchangeOwner {
  readonly output: OutputBuffer;
  /** Whether the connection goes on after this answer, asked when the head is written. */
  staysOpen(): boolean;
  /** The answer is complete; `close` if its end is the end of the connection. */
  done(close: boolean): void;
  /** From now on what comes is for `reader`. */
  upgraded(reader: BodyReader): void;
  /** Ends the connection at once. */
  abort(): void;
}

export interface ExchangeKind {
  /** HEAD: no body is written, whatever the handler gives. */
  readonly headOnly: boolean;
  readonly minor: 0 | 1;
  /** Whether the client lets the connection live. */
  readonly keepAlive: boolean;
  /** The client asks for another protocol, and may be given it. */
  readonly mayUpgrade: boolean;
}

const FIELD_NAME = /^[!#$%&'*+.^_`|~0-9a-z-]+$/;
const FIELD_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;
const OWN_FIELDS = new Set(["connection", "content-length", "transfer-encoding"]);

export class Exchange implements HttpResponse {
  onDrain: () => void = nothing;
  onCancel: () => void = nothing;
  readonly #owner: ExchangeOwner;
  readonly #kind: ExchangeKind;
  #state: "waiting" | "streaming" | "upgraded" | "done" | "cancelled" = "waiting";
  #added: readonly string[] = [];
  #close = false;
  #bodiless = false;
  #stuck = false; // we wrote more than is good, and owe the handler an onDrain

  constructor(owner: ExchangeOwner, kind: ExchangeKind) {
    this.#owner = owner;
    this.#kind = kind;
  }

  get cancelled(): boolean {
    return this.#state === "cancelled";
  }

  get queuedBytes(): number {
    return this.#owner.output.pending;
  }

  get writable(): boolean {
    return this.#owner.output.pending <= OUTPUT_HIGH_BYTES;
  }

  addFields(fields: readonly string[]): void {
    this.#added = [...this.#added, ...fields];
  }

  upgrade(fields: readonly string[], reader: BodyReader): boolean {
    if (this.#state === "cancelled" || !this.#kind.mayUpgrade) return false;
    assert(this.#state === "waiting", "a request was answered twice");
    this.#state = "upgraded";
    this.#close = true;
    this.#text(`HTTP/1.1 101 ${reasonPhrase(101)}\r\nconnection: Upgrade\r\n`);
    this.#writeFields(fields);
    this.#text("\r\n");
    this.#owner.upgraded(reader);
    return true;
  }

  end(status: number, fields: readonly string[], body: Uint8Array | string): void {
    if (this.#state === "cancelled") return;
    assert(this.#state === "waiting", "a request was answered twice");
    const bytes = typeof body === "string" ? Buffer.from(body, "utf8") : body;
    const bare = isBare(status);
    assert(!bare || bytes.length === 0, "204 and 304 have no body");
    const length = bare ? "" : `content-length: ${bytes.length}\r\n`;
    this.#close = !this.#kind.keepAlive || !this.#owner.staysOpen();
    this.#writeHead(status, fields, length);
    if (!this.#kind.headOnly) this.#append(bytes);
    this.#finished();
  }

  start(status: number, fields: readonly string[]): void {
    if (this.#state === "cancelled") return;
    assert(this.#state === "waiting", "a request was answered twice");
    this.#state = "streaming";
    const bare = isBare(status);
    const chunked = this.#kind.minor === 1;
    this.#bodiless = bare || this.#kind.headOnly;
    this.#close = !this.#kind.keepAlive || !this.#owner.staysOpen() || (!chunked && !bare);
    const coding = chunked && !bare ? "transfer-encoding: chunked\r\n" : "";
    this.#writeHead(status, fields, coding);
    this.#noteRoom();
  }

  write(bytes: Uint8Array | string): void {
    if (this.#state === "cancelled") return;
    const raw = this.#state === "upgraded";
    assert(raw || this.#state === "streaming", "written outside of a streamed answer");
    const piece = typeof bytes === "string" ? Buffer.from(bytes, "utf8") : bytes;
    // An empty chunk would end the body.
    if (this.#bodiless || piece.length === 0) return;
    const chunked = this.#kind.minor === 1 && !raw;
    if (chunked) this.#text(`${piece.length.toString(16)}\r\n`);
    this.#append(piece);
    if (chunked) this.#text("\r\n");
    this.#noteRoom();
  }

  finish(): void {
    if (this.#state === "cancelled") return;
    const raw = this.#state === "upgraded";
    assert(raw || this.#state === "streaming", "finished what was not a streamed answer");
    if (!raw && !this.#bodiless && this.#kind.minor === 1) this.#text("0\r\n\r\n");
    this.#finished();
  }

  abort(): void {
    if (this.#state === "cancelled") return;
    assert(this.#state === "streaming" || this.#state === "upgraded", "cut off what has not begun");
    this.#state = "done";
    this.#owner.abort();
  }

  /** The connection says: output has drained. */
  drained(): void {
    if (!this.#stuck || !this.writable) return;
    this.#stuck = false;
    this.onDrain();
  }

  /** The connection says: nobody will read the rest. */
  cancel(): void {
    assert(this.#state !== "done", "cancelled an answer that is complete");
    this.#state = "cancelled";
    this.onCancel();
  }

  #finished(): void {
    this.#state = "done";
    this.#owner.done(this.#close);
  }

  #noteRoom(): void {
    if (!this.writable) this.#stuck = true;
  }

  #writeHead(status: number, fields: readonly string[], framing: string): void {
    assert(status >= 200 && status <= 599, "a final status is between 200 and 599");
    this.#text(`HTTP/1.1 ${status} ${reasonPhrase(status)}\r\n`);
    this.#writeFields(this.#added);
    this.#writeFields(fields);
    let text = "";
    if (this.#close) text += "connection: close\r\n";
    else if (this.#kind.minor === 0) text += "connection: keep-alive\r\n";
    this.#text(`${text}${framing}\r\n`);
  }

  #writeFields(fields: readonly string[]): void {
    let text = "";
    for (let at = 0; at < fields.length; at += 2) {
      const name = fields[at] as string;
      const value = fields[at + 1] as string;
      assert(FIELD_NAME.test(name) && !OWN_FIELDS.has(name), "a field the answer may not have");
      assert(FIELD_VALUE.test(value), "a field value with a byte it may not have");
      text += `${name}: ${value}\r\n`;
    }
    if (text !== "") this.#text(text);
  }

  #text(text: string): void {
    const output = this.#owner.output;
    const at = output.reserve(text.length);
    output.bytes.write(text, at, text.length, "latin1");
  }

  #append(bytes: Uint8Array): void {
    if (bytes.length > 0) this.#owner.output.append(bytes, 0, bytes.length);
  }
}

/** Answers which have no body and so no length (RFC 9110 §8.6). */
function isBare(status: number): boolean {
  return status === 204 || status === 304;
}

function nothing(): void {}
