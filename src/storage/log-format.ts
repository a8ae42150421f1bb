/**
 * The Raft log as bytes: the messages that carry writes to the log Worker, the segments in which
 * entries are stored, and their checksums.
 *
 *   message  = write | compact
 *   write    = 1 u8 · flags u8 · [hard state] · [snapshot] · count u32 · segment × count
 *   compact  = 2 u8 · snapshot
 *   hard     = term u64 · commit u64 · vote u64
 *   snapshot = index u64 · term u64 · length u32 · configuration (JSON)
 *   segment  = crc u32 · first u64 · last u64 · length u32 · entries
 *   entries  = (term u64 · kind u8 · length u32 · payload) × (last - first + 1)
 *
 * A segment is one row: the entries of one write, or a part of it where they are large. A row an
 * entry was measured first: 100 entries cost 90 µs to insert and 40 to read, against 25 and 10.
 * The Worker stores a segment's bytes as they came, without looking into them.
 *
 * The CRC-32 of a segment covers its group, its bounds and its entries. It is taken on the main
 * thread before the bytes travel and checked there when they are read, so it also sees what the
 * Worker, SQLite and the disk do to them on the way. Integers are big-endian.
 */

import { assert } from "../base/assert.ts";
import { asBuffer, EMPTY_BYTES } from "../base/bytes.ts";
import { crc32 } from "../base/crc32.ts";
import { KIB } from "../base/units.ts";
import type { LogWrite } from "../node/ports.ts";
import type {
  Configuration,
  Entry,
  EntryKind,
  HardState,
  MemberId,
  SnapshotMeta,
} from "../raft/types.ts";
import { counterAt, putCounter } from "./binary.ts";

/** Format of raft.db; grows when an older program could not read what a newer one wrote. */
export const LOG_FORMAT = 2;

/**
 * A row's id is group × 2^43 + first index: one integer key, appended at the right edge of its
 * group. 2^43 entries are fourteen years at 20,000 a second; ten bits are left for the group,
 * because ids must stay safe integers.
 */
export const GROUP_ID_SPAN = 2 ** 43;
export const GROUP_ID_MAX = 1023;

const WRITE = 1;
const COMPACT = 2;
const HAS_HARD_STATE = 1;
const HAS_SNAPSHOT = 2;
const HARD_STATE_BYTES = 8 + 8 + 8;
const SEGMENT_HEADER_BYTES = 4 + 8 + 8 + 4;
const ENTRY_HEADER_BYTES = 8 + 1 + 4;

/**
 * A segment takes no further entry once it is this long, so that reading one entry never reads
 * much more than it. An entry larger than this is a segment of its own.
 */
export const SEGMENT_BYTES_MAX = 32 * KIB;

/** Positions are stored: never reorder. */
const KINDS: readonly EntryKind[] = ["normal", "config", "noop"];

/** Where a segment stands in its group's log; both bounds are part of it. */
export interface SegmentBounds {
  readonly first: number;
  readonly last: number;
}

/** What the checksums of a group start from, so that rows cannot change groups. */
export function checksumSeed(group: number): number {
  return crc32(`group ${group}`);
}

const boundsBytes = Buffer.alloc(16);

/** The CRC-32 of a segment, over its group (the seed), its bounds and its entries. */
export function segmentChecksum(seed: number, bounds: SegmentBounds, entries: Uint8Array): number {
  putCounter(boundsBytes, bounds.last, putCounter(boundsBytes, bounds.first, 0));
  return crc32(entries, crc32(boundsBytes, seed));
}

/** The hard state as it is stored: with the last index, which a lost row would move. */
export interface HardStateRow {
  readonly term: number;
  /** Decimal, unsigned: too large for an INTEGER. */
  readonly vote: string;
  readonly commit: number;
  readonly last: number;
}

/** The CRC-32 of a stored hard state. */
export function hardStateChecksum(seed: number, row: HardStateRow): number {
  return crc32(`${row.term} ${row.vote} ${row.commit} ${row.last}`, seed);
}

/** The CRC-32 of a stored snapshot position; `configuration` is its JSON. */
export function snapshotChecksum(
  seed: number,
  snapshot: { index: number; term: number; configuration: string },
): number {
  return crc32(`${snapshot.index} ${snapshot.term} ${snapshot.configuration}`, seed);
}

/** JSON of a configuration; ids in hexadecimal, because JSON numbers are too small for them. */
export function encodeConfiguration(configuration: Configuration): string {
  return JSON.stringify(configuration, (_, value: unknown) =>
    typeof value === "bigint" ? value.toString(16) : value,
  );
}

