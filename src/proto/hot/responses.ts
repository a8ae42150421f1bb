/**
 * Answers of the key-value service, made without an object in between: stored key values (encoded
 * mvccpb.KeyValue) are spliced in as they are. Sizes come first, so each answer reserves its room
 * once and nothing is moved. Bytes are those of the generated codec.
 *
 * A transaction's answer is written piece by piece:
 *   beginTxn(header, succeeded, out)
 *     addPut | addRange | addDeleteRange          one for each operation, in order
 *     const inner = beginNestedTxn(…), the same for the inner operations, endNestedTxn(inner, out)
 * Headers inside a transaction are those of a HeaderEncoder(0n, 0n): revision only.
 */
import type { ByteWriter } from "../../base/bytes.ts";
import {
  beginMessage,
  endMessage,
  putNumber,
  putUint32,
  sizeOfNumber,
  sizeOfUint32,
} from "../writer.ts";
import type { HeaderEncoder } from "./header.ts";

/** Field 2, delimited: RangeResponse.kvs, PutResponse.prev_kv. */
const TAG_KV = 0x12;
const TAG_MORE = 0x18;
const TAG_COUNT = 0x20;
const TAG_DELETED = 0x10;
/** Field 3, delimited: DeleteRangeResponse.prev_kvs. */
const TAG_PREV_KVS = 0x1a;
const TAG_SUCCEEDED = 0x10;
const TAG_RESPONSES = 0x1a;

/** ResponseOp's members, delimited. */
const TAG_OP_RANGE = 0x0a;
const TAG_OP_PUT = 0x12;
const TAG_OP_DELETE_RANGE = 0x1a;
const TAG_OP_TXN = 0x22;

/** Longest copy that a loop makes faster than a native call. */
const COPY_LOOP_BYTES_MAX = 32;

/** Copies `source` to bytes[at…], where there is room; returns the position behind it. */
export function putRaw(bytes: Uint8Array, at: number, source: Uint8Array): number {
  const length = source.length;
  if (length > COPY_LOOP_BYTES_MAX) bytes.set(source, at);
  else for (let i = 0; i < length; i++) bytes[at + i] = source[i] as number;
  return at + length;
}

/** Bytes of a delimited field with a tag of one byte. */
export function sizeOfDelimited(length: number): number {
  return 1 + sizeOfUint32(length) + length;
}

/** Writes tag, length and content at `at`, where there is room; returns the position behind it. */
export function putDelimited(
  bytes: Uint8Array,
  at: number,
  tag: number,
  content: Uint8Array,
): number {
  bytes[at] = tag;
  return putRaw(bytes, putUint32(bytes, at + 1, content.length), content);
}

function sizeOfKvs(kvs: readonly Uint8Array[]): number {
  let size = 0;
  for (let i = 0; i < kvs.length; i++) size += sizeOfDelimited((kvs[i] as Uint8Array).length);
  return size;
}

function putKvs(bytes: Uint8Array, at: number, tag: number, kvs: readonly Uint8Array[]): number {
  let position = at;
  for (let i = 0; i < kvs.length; i++) {
    position = putDelimited(bytes, position, tag, kvs[i] as Uint8Array);
  }
  return position;
}

function sizeOfCounter(value: number): number {
  return value === 0 ? 0 : 1 + sizeOfNumber(value);
}

function putCounter(bytes: Uint8Array, at: number, tag: number, value: number): number {
  if (value === 0) return at;
  bytes[at] = tag;
  return putNumber(bytes, at + 1, value);
}

function sizeOfPut(header: HeaderEncoder, prevKv: Uint8Array | undefined): number {
  return header.size + (prevKv === undefined ? 0 : sizeOfDelimited(prevKv.length));
}

function putPut(
  bytes: Uint8Array,
  at: number,
  header: HeaderEncoder,
  prevKv: Uint8Array | undefined,
): void {
  const position = header.put(bytes, at);
  if (prevKv !== undefined) putDelimited(bytes, position, TAG_KV, prevKv);
}

/** A PutResponse; `prevKv` is the stored key value from before, if it was asked for. */
export function encodePutResponse(
  header: HeaderEncoder,
  prevKv: Uint8Array | undefined,
  out: ByteWriter,
): void {
  const at = out.reserve(sizeOfPut(header, prevKv));
  putPut(out.bytes, at, header, prevKv);
}

function sizeOfRange(
  header: HeaderEncoder,
  kvs: readonly Uint8Array[],
  more: boolean,
  count: number,
): number {
  return header.size + sizeOfKvs(kvs) + (more ? 2 : 0) + sizeOfCounter(count);
}

