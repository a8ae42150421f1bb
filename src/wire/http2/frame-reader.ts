/**
 * Cuts received bytes into frames (RFC 9113 §4.1) after the client's preface (§3.4). A frame that
 * lies whole in the received chunk is handed over where it lies; only one that is split between
 * chunks is put together in the carry buffer, each byte copied once. What the sink sees does not
 * depend on how the bytes were cut: the frame's size is judged as soon as its header is there.
 */
import { asBuffer } from "../../base/bytes.ts";
import { ConnectionError } from "./errors.ts";
import { FRAME_HEADER_BYTES, FrameType, Http2Code, PREFACE } from "./protocol.ts";

export interface FrameSink {
  /** One frame, its payload bytes[start, end) borrowed for the call. May throw ConnectionError. */
  onFrame(type: number, flags: number, id: number, bytes: Buffer, start: number, end: number): void;
  /** True: wants no more frames. */
  readonly closing: boolean;
}

export class FrameReader {
  readonly #frameBytesMax: number;
  readonly #sink: FrameSink;
  #prefaceLeft: number;
  #carry: Buffer | undefined;
  #carried = 0;
  #carriedSinceMs = 0;

  /** `preface`: whether the peer owes us one (we are the server). */
  constructor(sink: FrameSink, frameBytesMax: number, preface: boolean) {
    this.#sink = sink;
    this.#frameBytesMax = frameBytesMax;
    this.#prefaceLeft = preface ? PREFACE.length : 0;
  }

  /** Bytes in the carry buffer. */
  get carried(): number {
    return this.#carried;
  }

  /** What the carry buffer takes, in use or not. */
  get keptBytes(): number {
    return this.#carry?.length ?? 0;
  }

  /** When the incomplete frame began; only meaningful while carried > 0. */
  get carriedSinceMs(): number {
    return this.#carriedSinceMs;
  }

  /** The type of the incomplete frame, or -1 while it is not known. */
  get carriedType(): number {
    return this.#carried < 4 ? -1 : ((this.#carry as Buffer)[3] as number);
  }

  /** Throws ConnectionError; the reader must not be used after that. */
  take(received: Uint8Array, nowMs: number): void {
    const bytes = asBuffer(received);
    let at = 0;
    if (this.#prefaceLeft > 0) at = this.#takePreface(bytes);
    if (this.#carried > 0) at = this.#completeCarried(bytes, at);
    at = this.#takeWhole(bytes, at);
    if (at === bytes.length || this.#sink.closing) return;
    this.#carriedSinceMs = nowMs;
    this.#keep(bytes, at, bytes.length);
  }

  /** Frees the carry buffer if nothing is in it. */
  trim(): void {
    if (this.#carried === 0) this.#carry = undefined;
  }

  #takePreface(bytes: Buffer): number {
    const seen = PREFACE.length - this.#prefaceLeft;
    const count = Math.min(this.#prefaceLeft, bytes.length);
    if (bytes.compare(PREFACE, seen, seen + count, 0, count) !== 0) {
      throw new ConnectionError(Http2Code.PROTOCOL_ERROR, "not the HTTP/2 connection preface");
    }
    this.#prefaceLeft -= count;
    return count;
  }

  #takeWhole(bytes: Buffer, from: number): number {
    const sink = this.#sink;
    const end = bytes.length;
    let at = from;
    while (end - at >= FRAME_HEADER_BYTES && !sink.closing) {
      const next = at + FRAME_HEADER_BYTES + this.#lengthAt(bytes, at);
      if (next > end) break;
      deliver(sink, bytes, at, next);
      at = next;
    }
    return at;
  }

  /** Fills up the carried frame; returns where the next one starts. */
  #completeCarried(bytes: Buffer, from: number): number {
    let at = this.#fill(bytes, from, FRAME_HEADER_BYTES);
    if (this.#carried < FRAME_HEADER_BYTES) return at;
    const size = FRAME_HEADER_BYTES + this.#lengthAt(this.#carry as Buffer, 0);
    at = this.#fill(bytes, at, size);
    if (this.#carried < size) return at;
    this.#carried = 0;
    deliver(this.#sink, this.#carry as Buffer, 0, size);
    return at;
  }

  /** Moves bytes from `from` on into the carry buffer until it holds `size`. */
  #fill(bytes: Buffer, from: number, size: number): number {
    const to = Math.min(bytes.length, from + Math.max(0, size - this.#carried));
    this.#keep(bytes, from, to);
    return to;
  }

  #keep(bytes: Buffer, from: number, to: number): void {
    if (from === to) return;
    const length = this.#carried + to - from;
    if (this.#carry === undefined || length > this.#carry.length) this.#growCarry(length);
    bytes.copy(this.#carry as Buffer, this.#carried, from, to);
    this.#carried = length;
  }

  #growCarry(length: number): void {
    const bytesMax = FRAME_HEADER_BYTES + this.#frameBytesMax;
    const grown = Buffer.allocUnsafeSlow(Math.min(bytesMax, Math.max(256, length * 2)));
    this.#carry?.copy(grown, 0, 0, this.#carried);
    this.#carry = grown;
  }

  #lengthAt(bytes: Buffer, at: number): number {
    const length =
      ((bytes[at] as number) << 16) | ((bytes[at + 1] as number) << 8) | (bytes[at + 2] as number);
    if (length > this.#frameBytesMax) {
      const type = bytes[at + 3] as number;
      const reason = `frame of type ${type} has ${length} bytes, at most ${this.#frameBytesMax}`;
      throw new ConnectionError(Http2Code.FRAME_SIZE_ERROR, reason);
    }
    return length;
  }
}

/** The frame at bytes[at, next). The reserved bit of the stream id is ignored (§4.1). */
function deliver(sink: FrameSink, bytes: Buffer, at: number, next: number): void {
  const id =
    (((bytes[at + 5] as number) & 0x7f) << 24) |
    ((bytes[at + 6] as number) << 16) |
    ((bytes[at + 7] as number) << 8) |
    (bytes[at + 8] as number);
  const type = bytes[at + 3] as number;
  const flags = bytes[at + 4] as number;
  sink.onFrame(type, flags, id, bytes, at + FRAME_HEADER_BYTES, next);
}

/** What a connection waits for when a frame of this type is incomplete. */
export function isHeaderFrame(type: number): boolean {
  return type === FrameType.HEADERS || type === FrameType.CONTINUATION;
}
