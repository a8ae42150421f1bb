/**
 * Writes the protobuf wire format at the end of a ByteWriter: the pieces from which the generated
 * encoders are made. Varints are always as short as they can be, as every other encoder has them.
 *
 * A nested message is written behind one byte kept for its length; a body of 128 bytes or more is
 * then moved up to make room. That costs one memmove, saves a pass over the message for its size,
 * and is only met off the hot paths, which know their sizes (hot/).
 */
import { assert } from "../base/assert.ts";
import type { ByteWriter, Key } from "../base/bytes.ts";

/** Two halves of a 64-bit integer seen as one; Bun runs on little-endian machines only. */
const HALVES = new Uint32Array(2);
const WHOLE = new BigInt64Array(HALVES.buffer);

const TWO_32 = 4294967296;

/** Bytes of the varint of a 64-bit integer given as two unsigned halves. */
function sizeOfHalves(low: number, high: number): number {
  if (high === 0) return sizeOfUint32(low);
  if (high < 1 << 3) return 5;
  if (high < 1 << 10) return 6;
  if (high < 1 << 17) return 7;
  if (high < 1 << 24) return 8;
  return high < 2147483648 ? 9 : 10;
}

/** Bytes of the varint of an integer in [0, 2^32). */
export function sizeOfUint32(value: number): number {
  if (value < 128) return 1;
  if (value < 16384) return 2;
  if (value < 2097152) return 3;
  return value < 268435456 ? 4 : 5;
}

/** Bytes of the varint of a safe integer; ten for a negative one. */
export function sizeOfNumber(value: number): number {
  if (value < 0) return 10;
  if (value < TWO_32) return sizeOfUint32(value);
  return sizeOfHalves((value % TWO_32) >>> 0, Math.floor(value / TWO_32));
}

/** Bytes of the varint of a 64-bit integer, signed or unsigned. */
export function sizeOfBigint(value: bigint): number {
  if (value === 0n) return 1;
  WHOLE[0] = value;
  return sizeOfHalves(HALVES[0] as number, HALVES[1] as number);
}

/** Writes an integer in [0, 2^32) at `at`, where there is room; returns the position behind it. */
export function putUint32(bytes: Uint8Array, at: number, value: number): number {
  let rest = value;
  let position = at;
  while (rest >= 128) {
    bytes[position++] = (rest & 127) | 128;
    rest >>>= 7;
  }
  bytes[position++] = rest;
  return position;
}

function putHalves(bytes: Uint8Array, at: number, low: number, high: number): number {
  let position = at;
  let lowRest = low;
  let highRest = high;
  while (highRest !== 0) {
    bytes[position++] = (lowRest & 127) | 128;
    lowRest = ((lowRest >>> 7) | (highRest << 25)) >>> 0;
    highRest >>>= 7;
  }
  return putUint32(bytes, position, lowRest);
}

/** Writes a safe integer at `at`, where there is room; returns the position behind it. */
export function putNumber(bytes: Uint8Array, at: number, value: number): number {
  if (value >= 0 && value < TWO_32) return putUint32(bytes, at, value);
  assert(Number.isSafeInteger(value), "a counter is a safe integer");
  // Floored division gives the two's complement halves of a negative number as well.
  const high = Math.floor(value / TWO_32);
  return putHalves(bytes, at, (value - high * TWO_32) >>> 0, high >>> 0);
}

/** Writes a 64-bit integer at `at`, where there is room; returns the position behind it. */
export function putBigint(bytes: Uint8Array, at: number, value: bigint): number {
  WHOLE[0] = value;
  return putHalves(bytes, at, HALVES[0] as number, HALVES[1] as number);
}

export function writeBool(out: ByteWriter, value: boolean): void {
  out.u8(value ? 1 : 0);
}

/** Appends an integer in [0, 2^32): a uint32, a length or a tag. */
export function writeUint32(out: ByteWriter, value: number): void {
  if (value < 128) {
    out.u8(value);
    return;
  }
  const at = out.reserve(5);
  out.length = putUint32(out.bytes, at, value);
}

/** Appends a safe integer: an int32, an enum, or a 64-bit counter. */
export function writeNumber(out: ByteWriter, value: number): void {
  const at = out.reserve(10);
  out.length = putNumber(out.bytes, at, value);
}

/** Appends a 64-bit integer, signed or unsigned. */
export function writeBigint(out: ByteWriter, value: bigint): void {
  const at = out.reserve(10);
  out.length = putBigint(out.bytes, at, value);
}

/** Appends length and bytes of a byte string. */
export function writeKey(out: ByteWriter, key: Key): void {
  writeUint32(out, key.length);
  out.latin1(key);
}

/** Appends length and bytes. */
export function writeBytes(out: ByteWriter, bytes: Uint8Array): void {
  writeUint32(out, bytes.length);
  out.append(bytes);
}

/** Appends length and UTF-8 form of a text; half a surrogate pair becomes U+FFFD. */
export function writeString(out: ByteWriter, text: string): void {
  const length = Buffer.byteLength(text, "utf8");
  writeUint32(out, length);
  const at = out.reserve(length);
  out.bytes.write(text, at, length, "utf8");
}

/** Begins a nested message (its tag is written already); the result is for endMessage. */
export function beginMessage(out: ByteWriter): number {
  return out.reserve(1);
}

/** Ends the nested message that beginMessage began at `at`. */
export function endMessage(out: ByteWriter, at: number): void {
  const start = at + 1;
  const length = out.length - start;
  if (length >= 128) {
    const extra = sizeOfUint32(length) - 1;
    out.reserve(extra);
    out.bytes.copyWithin(start + extra, start, start + length);
  }
  putUint32(out.bytes, at, length);
}
