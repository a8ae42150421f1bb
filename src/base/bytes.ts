/**
 * Byte strings. A key is held as a Latin-1 JavaScript string, one character a byte: such strings
 * hash and compare at native speed and `<` on them is the order of the bytes (memcmp, then
 * length), which is etcd's order of keys.
 */

declare global {
  interface Buffer {
    /** Native and unchecked forms of toString("latin1") and write(text, "latin1"). */
    latin1Slice(start?: number, end?: number): string;
    latin1Write(text: string, at?: number, length?: number): number;
  }
}

/** A byte string held one byte a character; every character is below 256. */
export type Key = string;

export const EMPTY_BYTES = new Uint8Array(0);

/**
 * Buffer's own, which takes any Uint8Array: to make a Buffer over one that SQLite returned costs
 * ten times as much, since its memory becomes an ArrayBuffer for that.
 */
const slice: (this: Uint8Array, start: number, end: number) => string =
  Buffer.prototype.latin1Slice;

/** The Latin-1 string of bytes[start, end). */
export function latin1(bytes: Uint8Array, start = 0, end = bytes.length): Key {
  return slice.call(bytes, start, end);
}

/** The bytes of a Latin-1 string; the caller owns them. */
export function bytesOf(key: Key): Uint8Array {
  return Buffer.from(key, "latin1");
}

/** The key whose bytes are the UTF-8 form of `text` (what a person typed). */
export function keyFromText(text: string): Key {
  return Buffer.from(text, "utf8").latin1Slice();
}

/** A Buffer over the same memory, for its fast native methods; free when it already is one. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return bytes instanceof Buffer
    ? bytes
    : Buffer.from(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.byteLength);
}

/**
 * A growing buffer that is written at the end. The memory is reused by reset(): whoever keeps
 * what view() returned must copy it first.
 */
export class ByteWriter {
  bytes: Buffer;
  length = 0;

  constructor(capacity = 4096) {
    this.bytes = Buffer.allocUnsafeSlow(capacity);
  }

  /** Makes room for `count` more bytes and returns the position at which they start. */
  reserve(count: number): number {
    const at = this.length;
    const need = at + count;
    if (need > this.bytes.length) this.#grow(need);
    this.length = need;
    return at;
  }

  u8(value: number): void {
    const at = this.reserve(1);
    this.bytes[at] = value;
  }

  u32(value: number): void {
    const at = this.reserve(4);
    this.bytes.writeUInt32BE(value, at);
  }

  u64(value: bigint): void {
    const at = this.reserve(8);
    this.bytes.writeBigUInt64BE(value, at);
  }

  /** Appends source[start, end). */
  append(source: Uint8Array, start = 0, end = source.length): void {
    const at = this.reserve(end - start);
    if (start === 0 && end === source.length) this.bytes.set(source, at);
    else this.bytes.set(source.subarray(start, end), at);
  }

  /** Appends a Latin-1 string, one byte a character. */
  latin1(text: Key): void {
    const at = this.reserve(text.length);
    this.bytes.latin1Write(text, at, text.length);
  }

  /** What has been written so far; borrowed, valid until the next write or reset. */
  view(): Buffer {
    return this.bytes.subarray(0, this.length);
  }

  /** A copy of what has been written so far; the caller owns it. */
  copy(): Uint8Array {
    return new Uint8Array(this.view());
  }

  reset(): void {
    this.length = 0;
  }

  #grow(need: number): void {
    let capacity = this.bytes.length * 2;
    while (capacity < need) capacity *= 2;
    const grown = Buffer.allocUnsafeSlow(capacity);
    this.bytes.copy(grown, 0, 0, this.length);
    this.bytes = grown;
  }
}