/** The configuration of encodeConfiguration's text, whose checksum must have been checked. */
export function decodeConfiguration(text: string): Configuration {
  const raw = JSON.parse(text) as Record<keyof Configuration, unknown>;
  return {
    voters: memberIds(raw.voters),
    votersOutgoing: memberIds(raw.votersOutgoing),
    learners: memberIds(raw.learners),
    learnersNext: memberIds(raw.learnersNext),
    autoLeave: raw.autoLeave === true,
  };
}

function memberIds(list: unknown): MemberId[] {
  return (list as string[]).map((hex) => BigInt(`0x${hex}`) as MemberId);
}

/** The message that stores `write`; the caller owns it, alone in its ArrayBuffer. */
export function encodeWrite(write: LogWrite, seed: number): Buffer {
  const { hardState, snapshot, entries } = write;
  const configuration = snapshot && encodeConfiguration(snapshot.configuration);
  let bytes = 2 + 4 + entries.length * ENTRY_HEADER_BYTES;
  if (hardState) bytes += HARD_STATE_BYTES;
  if (configuration !== undefined) bytes += snapshotBytes(configuration);
  for (let i = 0; i < entries.length; i++) bytes += (entries[i] as Entry).payload.length;
  let segments = 0;
  for (let i = 0; i < entries.length; i = segmentEnd(entries, i)) segments++;
  bytes += segments * SEGMENT_HEADER_BYTES;

  const out = Buffer.allocUnsafeSlow(bytes);
  let at = out.writeUInt8(WRITE, 0);
  at = out.writeUInt8((hardState ? HAS_HARD_STATE : 0) | (snapshot ? HAS_SNAPSHOT : 0), at);
  if (hardState) at = putHardState(out, hardState, at);
  if (snapshot && configuration !== undefined) at = putSnapshot(out, snapshot, configuration, at);
  at = out.writeUInt32BE(segments, at);
  for (let i = 0; i < entries.length; ) {
    const end = segmentEnd(entries, i);
    at = putSegment(out, entries, { from: i, end, seed }, at);
    i = end;
  }
  assert(at === out.length, "a log message is as long as it was measured");
  return out;
}

/** The message that drops entries up to `snapshot.index`; the caller owns it. */
export function encodeCompact(snapshot: SnapshotMeta): Buffer {
  const configuration = encodeConfiguration(snapshot.configuration);
  const out = Buffer.allocUnsafeSlow(1 + snapshotBytes(configuration));
  out.writeUInt8(COMPACT, 0);
  putSnapshot(out, snapshot, configuration, 1);
  return out;
}

function snapshotBytes(configuration: string): number {
  return 8 + 8 + 4 + Buffer.byteLength(configuration);
}

function putHardState(out: Buffer, state: HardState, at: number): number {
  const commitAt = putCounter(out, state.term, at);
  const voteAt = putCounter(out, state.commit, commitAt);
  return out.writeBigUInt64BE(state.vote, voteAt);
}

function putSnapshot(out: Buffer, snapshot: SnapshotMeta, json: string, at: number): number {
  const termAt = putCounter(out, snapshot.index, at);
  const lengthAt = putCounter(out, snapshot.term, termAt);
  const length = out.write(json, lengthAt + 4);
  out.writeUInt32BE(length, lengthAt);
  return lengthAt + 4 + length;
}

/** The position in `entries` after the segment that starts at `from`. */
function segmentEnd(entries: readonly Entry[], from: number): number {
  let bytes = 0;
  let end = from;
  while (end < entries.length) {
    bytes += (entries[end] as Entry).payload.length + ENTRY_HEADER_BYTES;
    if (bytes > SEGMENT_BYTES_MAX && end > from) break;
    end++;
  }
  return end;
}

function putSegment(
  out: Buffer,
  entries: readonly Entry[],
  part: { from: number; end: number; seed: number },
  start: number,
): number {
  const first = (entries[part.from] as Entry).index;
  const last = (entries[part.end - 1] as Entry).index;
  const body = start + SEGMENT_HEADER_BYTES;
  let at = body;
  for (let i = part.from; i < part.end; i++) at = putEntry(out, entries[i] as Entry, at);
  const crc = segmentChecksum(part.seed, { first, last }, out.subarray(body, at));
  const firstAt = out.writeUInt32BE(crc, start);
  const lengthAt = putCounter(out, last, putCounter(out, first, firstAt));
  out.writeUInt32BE(at - body, lengthAt);
  return at;
}

