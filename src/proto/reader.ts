/**
 * Reads the protobuf wire format in place. One Reader is shared by all decodes of the process:
 * a decode is synchronous and calls nothing but decoders, so two never overlap.
 *
 * What the encoding guide (protobuf.dev/programming-guides/encoding) leaves to the reader:
 *   - varints of up to ten bytes are taken, however long for their value; a tenth byte above 1
 *     would overflow 64 bits and is refused;
 *   - unknown fields and unknown groups are skipped; field number 0, a group that ends without
 *     having begun, and wire types 6 and 7 are refused;
 *   - strings must be UTF-8 (proto3); a nested message must lie inside the one around it;
 *   - messages nest at most DEPTH_MAX deep.
 * Invariant: start ≤ position ≤ end ≤ bytes.length, so while position < end there is a byte at it.
 */
import { isUtf8 } from "node:buffer";
import { assert } from "../base/assert.ts";
import { asBuffer, EMPTY_BYTES, type Key } from "../base/bytes.ts";
import { DecodeError } from "./decode-error.ts";

/**
 * Nested messages: 100 is what the C++ and Java runtimes allow. A transaction in a transaction
 * takes two levels, so 49 of them could be read (state/validate.ts takes 48, for its answers).
 */
export const DEPTH_MAX = 100;

/** Two halves of a 64-bit integer seen as one; Bun runs on little-endian machines only. */
const HALVES = new Uint32Array(2);
const SIGNED = new BigInt64Array(HALVES.buffer);
const UNSIGNED = new BigUint64Array(HALVES.buffer);

const TWO_32 = 4294967296;

/** Strings up to this long are checked for ASCII by a loop, cheaper than a native call. */
const ASCII_LOOP_BYTES_MAX = 32;

export class Reader {
  bytes: Buffer = Buffer.alloc(0);
  position = 0;
  /** Where the message being read ends. */
  end = 0;
  #depth = 0;
  /** Halves of the varint that #varint read last, as signed 32-bit integers. */
  #low = 0;
  #high = 0;

  /** Starts on bytes[start, end), which must lie inside `bytes`. */
  open(bytes: Uint8Array, start: number, end: number): this {
    assert(start >= 0 && start <= end && end <= bytes.length, "a message lies inside its buffer");
    this.bytes = asBuffer(bytes);
    this.position = start;
    this.end = end;
    this.#depth = 0;
    return this;
  }

  more(): boolean {
    return this.position < this.end;
  }

