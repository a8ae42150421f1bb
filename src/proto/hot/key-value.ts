/**
 * The stored form of a key's state: an encoded mvccpb.KeyValue, spliced into answers as it is.
 * Written here, so always canonical: fields in order of number, zeros left out, key first.
 *
 *   key 1 · create_revision 2 · mod_revision 3 · version 4 · value 5 · lease 6
 *
 * A tombstone holds key and mod_revision. Reading anything else fails an assertion: stored bytes
 * are ours, never a client's.
 */
import { assert } from "../../base/assert.ts";
import { type Key, latin1 } from "../../base/bytes.ts";
import type { KeyValue } from "../gen/mvccpb.ts";
import { putBigint, putNumber, putUint32, sizeOfBigint, sizeOfNumber } from "../writer.ts";
import { putDelimited, sizeOfDelimited } from "./responses.ts";

const TAG_KEY = 0x0a;
const TAG_CREATE = 0x10;
const TAG_MOD = 0x18;
const TAG_VERSION = 0x20;
const TAG_VALUE = 0x2a;
const TAG_LEASE = 0x30;

/** Longest key that a loop writes faster than a native call. */
const KEY_LOOP_BYTES_MAX = 16;

function sizeOfCounter(value: number): number {
  return value === 0 ? 0 : 1 + sizeOfNumber(value);
}

function putCounter(bytes: Uint8Array, at: number, tag: number, value: number): number {
  if (value === 0) return at;
  bytes[at] = tag;
  return putNumber(bytes, at + 1, value);
}

/** The stored form; the caller owns it and it is no larger than it must be. */
export function encodeKeyValue(kv: KeyValue): Uint8Array {
  const { key, value, lease } = kv;
  const keyBytes = key.length === 0 ? 0 : sizeOfDelimited(key.length);
  const counters =
    sizeOfCounter(kv.createRevision) + sizeOfCounter(kv.modRevision) + sizeOfCounter(kv.version);
  const valueBytes = value.length === 0 ? 0 : sizeOfDelimited(value.length);
  const leaseBytes = lease === 0n ? 0 : 1 + sizeOfBigint(lease);
  const bytes = Buffer.allocUnsafeSlow(keyBytes + counters + valueBytes + leaseBytes);
  let at = putKey(bytes, key);
  at = putCounter(bytes, at, TAG_CREATE, kv.createRevision);
  at = putCounter(bytes, at, TAG_MOD, kv.modRevision);
  at = putCounter(bytes, at, TAG_VERSION, kv.version);
  if (valueBytes !== 0) at = putDelimited(bytes, at, TAG_VALUE, value);
  if (leaseBytes !== 0) {
    bytes[at] = TAG_LEASE;
    at = putBigint(bytes, at + 1, lease);
  }
  assert(at === bytes.length, "a stored key value fills what was reserved for it");
  return bytes;
}

function putKey(bytes: Buffer, key: Key): number {
  const length = key.length;
  if (length === 0) return 0;
  bytes[0] = TAG_KEY;
  const at = putUint32(bytes, 1, length);
  if (length > KEY_LOOP_BYTES_MAX) bytes.latin1Write(key, at, length);
  else for (let i = 0; i < length; i++) bytes[at + i] = key.charCodeAt(i);
  return at + length;
}

/** Takes a stored form apart in place. One object serves many: read() overwrites it. */
export class StoredKeyValue {
  bytes: Uint8Array = new Uint8Array(0);
  /** The key is bytes[keyStart, keyEnd), the value bytes[valueStart, valueEnd). */
  keyStart = 0;
  keyEnd = 0;
  createRevision = 0;
  modRevision = 0;
  version = 0;
  valueStart = 0;
  valueEnd = 0;
  /** Where the value's field begins: bytes[0, headEnd) is everything before it. */
  headEnd = 0;
  #at = 0;

  /** Stands on `bytes`, a stored form. */
  read(bytes: Uint8Array): this {
    this.bytes = bytes;
    this.#at = 0;
    this.keyStart = this.#delimited(TAG_KEY);
    this.keyEnd = this.#at;
    this.createRevision = this.#counter(TAG_CREATE);
    this.modRevision = this.#counter(TAG_MOD);
    this.version = this.#counter(TAG_VERSION);
    this.headEnd = this.#at;
    this.valueStart = this.#delimited(TAG_VALUE);
    this.valueEnd = this.#at;
    const atEnd = this.valueEnd === bytes.length || bytes[this.valueEnd] === TAG_LEASE;
    assert(atEnd, "a stored key value has its fields in order and ends with the last");
    return this;
  }

