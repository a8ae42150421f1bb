/**
 * The messages that carry writes to the state Worker.
 *
 *   message    = batch | compact | checkpoint | hold | release | install | defragment
 *   batch      = 1 u8 · applied index u64 · applied term u64 · row count u32 · record count u32 ·
 *                row × row count · record × record count
 *   compact    = 2 u8 · revision u64
 *   checkpoint = 3 u8        hold = 4 u8        release = 5 u8
 *   install    = 6 u8 · applied index u64             defragment = 7 u8
 *   row        = seq u64 · revision u64 · prev u64 · jump u64 · sub u32 · depth u32 ·
 *                tombstone u8 · crc u32 · length u32 · kv
 *   record     = space length u8 · space · key length u32 · key · deleted u8 · crc u32 ·
 *                length u32 · value
 *
 * Integers are big-endian; keys and spaces one byte a character.
 */
import { assert } from "../base/assert.ts";
import { asBuffer, EMPTY_BYTES } from "../base/bytes.ts";
import type { Row, StateBatch, StateRecord } from "../state/ports.ts";
import { counterAt, putCounter } from "./binary.ts";
import { recordChecksum, rowChecksum } from "./state-checksum.ts";

export const MessageKind = {
  batch: 1,
  compact: 2,
  checkpoint: 3,
  hold: 4,
  release: 5,
  install: 6,
  defragment: 7,
} as const;

const BATCH_HEADER_BYTES = 1 + 8 + 8 + 4 + 4;
const ROW_HEADER_BYTES = 8 + 8 + 8 + 8 + 4 + 4 + 1 + 4 + 4;
const RECORD_HEADER_BYTES = 1 + 4 + 1 + 4 + 4;

/** The message that stores `batch`; the caller owns it, alone in its ArrayBuffer. */
export function encodeBatch(batch: StateBatch): Buffer {
  const { rows, records } = batch;
  let bytes = BATCH_HEADER_BYTES + rows.length * ROW_HEADER_BYTES;
  for (let i = 0; i < rows.length; i++) bytes += (rows[i] as Row).kv.length;
  for (let i = 0; i < records.length; i++) bytes += recordBytes(records[i] as StateRecord);
  const out = Buffer.allocUnsafeSlow(bytes);
  let at = out.writeUInt8(MessageKind.batch, 0);
  at = putCounter(out, batch.appliedIndex, at);
  at = putCounter(out, batch.appliedTerm, at);
  at = out.writeUInt32BE(rows.length, at);
  at = out.writeUInt32BE(records.length, at);
  for (let i = 0; i < rows.length; i++) at = putRow(out, rows[i] as Row, at);
  for (let i = 0; i < records.length; i++) at = putRecord(out, records[i] as StateRecord, at);
  assert(at === out.length, "a state message is as long as it was measured");
  return out;
}

/** The message that asks for compaction at `revision`. */
export function encodeCompaction(revision: number): Buffer {
  return encodeNumber(MessageKind.compact, revision);
}

/** The message that puts the copy beside the state in its place; its applied index is `index`. */
export function encodeInstall(index: number): Buffer {
  return encodeNumber(MessageKind.install, index);
}

/** A message that is nothing but its kind. */
export function encodeKind(kind: "checkpoint" | "hold" | "release" | "defragment"): Buffer {
  const out = Buffer.allocUnsafeSlow(1);
  out.writeUInt8(MessageKind[kind], 0);
  return out;
}

function encodeNumber(kind: number, value: number): Buffer {
  const out = Buffer.allocUnsafeSlow(9);
  out.writeUInt8(kind, 0);
  putCounter(out, value, 1);
  return out;
}

function putRow(out: Buffer, row: Row, start: number): number {
  let at = putCounter(out, row.seq, start);
  at = putCounter(out, row.revision, at);
  at = putCounter(out, row.prev, at);
  at = putCounter(out, row.jump, at);
  at = out.writeUInt32BE(row.sub, at);
  at = out.writeUInt32BE(row.depth, at);
  at = out.writeUInt8(row.tombstone ? 1 : 0, at);
  at = out.writeUInt32BE(rowChecksum(row, row.tombstone), at);
  at = out.writeUInt32BE(row.kv.length, at);
  out.set(row.kv, at);
  return at + row.kv.length;
}

