/**
 * Integers of RFC 7541 §5.1: the low bits of the first byte, then seven bits a byte, lowest first.
 */
import type { ByteWriter } from "../../base/bytes.ts";
import { malformed } from "./error.ts";

/** Where a reader stands in a block. `end` is one past the last byte it may touch. */
export interface Cursor {
  bytes: Buffer;
  at: number;
  end: number;
}

/**
 * Bytes after the first that we read before calling it an attack. Five carry 35 bits; every
 * length and index that can be right fits in three (§5.1 asks for a limit, and leaves it to us).
 */
export const CONTINUATION_COUNT_MAX = 5;

/**
 * Reads the integer whose first byte is at the cursor; `prefixMax` is 2^prefixBits - 1. The
 * result is below 2^36, so it is exact. Throws HpackError on a cut or an overlong integer.
 */
export function readInteger(cursor: Cursor, prefixMax: number): number {
  if (cursor.at >= cursor.end) malformed("header block ends where an integer should start");
  const prefix = (cursor.bytes[cursor.at++] as number) & prefixMax;
  if (prefix < prefixMax) return prefix;
  let value = prefixMax;
  let scale = 1;
  for (let count = 0; count < CONTINUATION_COUNT_MAX; count++) {
    if (cursor.at >= cursor.end) malformed("header block ends inside an integer");
    const byte = cursor.bytes[cursor.at++] as number;
    value += (byte & 0x7f) * scale; // not a shift: 35 bits do not fit in one
    if (byte < 0x80) return value;
    scale *= 128;
  }
  malformed("integer with more than five continuation bytes");
}

/** Appends `value` under the pattern bits `first`; `prefixMax` is 2^prefixBits - 1. */
export function writeInteger(
  out: ByteWriter,
  first: number,
  prefixMax: number,
  value: number,
): void {
  if (value < prefixMax) {
    out.u8(first | value);
    return;
  }
  out.u8(first | prefixMax);
  let rest = value - prefixMax;
  while (rest >= 128) {
    out.u8((rest % 128) | 0x80);
    rest = Math.floor(rest / 128);
  }
  out.u8(rest);
}
