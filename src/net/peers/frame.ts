/**
 * aether.v1.RaftFrame by hand: written around messages of known size without copying them twice,
 * and read in place. The bytes are those of the generated codec (a test compares them).
 *
 *   frame = ids (the same for all frames of a stream) · body = kind u8 · group u64 · … · CRC-32
 *
 * A frame is checked before anything in it is believed: ids first, then the CRC, then the body.
 */

import { assert } from "../../base/assert.ts";
import { asBuffer, type ByteWriter } from "../../base/bytes.ts";
import { crc32 } from "../../base/crc32.ts";
import { MIB } from "../../base/units.ts";
import { DecodeError } from "../../proto/decode-error.ts";
import { readerOf } from "../../proto/reader.ts";
import { sizeOfUint32, writeBigint, writeUint32 } from "../../proto/writer.ts";
import type { Message } from "../../raft/message.ts";
import { encodeMessage, messageBytes } from "./message-codec.ts";

/** The version of hello, frames and messages; a peer of another one is refused, naming both. */
export const PEER_FORMAT = 1;

/**
 * A member takes no larger frame: an append holds 1 MiB of entries or a single larger one, and an
 * entry a batch of 1 MiB plus one request (1.5 MiB by default). Leaves room for requests of 30 MiB.
 */
export const FRAME_BYTES_MAX = 32 * MIB;

/** A frame is sent on at this size; joining more saves nothing. */
export const FRAME_BYTES_FULL = MIB;

export const BodyKind = { MESSAGES: 1, PROPOSAL: 2 } as const;

/** kind u8, group u64. */
const BODY_HEAD_BYTES = 1 + 8;
/** Before the batch of a proposal. */
const TERM_BYTES = 8;

const CLUSTER_TAG = (1 << 3) | 0;
const FROM_TAG = (2 << 3) | 0;
const TO_TAG = (3 << 3) | 0;
const BODY_TAG = (4 << 3) | 2;
const CRC_TAG = (5 << 3) | 0;

const TWO_32 = 2 ** 32;

/** Who speaks to whom; what a stream's hello said and each of its frames repeats. */
export interface FrameIds {
  readonly clusterId: bigint;
  readonly from: bigint;
  readonly to: bigint;
}

/** Appends a frame with messages[start, end) of `group`. */
export function encodeMessages(
  out: ByteWriter,
  ids: FrameIds,
  group: number,
  messages: readonly Message[],
  start: number,
  end: number,
): void {
  let bytes = 0;
  for (let i = start; i < end; i++) bytes += messageBytes(messages[i] as Message);
  const at = beginBody(out, ids, BodyKind.MESSAGES, group, bytes);
  for (let i = start; i < end; i++) encodeMessage(messages[i] as Message, out);
  endBody(out, at);
}

/** A batch of commands on its way to the leader of `term`. */
export interface Proposal {
  readonly group: number;
  readonly term: number;
  readonly payload: Uint8Array;
}

/** Appends a frame with a proposal. */
export function encodeProposal(out: ByteWriter, ids: FrameIds, proposal: Proposal): void {
  const { group, term, payload } = proposal;
  const at = beginBody(out, ids, BodyKind.PROPOSAL, group, TERM_BYTES + payload.length);
  putCounter(out, term);
  out.append(payload);
  endBody(out, at);
}

/** Returns where the body begins. */
function beginBody(
  out: ByteWriter,
  ids: FrameIds,
  kind: number,
  group: number,
  contentBytes: number,
): number {
  const length = BODY_HEAD_BYTES + contentBytes;
  out.u8(CLUSTER_TAG);
  writeBigint(out, ids.clusterId);
  out.u8(FROM_TAG);
  writeBigint(out, ids.from);
  out.u8(TO_TAG);
  writeBigint(out, ids.to);
  out.u8(BODY_TAG);
  writeUint32(out, length);
  const at = out.reserve(length + 1 + sizeOfUint32(TWO_32 - 1));
  out.length = at; // the room is there: nothing below grows the buffer again
  out.u8(kind);
  putCounter(out, group);
  return at;
}

function putCounter(out: ByteWriter, value: number): void {
  assert(Number.isSafeInteger(value) && value >= 0, "groups and terms are safe integers");
  out.u32(Math.floor(value / TWO_32));
  out.u32(value % TWO_32);
}

function endBody(out: ByteWriter, start: number): void {
  const crc = crc32(out.bytes.subarray(start, out.length));
  if (crc === 0) return; // proto3 leaves zeros out
  out.u8(CRC_TAG);
  writeUint32(out, crc);
}

/** A frame looked at in place; one view serves many frames. */
export class FrameView {
  clusterId = 0n;
  from = 0n;
  to = 0n;
  kind = 0;
  group = 0;
  /** What was not read yet of the body: [start, end) of the bytes. */
  start = 0;
  end = 0;
  #crc = 0;
  #bytes: Uint8Array = new Uint8Array(0);

  /** Reads ids and bounds; the body is not looked at yet. Throws DecodeError. */
  read(bytes: Uint8Array, start: number, end: number): void {
    this.clusterId = this.from = this.to = 0n;
    this.kind = this.group = this.#crc = 0;
    this.start = this.end = start;
    this.#bytes = bytes;
    const reader = readerOf(bytes, start, end);
    while (reader.more()) {
      const tag = reader.tag();
      if (tag === CLUSTER_TAG) this.clusterId = reader.uint64();
      else if (tag === FROM_TAG) this.from = reader.uint64();
      else if (tag === TO_TAG) this.to = reader.uint64();
      else if (tag === CRC_TAG) this.#crc = reader.uint32();
      else if (tag === BODY_TAG) {
        const length = reader.length();
        this.start = reader.position;
        reader.position += length;
        this.end = reader.position;
      } else reader.skip(tag);
    }
  }

  /** Whether the body is what was sent. */
  get intact(): boolean {
    return crc32(this.#bytes.subarray(this.start, this.end)) === this.#crc;
  }

  /** Reads kind and group; `start` is behind them then. Throws DecodeError. */
  open(): void {
    if (this.end - this.start < BODY_HEAD_BYTES) throw new DecodeError("a frame without a body");
    this.kind = this.#bytes[this.start++] as number;
    this.group = this.#counter();
  }

  /** Reads the term at the front of a proposal. Throws DecodeError. */
  openProposal(): number {
    if (this.end - this.start < TERM_BYTES) throw new DecodeError("a proposal without its term");
    return this.#counter();
  }

  #counter(): number {
    const bytes = asBuffer(this.#bytes);
    const high = bytes.readUInt32BE(this.start);
    if (high >= 2 ** 20) throw new DecodeError("a group or a term is out of range");
    const low = bytes.readUInt32BE(this.start + 4);
    this.start += 8;
    return high * TWO_32 + low;
  }
}
