/**
 * Bytes to requests, in any chunking, one request after another.
 *
 *   line ─▶ fields ─┬─▶ (no body) ───────────────────────────────┬─▶ a request
 *                   ├─▶ length ──────────────────────────────────┤
 *                   └─▶ size ─▶ data ─▶ data-end ─▶ size … ─▶ trailers
 *
 * Each byte of a line is looked at once, however slowly it drips: `#scanned` remembers how far the
 * search for its end has come. Invariants: the body never exceeds its bound, and while no request
 * is whole, what is held is at most one line; `memory` knows every byte that is kept.
 */
import { latin1 } from "../../base/bytes.ts";
import { freeLarge, OutputBuffer } from "../connection.ts";
import type { MemoryAccount } from "../memory.ts";
import { HttpFault } from "./fault.ts";
import {
  checkHost,
  expectsContinue,
  framingOf,
  keepsAlive,
  parseChunkLine,
  parseField,
  parseRequestLine,
  type RequestLine,
} from "./head.ts";
import { type BodyReader, HttpHeaders } from "./http.ts";
import { CHUNK_EXTENSION_BYTES_MAX, CHUNK_LINE_BYTES_MAX, type HttpLimits } from "./limits.ts";

const CR = 0x0d;
const LF = 0x0a;
const SPACE = 0x20;

const NO_BYTES = Buffer.alloc(0);

/** First room for lines: a usual head. */
const INPUT_BYTES_FIRST = 512;

/** First room for a body: a claim of megabytes costs us nothing until they come. */
const BODY_BYTES_FIRST = 4096;

/** What read() gives: everything of a request but the peer's name. */
export interface ReadRequest {
  readonly line: RequestLine;
  readonly headers: HttpHeaders;
  readonly body: Uint8Array;
  readonly keepAlive: boolean;
}

type State = "line" | "fields" | "length" | "size" | "data" | "data-end" | "trailers" | "whole";

/** What the peer is in the midst of, for the deadlines. */
export type ReadPhase = "idle" | "head" | "body";

/** The reading half of a connection. After an HttpFault it must not be used again. */
export class RequestReader {
  readonly #limits: HttpLimits;
  readonly #memory: MemoryAccount | undefined;
  readonly #input: OutputBuffer;
  #state: State = "line";
  #scanned = 0; // bytes from the start of the input that hold no LF
  #skippedBlank = false;
  #line: RequestLine | undefined;
  #fields: string[] = [];
  #fieldBytes = 0;
  #headers = new HttpHeaders([]);
  #body: Buffer = NO_BYTES;
  #bodyBytes = 0;
  #due = 0; // bytes of the body, or of the chunk, which are still to come
  #extensionBytes = 0;
  #wantsContinue = false;

  constructor(limits: HttpLimits, memory?: MemoryAccount) {
    this.#limits = limits;
    this.#memory = memory;
    this.#input = new OutputBuffer(INPUT_BYTES_FIRST, memory);
  }