  /** Stands on `bytes` if they are a stored form; for bytes that another member made. */
  accepts(bytes: Uint8Array): boolean {
    if (!isStoredForm(bytes)) return false;
    this.read(bytes);
    return true;
  }

  key(): Key {
    return latin1(this.bytes, this.keyStart, this.keyEnd);
  }

  /** A view; valid as long as the stored bytes are kept. */
  value(): Uint8Array {
    return this.bytes.subarray(this.valueStart, this.valueEnd);
  }

  hasLease(): boolean {
    return this.valueEnd < this.bytes.length;
  }

  /** The lease as a signed id; 0 for none. */
  lease(): bigint {
    const bytes = this.bytes;
    let id = 0n;
    for (let i = bytes.length - 1; i > this.valueEnd; i--) {
      id = (id << 7n) | BigInt((bytes[i] as number) & 127);
    }
    return BigInt.asIntN(64, id);
  }

  /** Passes over a delimited field if it is next; returns where its content starts. */
  #delimited(tag: number): number {
    if (this.bytes[this.#at] !== tag) return this.#at;
    this.#at++;
    const length = this.#varint();
    const start = this.#at;
    this.#at = start + length;
    return start;
  }

  #counter(tag: number): number {
    if (this.bytes[this.#at] !== tag) return 0;
    this.#at++;
    return this.#varint();
  }

  #varint(): number {
    const bytes = this.bytes;
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = bytes[this.#at++];
      assert(byte !== undefined, "a varint of a stored key value is whole");
      if (byte < 128) return value + byte * scale;
      value += (byte & 127) * scale;
    }
  }
}

/** The longest varint. */
const VARINT_BYTES_MAX = 10;

/** Whether nothing that read() asserts is broken: fields in order, whole, numbers in range. */
function isStoredForm(bytes: Uint8Array): boolean {
  let last = 0;
  let at = 0;
  while (at < bytes.length) {
    const tag = bytes[at++] as number;
    if (tag <= last) return false;
    last = tag;
    const end = Math.min(bytes.length, at + VARINT_BYTES_MAX);
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      if (at === end) return false;
      const byte = bytes[at++] as number;
      value += (byte & 127) * scale;
      if (byte < 128) break;
    }
    if (tag === TAG_KEY || tag === TAG_VALUE) {
      if (value > bytes.length - at) return false;
      at += value;
    } else if (tag === TAG_CREATE || tag === TAG_MOD || tag === TAG_VERSION) {
      if (!Number.isSafeInteger(value)) return false;
    } else if (tag !== TAG_LEASE) return false;
  }
  return true;
}

/** The one that the functions below share. */
const STORED = new StoredKeyValue();

export function keyOf(kv: Uint8Array): Key {
  return STORED.read(kv).key();
}

/** A view of the value; valid as long as the stored bytes are kept. */
export function valueBytesOf(kv: Uint8Array): Uint8Array {
  return STORED.read(kv).value();
}

export function createRevisionOf(kv: Uint8Array): number {
  return STORED.read(kv).createRevision;
}

export function modRevisionOf(kv: Uint8Array): number {
  return STORED.read(kv).modRevision;
}

export function versionOf(kv: Uint8Array): number {
  return STORED.read(kv).version;
}

/** The lease as a signed id; 0 for none. */
export function leaseOf(kv: Uint8Array): bigint {
  return STORED.read(kv).lease();
}

/** The stored form without its value, for keys_only answers; a copy. */
export function withoutValue(kv: Uint8Array, alsoWithoutLease: boolean): Uint8Array {
  const { headEnd, valueEnd } = STORED.read(kv);
  const leaseBytes = alsoWithoutLease ? 0 : kv.length - valueEnd;
  const short = new Uint8Array(headEnd + leaseBytes);
  short.set(kv.subarray(0, headEnd));
  if (leaseBytes !== 0) short.set(kv.subarray(valueEnd), headEnd);
  return short;
}
