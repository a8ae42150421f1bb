/**
 * Integers in the messages between the main thread and a storage Worker, and in the headers that
 * checksums cover: big-endian, 64 bits for every counter. Counters are safe integers (below 2^53),
 * so two 32-bit halves hold them without a bigint.
 */

const HALF = 4_294_967_296;

/** Writes a counter as 8 bytes; returns the position after it. */
export function putCounter(out: Buffer, value: number, at: number): number {
  out.writeUInt32BE(Math.trunc(value / HALF), at);
  out.writeUInt32BE(value >>> 0, at + 4);
  return at + 8;
}

/** The counter that putCounter wrote at `at`. */
export function counterAt(bytes: Buffer, at: number): number {
  return bytes.readUInt32BE(at) * HALF + bytes.readUInt32BE(at + 4);
}