  get phase(): ReadPhase {
    if (this.#state === "line") return this.#input.pending === 0 ? "idle" : "head";
    return this.#state === "fields" ? "head" : "body";
  }

  /** Bytes that wait to be read. */
  get heldBytes(): number {
    return this.#input.pending;
  }

  /** Takes bytes; they are copied. */
  push(bytes: Uint8Array): void {
    this.#input.append(bytes, 0, bytes.length);
  }

  /** The protocol was switched: what waits to be read is for somebody else. */
  passOn(reader: BodyReader): void {
    const { bytes, start, end } = this.#input;
    if (end > start) reader.onData(bytes, start, end);
    this.#input.advance(end - start);
  }

  /** Nothing more is read: what was kept is given back. */
  discard(): void {
    this.#memory?.add(-this.#body.length);
    freeLarge(this.#body);
    this.#body = NO_BYTES;
    this.#bodyBytes = 0;
    this.#input.discard();
  }

  /** Gives memory back; call it now and then. */
  trim(): void {
    this.#input.trim();
  }

  /** Whether the peer waits for "100 Continue"; says so once. */
  takeContinue(): boolean {
    const wants = this.#wantsContinue;
    this.#wantsContinue = false;
    return wants;
  }

  /** The next whole request, or undefined until more has come. Throws HttpFault. */
  read(): ReadRequest | undefined {
    for (;;) {
      if (this.#state === "whole") return this.#take();
      if (!this.#step()) return undefined;
    }
  }

  /** Goes one step on; false if it needs more bytes. */
  #step(): boolean {
    switch (this.#state) {
      case "line":
        return this.#readRequestLine();
      case "fields":
        return this.#readField();
      case "length":
        return this.#readData("whole");
      case "size":
        return this.#readChunkSize();
      case "data":
        return this.#readData("data-end");
      case "data-end":
        return this.#readDataEnd();
      case "trailers":
        return this.#readTrailer();
      case "whole":
        return true;
    }
  }

  #readRequestLine(): boolean {
    this.#checkBeginning();
    const line = this.#takeLine(this.#limits.lineBytesMax, 414);
    if (line === undefined) return false;
    if (line === "" && !this.#skippedBlank) {
      this.#skippedBlank = true; // RFC 9112 §2.2: one, for the sake of old clients
      return true;
    }
    this.#skippedBlank = false;
    this.#line = parseRequestLine(line);
    this.#fields = [];
    this.#fieldBytes = 0;
    this.#state = "fields";
    return true;
  }

  /** A line that begins with a control byte is refused before its end: a TLS client on a plaintext
   * address would wait for an answer to its greeting, and we for a line's end. */
  #checkBeginning(): void {
    const { bytes, start, pending } = this.#input;
    if (pending === 0) return;
    const first = bytes[start] as number;
    if (first < SPACE && first !== CR) throw new HttpFault(400, "malformed request line");
  }

  #readField(): boolean {
    const line = this.#takeFieldLine();
    if (line === undefined) return false;
    if (line === "") this.#endHead(this.#line as RequestLine);
    else parseField(line, this.#fields);
    return true;
  }

  #endHead(line: RequestLine): void {
    this.#headers = new HttpHeaders(hostOf(line, this.#fields));
    checkHost(line, this.#headers);
    const framing = framingOf(line, this.#headers, this.#limits.bodyBytesMax);
    const expects = expectsContinue(line, this.#headers);
    this.#bodyBytes = 0;
    this.#extensionBytes = 0;
    if (framing.kind === "none") {
      this.#state = "whole";
      return;
    }
    this.#wantsContinue = expects && this.#input.pending === 0;
    if (framing.kind === "chunked") {
      this.#state = "size";
      return;
    }
    this.#due = framing.bytes;
    this.#state = "length";
  }

  #readChunkSize(): boolean {
    const line = this.#takeLine(CHUNK_LINE_BYTES_MAX, 400);
    if (line === undefined) return false;
    const { bytes, extensionBytes } = parseChunkLine(line);
    this.#extensionBytes += extensionBytes;
    if (this.#extensionBytes > CHUNK_EXTENSION_BYTES_MAX) {
      throw new HttpFault(413, "chunk extensions without end");
    }
    if (this.#bodyBytes + bytes > this.#limits.bodyBytesMax) {
      throw new HttpFault(413, `a body has at most ${this.#limits.bodyBytesMax} bytes`);
    }
    this.#due = bytes;
    this.#state = bytes === 0 ? "trailers" : "data";
    if (bytes === 0) {
      this.#fields = [];
      this.#fieldBytes = 0;
    }
    return true;
  }

  #readData(next: State): boolean {
    const input = this.#input;
    const count = Math.min(this.#due, input.pending);
    if (count === 0) return false;
    this.#makeRoom(count);
    input.bytes.copy(this.#body, this.#bodyBytes, input.start, input.start + count);
    input.advance(count);
    this.#bodyBytes += count;
    this.#due -= count;
    if (this.#due === 0) this.#state = next;
    return true;
  }

  #makeRoom(count: number): void {
    const need = this.#bodyBytes + count;
    if (need <= this.#body.length) return;
    const double = Math.max(this.#body.length * 2, BODY_BYTES_FIRST);
    const size = Math.min(double, this.#limits.bodyBytesMax);
    if (this.#memory?.refuses() === true) throw new HttpFault(503, "too much is held for others");
    const grown = Buffer.allocUnsafeSlow(Math.max(need, size));
    this.#body.copy(grown, 0, 0, this.#bodyBytes);
    this.#memory?.add(grown.length - this.#body.length);
    freeLarge(this.#body);
    this.#body = grown;
  }

  #readDataEnd(): boolean {
    const line = this.#takeLine(0, 400);
    if (line === undefined) return false;
    this.#state = "size";
    return true;
  }

  /** Trailers are checked like fields and dropped: no handler of ours has a use for them. */
  #readTrailer(): boolean {
    const line = this.#takeFieldLine();
    if (line === undefined) return false;
    if (line === "") this.#state = "whole";
    else parseField(line, this.#fields);
    return true;
  }

  #take(): ReadRequest {
    const line = this.#line as RequestLine;
    const body = this.#body.subarray(0, this.#bodyBytes); // now the request's own
    const headers = this.#headers;
    this.#memory?.add(-this.#body.length);
    this.#body = NO_BYTES;
    this.#bodyBytes = 0;
    this.#wantsContinue = false;
    this.#state = "line";
    return { line, headers, body, keepAlive: keepsAlive(line, headers) };
  }

  #takeFieldLine(): string | undefined {
    const limits = this.#limits;
    // The last line is empty and free, so that the bound can be reached to the byte.
    const room = Math.max(limits.fieldBytesMax - this.#fieldBytes - 2, 0);
    const line = this.#takeLine(room, 431);
    if (line === undefined || line === "") return line;
    if (this.#fields.length >= limits.fieldCountMax * 2) {
      throw new HttpFault(431, `a request has at most ${limits.fieldCountMax} fields`);
    }
    this.#fieldBytes += line.length + 2;
    return line;
  }

  /** The next line without its CRLF; undefined until it is whole. `status` if it is too long. */
  #takeLine(bytesMax: number, status: number): string | undefined {
    const input = this.#input;
    const bytes = input.bytes;
    const end = input.end;
    let at = input.start + this.#scanned;
    while (at < end && bytes[at] !== LF) at++;
    const length = at - input.start;
    if (length > bytesMax + 1) throw new HttpFault(status, `line longer than ${bytesMax} bytes`);
    if (at === end) {
      this.#scanned = length;
      return undefined;
    }
    this.#scanned = 0;
    if (length === 0 || bytes[at - 1] !== CR) throw new HttpFault(400, "line ends without CR");
    const line = latin1(bytes, input.start, at - 1);
    input.advance(length + 1);
    return line;
  }
}

/** An absolute target overrules Host (RFC 9112 §3.2.2). */
function hostOf(line: RequestLine, fields: readonly string[]): readonly string[] {
  if (line.authority === undefined) return fields;
  const out: string[] = [];
  for (let at = 0; at < fields.length; at += 2) {
    const name = fields[at] as string;
    out.push(name, name === "host" ? line.authority : (fields[at + 1] as string));
  }
  return out;
}
