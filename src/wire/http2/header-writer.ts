/**
 * Sends field lists as HEADERS and CONTINUATION frames (RFC 9113 §4.3, §6.2, §6.10). Lists that
 * repeat (the head of an answer, its trailers) are encoded once and their block kept for as long as
 * the encoder's version stands.
 */
import { ByteWriter } from "../../base/bytes.ts";
import type { OutputBuffer } from "../connection.ts";
import { HpackEncoder } from "../hpack/encoder.ts";
import { putFrameHeader } from "./frames.ts";
import { Flag, FRAME_BYTES_DEFAULT, FRAME_HEADER_BYTES, FrameType } from "./protocol.ts";

/** A list that repeats, and its block while that is known. One per connection and list. */
export class RepeatedFields {
  readonly fields: readonly string[];
  block: Buffer | undefined;
  version = -1;

  constructor(fields: readonly string[]) {
    this.fields = fields;
  }
}

/** A list to be sent. */
export type Fields = RepeatedFields | readonly string[];

export class HeaderWriter {
  readonly #output: OutputBuffer;
  readonly #encoder = new HpackEncoder();
  readonly #scratch = new ByteWriter(512);

  constructor(output: OutputBuffer) {
    this.#output = output;
  }

  /** The peer's SETTINGS_HEADER_TABLE_SIZE. */
  setTableBytesMax(bytes: number): void {
    this.#encoder.setTableBytesMax(bytes);
  }

  write(id: number, fields: Fields, endStream: boolean): void {
    if (fields instanceof RepeatedFields) this.#writeRepeated(id, fields, endStream);
    else this.#encode(id, fields, endStream);
  }

  /** The list's block, if it is known and stands; it fits one frame. */
  blockOf(list: RepeatedFields): Buffer | undefined {
    return list.version === this.#encoder.version ? list.block : undefined;
  }

  #encode(id: number, fields: readonly string[], endStream: boolean): void {
    this.#scratch.reset();
    this.#encoder.encode(fields, this.#scratch);
    this.#frames(id, this.#scratch.bytes, this.#scratch.length, endStream);
  }

  /** A copy of the list's block, or an encoding that is then kept. */
  #writeRepeated(id: number, list: RepeatedFields, endStream: boolean): void {
    const block = this.blockOf(list);
    if (block !== undefined) {
      this.#frames(id, block, block.length, endStream);
      return;
    }
    const version = this.#encoder.version;
    this.#encode(id, list.fields, endStream);
    if (version !== this.#encoder.version || this.#scratch.length > FRAME_BYTES_DEFAULT) return;
    list.block = Buffer.from(this.#scratch.view());
    list.version = version;
  }

  /** Every peer takes frames of the default size, so no larger ones are made (§4.2). */
  #frames(id: number, block: Buffer, length: number, endStream: boolean): void {
    let from = 0;
    let type: number = FrameType.HEADERS;
    let flags = endStream ? Flag.END_STREAM : 0;
    do {
      const size = Math.min(length - from, FRAME_BYTES_DEFAULT);
      if (from + size === length) flags |= Flag.END_HEADERS;
      const at = this.#output.reserve(FRAME_HEADER_BYTES + size);
      const to = putFrameHeader(this.#output.bytes, at, size, type, flags, id);
      block.copy(this.#output.bytes, to, from, from + size);
      from += size;
      type = FrameType.CONTINUATION;
      flags = 0;
    } while (from < length);
  }
}