function putEntry(out: Buffer, entry: Entry, at: number): number {
  const { payload } = entry;
  const kindAt = putCounter(out, entry.term, at);
  const lengthAt = out.writeUInt8(KINDS.indexOf(entry.kind), kindAt);
  const payloadAt = out.writeUInt32BE(payload.length, lengthAt);
  out.set(payload, payloadAt);
  return payloadAt + payload.length;
}

/**
 * Reads the entries of a segment whose checksum has been checked, one by one. Payloads are views
 * of the segment's bytes.
 */
export class SegmentReader {
  readonly #bytes: Buffer;
  readonly #last: number;
  /** The index of the entry that next() returns, if there is one. */
  index: number;
  /** Where that entry starts in the segment. */
  position = 0;

  constructor(bounds: SegmentBounds, entries: Uint8Array) {
    this.#bytes = asBuffer(entries);
    this.index = bounds.first;
    this.#last = bounds.last;
  }

  /** Payload bytes of the entry that next() returns. */
  payloadBytes(): number {
    return this.#bytes.readUInt32BE(this.position + 9);
  }

  /** Passes over the entry that next() would return. */
  skip(): void {
    this.position += ENTRY_HEADER_BYTES + this.payloadBytes();
    this.index++;
  }

  /** The next entry, or undefined after the last one. */
  next(): Entry | undefined {
    if (this.index > this.#last) return undefined;
    const bytes = this.#bytes;
    const at = this.position;
    const kind = KINDS[bytes.readUInt8(at + 8)];
    assert(kind !== undefined, "an entry of a checked segment has a known kind");
    const start = at + ENTRY_HEADER_BYTES;
    const end = start + bytes.readUInt32BE(at + 9);
    assert(end <= bytes.length, "an entry lies inside its segment");
    this.position = end;
    const payload = bytes.subarray(start, end);
    return { index: this.index++, term: counterAt(bytes, at), kind, payload };
  }
}

/** A snapshot position as it travels: the configuration stays text, as it is stored. */
export interface PackedSnapshot {
  readonly index: number;
  readonly term: number;
  readonly configuration: string;
}

/** What a message asks for; segments follow from nextSegment(). Our own bytes: trusted. */
export class LogMessageReader {
  readonly compact: boolean;
  readonly hardState: HardState | undefined;
  readonly snapshot: PackedSnapshot | undefined;
  /** How many segments there are. */
  readonly count: number;
  /** The segment that nextSegment() stands on; its entries are borrowed from the message. */
  crc = 0;
  first = 0;
  last = 0;
  entries: Uint8Array = EMPTY_BYTES;
  readonly #bytes: Buffer;
  #at: number;
  #left: number;

  constructor(message: Uint8Array) {
    const bytes = asBuffer(message);
    this.#bytes = bytes;
    const kind = bytes.readUInt8(0);
    assert(kind === WRITE || kind === COMPACT, "a log message is a write or a compaction");
    this.compact = kind === COMPACT;
    const flags = this.compact ? HAS_SNAPSHOT : bytes.readUInt8(1);
    this.#at = this.compact ? 1 : 2;
    this.hardState = flags & HAS_HARD_STATE ? this.#hardState() : undefined;
    this.snapshot = flags & HAS_SNAPSHOT ? this.#snapshot() : undefined;
    this.count = this.compact ? 0 : bytes.readUInt32BE(this.#at);
    this.#left = this.count;
    this.#at += 4;
  }

  /** Steps to the next segment; false after the last one. */
  nextSegment(): boolean {
    if (this.#left === 0) return false;
    this.#left--;
    const bytes = this.#bytes;
    const at = this.#at;
    this.crc = bytes.readUInt32BE(at);
    this.first = counterAt(bytes, at + 4);
    this.last = counterAt(bytes, at + 12);
    const start = at + SEGMENT_HEADER_BYTES;
    this.#at = start + bytes.readUInt32BE(at + 20);
    this.entries = bytes.subarray(start, this.#at);
    return true;
  }

  #hardState(): HardState {
    const at = this.#at;
    this.#at += HARD_STATE_BYTES;
    const bytes = this.#bytes;
    const term = counterAt(bytes, at);
    return { term, commit: counterAt(bytes, at + 8), vote: bytes.readBigUInt64BE(at + 16) };
  }

  #snapshot(): PackedSnapshot {
    const at = this.#at;
    const start = at + 20;
    this.#at = start + this.#bytes.readUInt32BE(at + 16);
    return {
      index: counterAt(this.#bytes, at),
      term: counterAt(this.#bytes, at + 8),
      configuration: this.#bytes.toString("utf8", start, this.#at),
    };
  }
}