function putRange(
  bytes: Uint8Array,
  at: number,
  header: HeaderEncoder,
  kvs: readonly Uint8Array[],
  more: boolean,
  count: number,
): void {
  let position = putKvs(bytes, header.put(bytes, at), TAG_KV, kvs);
  if (more) {
    bytes[position++] = TAG_MORE;
    bytes[position++] = 1;
  }
  putCounter(bytes, position, TAG_COUNT, count);
}

/** A RangeResponse of stored key values. */
export function encodeRangeResponse(
  header: HeaderEncoder,
  kvs: readonly Uint8Array[],
  more: boolean,
  count: number,
  out: ByteWriter,
): void {
  const at = out.reserve(sizeOfRange(header, kvs, more, count));
  putRange(out.bytes, at, header, kvs, more, count);
}

function sizeOfDeleteRange(
  header: HeaderEncoder,
  deleted: number,
  prevKvs: readonly Uint8Array[],
): number {
  return header.size + sizeOfCounter(deleted) + sizeOfKvs(prevKvs);
}

function putDeleteRange(
  bytes: Uint8Array,
  at: number,
  header: HeaderEncoder,
  deleted: number,
  prevKvs: readonly Uint8Array[],
): void {
  const position = putCounter(bytes, header.put(bytes, at), TAG_DELETED, deleted);
  putKvs(bytes, position, TAG_PREV_KVS, prevKvs);
}

/** A DeleteRangeResponse; `prevKvs` are the stored key values, if they were asked for. */
export function encodeDeleteRangeResponse(
  header: HeaderEncoder,
  deleted: number,
  prevKvs: readonly Uint8Array[],
  out: ByteWriter,
): void {
  const at = out.reserve(sizeOfDeleteRange(header, deleted, prevKvs));
  putDeleteRange(out.bytes, at, header, deleted, prevKvs);
}

/** Begins a TxnResponse; what follows in `out` are its responses. */
export function beginTxn(header: HeaderEncoder, succeeded: boolean, out: ByteWriter): void {
  const at = out.reserve(header.size + (succeeded ? 2 : 0));
  const position = header.put(out.bytes, at);
  if (!succeeded) return;
  out.bytes[position] = TAG_SUCCEEDED;
  out.bytes[position + 1] = 1;
}

/** Reserves a ResponseOp around a body of `size` bytes; returns where the body starts. */
function openOp(tag: number, size: number, out: ByteWriter): number {
  const opSize = sizeOfDelimited(size);
  let at = out.reserve(sizeOfDelimited(opSize));
  out.bytes[at] = TAG_RESPONSES;
  at = putUint32(out.bytes, at + 1, opSize);
  out.bytes[at] = tag;
  return putUint32(out.bytes, at + 1, size);
}

/** Adds the answer of a put to the TxnResponse at the end of `out`. */
export function addPut(
  header: HeaderEncoder,
  prevKv: Uint8Array | undefined,
  out: ByteWriter,
): void {
  const at = openOp(TAG_OP_PUT, sizeOfPut(header, prevKv), out);
  putPut(out.bytes, at, header, prevKv);
}

/** Adds the answer of a range to the TxnResponse at the end of `out`. */
export function addRange(
  header: HeaderEncoder,
  kvs: readonly Uint8Array[],
  more: boolean,
  count: number,
  out: ByteWriter,
): void {
  const at = openOp(TAG_OP_RANGE, sizeOfRange(header, kvs, more, count), out);
  putRange(out.bytes, at, header, kvs, more, count);
}

/** Adds the answer of a delete to the TxnResponse at the end of `out`. */
export function addDeleteRange(
  header: HeaderEncoder,
  deleted: number,
  prevKvs: readonly Uint8Array[],
  out: ByteWriter,
): void {
  const at = openOp(TAG_OP_DELETE_RANGE, sizeOfDeleteRange(header, deleted, prevKvs), out);
  putDeleteRange(out.bytes, at, header, deleted, prevKvs);
}

/** Begins a transaction's answer inside another; the result is for endNestedTxn. */
export function beginNestedTxn(header: HeaderEncoder, succeeded: boolean, out: ByteWriter): number {
  out.u8(TAG_RESPONSES);
  beginMessage(out);
  out.u8(TAG_OP_TXN);
  const inner = beginMessage(out);
  beginTxn(header, succeeded, out);
  return inner;
}

/** Ends what beginNestedTxn began. */
export function endNestedTxn(inner: number, out: ByteWriter): void {
  endMessage(out, inner);
  endMessage(out, inner - 2); // the ResponseOp around it: its length, then TAG_OP_TXN
}
