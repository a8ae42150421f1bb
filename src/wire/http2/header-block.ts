/**
 * A header block that came in several frames (RFC 9113 §4.3, §6.10). Its size and the number of its
 * frames are judged as they arrive, before any decoding.
 */
import { ConnectionError } from "./errors.ts";
import { CONTINUATION_COUNT_MAX, HEADER_BLOCK_BYTES_MAX } from "./limits.ts";
import { Http2Code } from "./protocol.ts";

export class HeaderBlock {
  /** The stream whose block is incomplete, 0 if none is. */
  id = 0;
  /** The HEADERS frame had END_STREAM. */
  endStream = false;
  /** When the block began. */
  sinceMs = 0;
  #bytes: Buffer = Buffer.alloc(0);
  #length = 0;
  #frames = 0;

  begin(id: number, endStream: boolean, nowMs: number): void {
    this.id = id;
    this.endStream = endStream;
    this.sinceMs = nowMs;
    this.#length = 0;
    this.#frames = 0;
  }

  /** Adds the fragment of one frame. Throws ConnectionError over the bounds. */
  add(bytes: Buffer, start: number, end: number): void {
    const length = this.#length + end - start;
    checkBlockBytes(length);
    if (this.#frames > CONTINUATION_COUNT_MAX) {
      throw new ConnectionError(Http2Code.ENHANCE_YOUR_CALM, "too many CONTINUATION frames");
    }
    this.#frames++;
    if (length > this.#bytes.length) this.#grow(length);
    bytes.copy(this.#bytes, this.#length, start, end);
    this.#length = length;
  }

  /** Ends the block and returns it, borrowed until the next one begins. */
  complete(): Buffer {
    this.id = 0;
    return this.#bytes.subarray(0, this.#length);
  }

  /** What the buffer takes, in use or not. */
  get keptBytes(): number {
    return this.#bytes.length;
  }

  /** Frees the memory if no block is on its way. */
  trim(): void {
    if (this.id === 0 && this.#bytes.length > 0) this.#bytes = Buffer.alloc(0);
  }

  #grow(length: number): void {
    const grown = Buffer.allocUnsafeSlow(Math.min(length * 2, HEADER_BLOCK_BYTES_MAX));
    this.#bytes.copy(grown, 0, 0, this.#length);
    this.#bytes = grown;
  }
}

/** Refuses a block that is too large, in one frame or many. */
export function checkBlockBytes(length: number): void {
  if (length <= HEADER_BLOCK_BYTES_MAX) return;
  const reason = `header block over ${HEADER_BLOCK_BYTES_MAX} bytes`;
  throw new ConnectionError(Http2Code.ENHANCE_YOUR_CALM, reason);
}
