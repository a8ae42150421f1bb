/** Writes frames (RFC 9113 §4.1, §6) at the end of an output buffer. */
import type { OutputBuffer } from "../connection.ts";
import { FRAME_HEADER_BYTES, FrameType } from "./protocol.ts";

/** Writes the nine bytes of a frame header at `at` and returns the position after them. */
export function putFrameHeader(
  bytes: Buffer,
  at: number,
  length: number,
  type: number,
  flags: number,
  id: number,
): number {
  bytes[at] = length >>> 16;
  bytes[at + 1] = length >>> 8;
  bytes[at + 2] = length;
  bytes[at + 3] = type;
  bytes[at + 4] = flags;
  bytes[at + 5] = id >>> 24;
  bytes[at + 6] = id >>> 16;
  bytes[at + 7] = id >>> 8;
  bytes[at + 8] = id;
  return at + FRAME_HEADER_BYTES;
}

/** A frame whose payload is bytes[start, end). */
export function writeFrame(
  output: OutputBuffer,
  type: number,
  flags: number,
  id: number,
  payload: Uint8Array,
  start: number,
  end: number,
): void {
  const length = end - start;
  const at = output.reserve(FRAME_HEADER_BYTES + length);
  const to = putFrameHeader(output.bytes, at, length, type, flags, id);
  output.bytes.set(payload.subarray(start, end), to);
}

/** §6.9; `increment` is 1 to 2^31-1. */
export function writeWindowUpdate(output: OutputBuffer, id: number, increment: number): void {
  writeWord(output, FrameType.WINDOW_UPDATE, id, increment);
}

/** §6.4 */
export function writeReset(output: OutputBuffer, id: number, code: number): void {
  writeWord(output, FrameType.RST_STREAM, id, code);
}

/** §6.8; `debug` is text for people. */
export function writeGoaway(
  output: OutputBuffer,
  lastId: number,
  code: number,
  debug: string,
): void {
  const payload = Buffer.allocUnsafe(8 + debug.length);
  payload.writeUInt32BE(lastId, 0);
  payload.writeUInt32BE(code, 4);
  payload.latin1Write(debug, 8);
  writeFrame(output, FrameType.GOAWAY, 0, 0, payload, 0, payload.length);
}

function writeWord(output: OutputBuffer, type: number, id: number, word: number): void {
  const at = output.reserve(FRAME_HEADER_BYTES + 4);
  const to = putFrameHeader(output.bytes, at, 4, type, 0, id);
  output.bytes.writeUInt32BE(word, to);
}
