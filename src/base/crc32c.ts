/**
 * CRC-32C (Castagnoli, RFC 3720 appendix B.4): the checksum of etcd's hashes over the history and
 * over a snapshot, which Bun has no native form of. Eight tables take eight bytes a step
 * (Kounavis and Berry 2005): 1 GB/s or so, against 0.3 with one table.
 */

/** Castagnoli's polynomial with its bits reversed. */
const POLYNOMIAL = 0x82f63b78;
const TABLES = 8;

/** TABLE[256 × n + b]: what byte b does to the sum when n bytes follow it. */
const TABLE = tables();

function tables(): Uint32Array {
  const table = new Uint32Array(256 * TABLES);
  for (let byte = 0; byte < 256; byte++) {
    let sum = byte;
    for (let bit = 0; bit < 8; bit++) sum = (sum & 1) === 1 ? (sum >>> 1) ^ POLYNOMIAL : sum >>> 1;
    table[byte] = sum;
  }
  for (let i = 256; i < table.length; i++) {
    const sum = table[i - 256] as number;
    table[i] = (sum >>> 8) ^ (table[sum & 255] as number);
  }
  return table;
}

/** Of bytes[start, end); `seed` is the sum of what comes before them. */
export function crc32c(bytes: Uint8Array, seed = 0, start = 0, end = bytes.length): number {
  const t = TABLE;
  let sum = ~seed;
  let at = start;
  // No entry is missing: every index is below 256 × TABLES and every position below `end`.
  for (const last = end - 8; at <= last; at += 8) {
    const b0 = (bytes[at] as number) ^ (sum & 255);
    const b1 = (bytes[at + 1] as number) ^ ((sum >>> 8) & 255);
    const b2 = (bytes[at + 2] as number) ^ ((sum >>> 16) & 255);
    const b3 = (bytes[at + 3] as number) ^ (sum >>> 24);
    sum =
      (t[1792 + b0] as number) ^
      (t[1536 + b1] as number) ^
      (t[1280 + b2] as number) ^
      (t[1024 + b3] as number) ^
      (t[768 + (bytes[at + 4] as number)] as number) ^
      (t[512 + (bytes[at + 5] as number)] as number) ^
      (t[256 + (bytes[at + 6] as number)] as number) ^
      (t[bytes[at + 7] as number] as number);
  }
  for (; at < end; at++) sum = (sum >>> 8) ^ (t[(sum ^ (bytes[at] as number)) & 255] as number);
  return ~sum >>> 0;
}