function recordBytes(record: StateRecord): number {
  const { space, key, value } = record;
  return RECORD_HEADER_BYTES + space.length + key.length + (value?.length ?? 0);
}

function putRecord(out: Buffer, record: StateRecord, start: number): number {
  const { space, key, value } = record;
  const spaceAt = out.writeUInt8(space.length, start);
  out.latin1Write(space, spaceAt, space.length);
  const keyAt = out.writeUInt32BE(key.length, spaceAt + space.length);
  out.latin1Write(key, keyAt, key.length);
  const crcAt = out.writeUInt8(value === undefined ? 1 : 0, keyAt + key.length);
  const crc = value === undefined ? 0 : recordChecksum(space, key, value);
  const lengthAt = out.writeUInt32BE(crc, crcAt);
  const valueAt = out.writeUInt32BE(value?.length ?? 0, lengthAt);
  if (value !== undefined) out.set(value, valueAt);
  return valueAt + (value?.length ?? 0);
}

/** What a message asks for, read in place: our own bytes, trusted. Blobs are borrowed from it. */
export class StateMessageReader {
  readonly kind: number;
  /** Of a compaction its revision, of an install the copy's applied index. */
  readonly number: number = 0;
  /** Of a batch. */
  readonly appliedIndex: number = 0;
  readonly appliedTerm: number = 0;
  /** The row that nextRow() stands on. */
  seq = 0;
  rowRevision = 0;
  prev = 0;
  jump = 0;
  sub = 0;
  depth = 0;
  tombstone = 0;
  /** Of the row or the record. */
  crc = 0;
  kv: Uint8Array = EMPTY_BYTES;
  /** The record that nextRecord() stands on; a deleted one has no value. */
  space = "";
  key: Uint8Array = EMPTY_BYTES;
  deleted = false;
  value: Uint8Array = EMPTY_BYTES;
  readonly #bytes: Buffer;
  #at = BATCH_HEADER_BYTES;
  #rowsLeft = 0;
  #recordsLeft = 0;

  constructor(message: Uint8Array) {
    const bytes = asBuffer(message);
    this.#bytes = bytes;
    this.kind = bytes.readUInt8(0);
    if (this.kind === MessageKind.compact || this.kind === MessageKind.install) {
      this.number = counterAt(bytes, 1);
    }
    if (this.kind !== MessageKind.batch) return;
    this.appliedIndex = counterAt(bytes, 1);
    this.appliedTerm = counterAt(bytes, 9);
    this.#rowsLeft = bytes.readUInt32BE(17);
    this.#recordsLeft = bytes.readUInt32BE(21);
  }

  /** Steps to the next row; false after the last one. */
  nextRow(): boolean {
    if (this.#rowsLeft === 0) return false;
    this.#rowsLeft--;
    const bytes = this.#bytes;
    const at = this.#at;
    this.seq = counterAt(bytes, at);
    this.rowRevision = counterAt(bytes, at + 8);
    this.prev = counterAt(bytes, at + 16);
    this.jump = counterAt(bytes, at + 24);
    this.sub = bytes.readUInt32BE(at + 32);
    this.depth = bytes.readUInt32BE(at + 36);
    this.tombstone = bytes.readUInt8(at + 40);
    this.crc = bytes.readUInt32BE(at + 41);
    this.kv = this.#blob(at + 45);
    return true;
  }

  /** Steps to the next record, once the rows are read; false after the last one. */
  nextRecord(): boolean {
    assert(this.#rowsLeft === 0, "the rows of a batch come before its records");
    if (this.#recordsLeft === 0) return false;
    this.#recordsLeft--;
    const keyAt = this.#at + 1 + this.#bytes.readUInt8(this.#at);
    this.space = this.#bytes.latin1Slice(this.#at + 1, keyAt);
    this.key = this.#blob(keyAt);
    this.deleted = this.#bytes.readUInt8(this.#at) === 1;
    this.crc = this.#bytes.readUInt32BE(this.#at + 1);
    this.value = this.#blob(this.#at + 5);
    return true;
  }

  /** The bytes whose length stands at `at`; the position moves behind them. */
  #blob(at: number): Uint8Array {
    const start = at + 4;
    this.#at = start + this.#bytes.readUInt32BE(at);
    return this.#bytes.subarray(start, this.#at);
  }
}