  /** The next tag; only while more(). Field number 0 is refused by skip(), which gets it. */
  tag(): number {
    const first = this.bytes[this.position] as number;
    if (first < 128) {
      this.position++;
      return first;
    }
    this.#varint();
    if (this.#high !== 0) throw new DecodeError("a field number is out of range");
    return this.#low >>> 0;
  }

  /** Goes into a nested message (or packed field); returns what leave() needs to come back. */
  enter(): number {
    const length = this.length();
    if (++this.#depth > DEPTH_MAX) throw new DecodeError("messages are nested too deep");
    const outer = this.end;
    this.end = this.position + length;
    return outer;
  }

  leave(outer: number): void {
    this.#depth--;
    this.end = outer;
  }

  /** The length of a delimited field, which is known to lie inside the message. */
  length(): number {
    const length = this.uint32();
    if (this.#high !== 0 || length > this.end - this.position) {
      throw new DecodeError("a field is longer than its message");
    }
    return length;
  }

  bool(): boolean {
    this.#varint();
    return (this.#low | this.#high) !== 0;
  }

  /** An int32 or an enum: the upper half of a longer varint is dropped, as the guide says. */
  int32(): number {
    this.#varint();
    return this.#low;
  }

  uint32(): number {
    const position = this.position;
    if (position < this.end) {
      const first = this.bytes[position] as number;
      if (first < 128) {
        this.position = position + 1;
        this.#high = 0;
        return first;
      }
    }
    this.#varint();
    return this.#low >>> 0;
  }

  /** An int64 that counts something; see clamped(). */
  int64Number(): number {
    this.#varint();
    return clamped(this.#high * TWO_32 + (this.#low >>> 0));
  }

  /** A uint64 that counts something; see clamped(). */
  uint64Number(): number {
    this.#varint();
    return clamped((this.#high >>> 0) * TWO_32 + (this.#low >>> 0));
  }

  int64(): bigint {
    this.#varint();
    HALVES[0] = this.#low;
    HALVES[1] = this.#high;
    return SIGNED[0] as bigint;
  }

  uint64(): bigint {
    this.#varint();
    HALVES[0] = this.#low;
    HALVES[1] = this.#high;
    return UNSIGNED[0] as bigint;
  }

  /** A byte string as Latin-1. */
  key(): Key {
    const length = this.length();
    const start = this.position;
    this.position = start + length;
    return length === 0 ? "" : this.bytes.latin1Slice(start, start + length);
  }

  /** A copy; the caller owns it. */
  copy(): Uint8Array {
    const length = this.length();
    const start = this.position;
    this.position = start + length;
    return copyOf(this.bytes, start, start + length);
  }

  string(): string {
    const length = this.length();
    const start = this.position;
    const end = start + length;
    this.position = end;
    if (isShortAscii(this.bytes, start, end)) return this.bytes.latin1Slice(start, end);
    if (!isUtf8(this.bytes.subarray(start, end))) throw new DecodeError("a string is not UTF-8");
    return this.bytes.toString("utf8", start, end);
  }

  /** Passes over a field that the message does not know. */
  skip(tag: number): void {
    if (tag < 8) throw new DecodeError("field number 0 does not exist");
    switch (tag & 7) {
      case 0:
        this.#varint();
        return;
      case 1:
        this.#pass(8);
        return;
      case 2:
        this.#pass(this.length());
        return;
      case 3:
        this.#skipGroup(tag + 1);
        return;
      case 5:
        this.#pass(4);
        return;
      default:
        throw new DecodeError(`wire type ${tag & 7} has no place here`);
    }
  }

  #pass(count: number): void {
    if (count > this.end - this.position) throw truncated();
    this.position += count;
  }

  /** Passes over a group up to the end tag that closes it, groups inside it included. */
  #skipGroup(endTag: number): void {
    if (++this.#depth > DEPTH_MAX) throw new DecodeError("groups are nested too deep");
    for (;;) {
      if (!this.more()) throw truncated();
      const tag = this.tag();
      if (tag === endTag) break;
      this.skip(tag);
    }
    this.#depth--;
  }

  /** Reads a varint into #low and #high. */
  #varint(): void {
    const bytes = this.bytes;
    const end = this.end;
    let position = this.position;
    let low = 0;
    for (let shift = 0; shift < 28; shift += 7) {
      if (position >= end) throw truncated();
      const byte = bytes[position++] as number;
      low |= (byte & 127) << shift;
      if (byte < 128) {
        this.position = position;
        this.#low = low;
        this.#high = 0;
        return;
      }
    }
    this.position = position;
    this.#varintTail(low);
  }

  /** Bytes five to ten of a varint; the fifth is split between the halves. */
  #varintTail(start: number): void {
    if (this.position >= this.end) throw truncated();
    let byte = this.bytes[this.position++] as number;
    this.#low = start | (byte << 28);
    let high = (byte & 127) >>> 4;
    for (let shift = 3; byte >= 128; shift += 7) {
      if (this.position >= this.end) throw truncated();
      byte = this.bytes[this.position++] as number;
      if (shift === 31 && byte > 1) throw new DecodeError("a varint does not fit in 64 bits");
      high |= (byte & 127) << shift;
    }
    this.#high = high;
  }
}

/** The reader that all decoders of the process share. */
const SHARED = new Reader();

/** The shared reader, opened on bytes[start, end). */
export function readerOf(bytes: Uint8Array, start: number, end: number): Reader {
  return SHARED.open(bytes, start, end);
}

/** Longest copy that a loop makes faster than a native call (20 ns against 32 for 16 bytes). */
const COPY_LOOP_BYTES_MAX = 24;

/** A copy of bytes[start, end), owned by the caller and no larger than it. */
export function copyOf(bytes: Buffer, start: number, end: number): Uint8Array {
  const length = end - start;
  if (length === 0) return EMPTY_BYTES;
  const copy = new Uint8Array(length);
  if (length > COPY_LOOP_BYTES_MAX) bytes.copy(copy, 0, start, end);
  else for (let i = 0; i < length; i++) copy[i] = bytes[start + i] as number;
  return copy;
}

function isShortAscii(bytes: Buffer, start: number, end: number): boolean {
  if (end - start > ASCII_LOOP_BYTES_MAX) return false;
  for (let i = start; i < end; i++) {
    if ((bytes[i] as number) >= 128) return false;
  }
  return true;
}

/**
 * A counter beyond ±(2^53 - 1) reads as that bound: as a limit, a TTL or a revision it means the
 * same, since no store comes near it, and no answer ever holds one. Identities are never read so.
 */
function clamped(value: number): number {
  return Math.max(-Number.MAX_SAFE_INTEGER, Math.min(value, Number.MAX_SAFE_INTEGER));
}

function truncated(): DecodeError {
  return new DecodeError("the message ends too early");
}
