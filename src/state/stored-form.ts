/**
 * Makes stored forms (proto/hot/key-value.ts says what they are, and reads them) from what applying
 * a command has at hand: a version that is known by its numbers, a value that still lies in the
 * entry's payload, a lease whose field was encoded when it was granted. One allocation, one copy
 * of the value.
 */
import { asBuffer, EMPTY_BYTES, type Key } from "../base/bytes.ts";
import {
  putBigint,
  putNumber,
  putUint32,
  sizeOfBigint,
  sizeOfNumber,
  sizeOfUint32,
} from "../proto/writer.ts";

/** What a version of a key is, apart from its value and lease. */
export interface KeyVersion {
  readonly key: Key;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly version: number;
}

const TAG_KEY = 0x0a;
const TAG_CREATE = 0x10;
const TAG_MOD = 0x18;
const TAG_VERSION = 0x20;
const TAG_VALUE = 0x2a;
const TAG_LEASE = 0x30;

function versionBytes(of: KeyVersion): number {
  const keyBytes = of.key.length;
  return (
    4 +
    sizeOfUint32(keyBytes) +
    keyBytes +
    sizeOfNumber(of.createRevision) +
    sizeOfNumber(of.modRevision) +
    sizeOfNumber(of.version)
  );
}

function writeVersion(out: Buffer, of: KeyVersion): number {
  const key = of.key;
  out[0] = TAG_KEY;
  let at = putUint32(out, 1, key.length);
  out.latin1Write(key, at, key.length);
  at += key.length;
  out[at++] = TAG_CREATE;
  at = putNumber(out, at, of.createRevision);
  out[at++] = TAG_MOD;
  at = putNumber(out, at, of.modRevision);
  out[at++] = TAG_VERSION;
  return putNumber(out, at, of.version);
}

/** The lease field of a key value: tag and varint; empty for lease 0. Made once a lease. */
export function encodeLeaseField(lease: bigint): Uint8Array {
  if (lease === 0n) return EMPTY_BYTES;
  const field = new Uint8Array(1 + sizeOfBigint(lease));
  field[0] = TAG_LEASE;
  putBigint(field, 1, lease);
  return field;
}

/** Encodes a live version whose value is source[start, end); the caller owns the result. */
export function encodeKeyValue(
  of: KeyVersion,
  source: Uint8Array,
  start: number,
  end: number,
  leaseField: Uint8Array,
): Buffer {
  const valueBytes = end - start;
  let size = versionBytes(of) + leaseField.length;
  if (valueBytes > 0) size += 1 + sizeOfUint32(valueBytes) + valueBytes;
  const out = Buffer.allocUnsafeSlow(size);
  let at = writeVersion(out, of);
  if (valueBytes > 0) {
    out[at++] = TAG_VALUE;
    at = putUint32(out, at, valueBytes);
    // copy() takes a range without a view being made for it, a third of the cost of small values.
    if (valueBytes === source.length) out.set(source, at);
    else asBuffer(source).copy(out, at, start, end);
    at += valueBytes;
  }
  if (leaseField.length > 0) out.set(leaseField, at);
  return out;
}

/** Encodes a version without value and lease: what a keys-only read shows. */
export function encodeKeyOnly(of: KeyVersion): Buffer {
  const out = Buffer.allocUnsafeSlow(versionBytes(of));
  writeVersion(out, of);
  return out;
}

/** Encodes a tombstone: the key and the revision that deleted it. */
export function encodeTombstone(key: Key, modRevision: number): Buffer {
  const keyBytes = key.length;
  const out = Buffer.allocUnsafeSlow(
    2 + sizeOfUint32(keyBytes) + keyBytes + sizeOfNumber(modRevision),
  );
  out[0] = TAG_KEY;
  let at = putUint32(out, 1, keyBytes);
  out.latin1Write(key, at, keyBytes);
  at += keyBytes;
  out[at++] = TAG_MOD;
  putNumber(out, at, modRevision);
  return out;
}
