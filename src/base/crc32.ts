/**
 * CRC-32 (IEEE), natively. The same values as node:zlib's, whose import alone takes 8 ms of a
 * Worker's start.
 */

/** Of `data`, a string as UTF-8; `seed` is the CRC-32 of what comes before it. */
export function crc32(data: Uint8Array | string, seed = 0): number {
  return Bun.hash.crc32(data, seed);
}
