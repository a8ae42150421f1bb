/**
 * Header blocks to header lists (RFC 7541 §3, §6). One decoder stands on each connection, for all
 * its blocks in the order of the wire.
 *
 * A list is flat: [name, value, name, value, …], Latin-1 strings, one character a byte.
 *
 * Three bounds hold against hostile blocks: integers have five continuation bytes, the table
 * tableBytesMax, and the list listBytesMax, where an indexed field counts whole at each use (so a
 * 4 KiB entry named ten thousand times is cut, not built). Work is linear in the block's bytes.
 *
 * What a field may hold (RFC 9113 §8.2.1) is looked at where its bytes are read for the first
 * time, and kept with the table's entries: a block of indexes costs nothing to validate.
 */
import { asBuffer, EMPTY_BYTES, latin1 } from "../../base/bytes.ts";
import { DynamicTable, ENTRY_OVERHEAD_BYTES, TABLE_BYTES_DEFAULT } from "./dynamic-table.ts";
import { HpackError, malformed } from "./error.ts";
import { nameIsValid, valueIsValid } from "./field.ts";
import { huffmanDecode, huffmanDecodedBytesMax } from "./huffman.ts";
import { type Cursor, readInteger } from "./integer.ts";
import { DYNAMIC_INDEX_FIRST, STATIC_NAMES, STATIC_VALUES } from "./static-table.ts";

/** Bounds of one decoder. */
export interface HpackLimits {
  /**
   * Bytes that the peer may make us keep. HTTP/2 begins with 4096 on both sides and changes it by
   * setTableBytesMax; above that the table grows when the peer's block says so, not before.
   */
  readonly tableBytesMax: number;
  /** Our SETTINGS_MAX_HEADER_LIST_SIZE: name + value + 32 of each field, added up. */
  readonly listBytesMax: number;
}

/** A field's two places in the list and in what is made of it. */
const PLACES_BYTES = 32;
/**
 * What two strings take beside their characters, and each of those: fields of 4, 110 and 3,700
 * characters measured 74, 245 and 4,900 bytes. Characters count twice, since the collector lets as
 * many of strings that are gone lie about.
 */
const LITERAL_BYTES = 48;
const BYTES_PER_CHARACTER = 2.5;

const NONE: readonly string[] = [];
const NO_BYTES = asBuffer(EMPTY_BYTES);

/** The decoding half of a connection's header compression. Holds no more than its limits. */
export class HpackDecoder {
  readonly #table: DynamicTable;
  readonly #listBytesMax: number;
  readonly #cursor: Cursor = { bytes: NO_BYTES, at: 0, end: 0 };
  #scratch: Buffer = Buffer.allocUnsafeSlow(512);
  #tableBytesLimit: number;
  #updateDue = false; // we lowered the limit under what the peer uses: it must answer (§4.2)
  #textValid = true; // of the string that was read last
  #listBytes = 0;
  #ownBytes = 0;
  #fieldsValid = true;
  #neverIndexed: string[] | undefined;

  constructor(limits: HpackLimits) {
    this.#table = new DynamicTable(Math.min(limits.tableBytesMax, TABLE_BYTES_DEFAULT));
    this.#tableBytesLimit = limits.tableBytesMax;
    this.#listBytesMax = limits.listBytesMax;
  }

  /**
   * Grows when, and only when, the same bytes might from now on decode otherwise. A block that
   * leaves it as it was may be answered from a cache keyed by its bytes and the version; such a
   * cache keeps `fieldsValid` and `neverIndexed` with the list.
   */
  get version(): number {
    return this.#table.version;
  }

  /**
   * Whether every name and value of the block decoded last is legal in HTTP/2 (RFC 9113 §8.2.1:
   * lower-case names, a colon only in front, no NUL, CR, LF, no outer white space). Which pseudo
   * fields may appear, and where, is for HTTP/2 to say.
   */
  get fieldsValid(): boolean {
    return this.#fieldsValid;
  }

  /** Names of the last block's never-indexed fields: a proxy must pass that on (§6.2.3). */
  get neverIndexed(): readonly string[] {
    return this.#neverIndexed ?? NONE;
  }

  /** What the last list takes, by estimate: literals have strings of their own. */
  get ownBytes(): number {
    return Math.ceil(this.#ownBytes);
  }

  /** The table, to look at. */
  get table(): Readonly<DynamicTable> {
    return this.#table;
  }

  /**
   * Says that the peer has acknowledged a SETTINGS_HEADER_TABLE_SIZE of ours. If it must shrink
   * its table, its next block has to begin with the update, else that block is malformed.
   */
  setTableBytesMax(bytes: number): void {
    if (bytes === this.#tableBytesLimit) return;
    this.#tableBytesLimit = bytes;
    this.#updateDue = this.#table.bytesMax > bytes;
    this.#table.version++; // an update in a known block may now be an error
  }

  /**
   * Decodes the whole block bytes[start, end), which is borrowed for the call. Throws HpackError
   * and nothing else; see HpackFault for what the decoder is good for afterwards.
   */
  decode(bytes: Uint8Array, start: number, end: number): string[] {
    const cursor = this.#cursor;
    cursor.bytes = asBuffer(bytes);
    cursor.at = start;
    cursor.end = end;
    this.#listBytes = 0;
    this.#ownBytes = 0;
    this.#fieldsValid = true;
    this.#neverIndexed = undefined;
    if (start < end) this.#sizeUpdates(cursor);
    const fields: string[] = [];
    while (cursor.at < end) {
      const first = cursor.bytes[cursor.at] as number;
      if (first >= 0x80) this.#indexed(cursor, fields);
      else this.#literal(cursor, first, fields);
    }
    cursor.bytes = NO_BYTES;
    if (this.#listBytes > this.#listBytesMax) this.#refuse();
    return fields;
  }

  #refuse(): never {
    const reason = `header list of ${this.#listBytes} bytes, at most ${this.#listBytesMax}`;
    throw new HpackError("list_too_large", reason);
  }

  /** §6.3; only at the start of a block (§4.2). */
  #sizeUpdates(cursor: Cursor): void {
    while (cursor.at < cursor.end && ((cursor.bytes[cursor.at] as number) & 0xe0) === 0x20) {
      const bytesMax = readInteger(cursor, 0x1f);
      if (bytesMax > this.#tableBytesLimit) malformed("table size update above the limit we set");
      this.#updateDue = false;
      this.#table.resize(bytesMax);
    }
    if (this.#updateDue) malformed("no table size update after the limit was lowered");
  }

  /** §6.1 */
  #indexed(cursor: Cursor, fields: string[]): void {
    const index = readInteger(cursor, 0x7f);
    if (index >= DYNAMIC_INDEX_FIRST) {
      const place = this.#dynamicPlace(index);
      if (!this.#table.validAt(place)) this.#fieldsValid = false;
      this.#add(fields, this.#table.nameAt(place), this.#table.valueAt(place));
      return;
    }
    if (index === 0) malformed("indexed field with index 0");
    this.#add(fields, STATIC_NAMES[index] as string, STATIC_VALUES[index] as string);
  }

  /** §6.2: 01 with incremental indexing, 0000 without, 0001 never indexed, 001 misplaced update. */
  #literal(cursor: Cursor, first: number, fields: string[]): void {
    const indexing = first >= 0x40;
    if (!indexing && first >= 0x20) malformed("table size update after the first field");
    const index = readInteger(cursor, indexing ? 0x3f : 0x0f);
    const name = index === 0 ? this.#readName(cursor) : this.#knownName(index);
    let valid = this.#textValid;
    const value = this.#readValue(cursor);
    valid &&= this.#textValid;
    const characters = value.length + (index === 0 ? name.length : 0);
    this.#ownBytes += LITERAL_BYTES + characters * BYTES_PER_CHARACTER;
    if (!valid) this.#fieldsValid = false;
    if (indexing) this.#table.insert(name, value, valid);
    else if (first >= 0x10) {
      this.#neverIndexed ??= [];
      this.#neverIndexed.push(name);
    }
    this.#add(fields, name, value);
  }

  /** Counts the field, and keeps it while the list is within its bound. */
  #add(fields: string[], name: string, value: string): void {
    this.#listBytes += name.length + value.length + ENTRY_OVERHEAD_BYTES;
    if (this.#listBytes > this.#listBytesMax) return;
    this.#ownBytes += PLACES_BYTES;
    fields.push(name, value);
  }

  #dynamicPlace(index: number): number {
    const place = index - DYNAMIC_INDEX_FIRST + 1;
    if (place > this.#table.count) malformed("index beyond the end of the table");
    return place;
  }

  #knownName(index: number): string {
    this.#textValid = true;
    if (index < DYNAMIC_INDEX_FIRST) return STATIC_NAMES[index] as string;
    const place = this.#dynamicPlace(index);
    // An entry is marked as a whole, so its name is looked at again where the mark is bad.
    const name = this.#table.nameAt(place);
    if (!this.#table.validAt(place)) {
      const bytes = Buffer.from(name, "latin1");
      this.#textValid = nameIsValid(bytes, 0, bytes.length);
    }
    return name;
  }

  #readName(cursor: Cursor): string {
    return this.#readText(cursor, nameIsValid);
  }

  #readValue(cursor: Cursor): string {
    return this.#readText(cursor, valueIsValid);
  }

  /** §5.2. Sets #textValid. */
  #readText(cursor: Cursor, isValid: typeof nameIsValid): string {
    const huffman = (cursor.bytes[cursor.at] as number) >= 0x80; // where cut, the length fails
    const length = readInteger(cursor, 0x7f);
    const start = cursor.at;
    if (length > cursor.end - start) malformed("header block ends inside a string");
    const end = start + length;
    cursor.at = end;
    if (!huffman) {
      this.#textValid = isValid(cursor.bytes, start, end);
      return latin1(cursor.bytes, start, end);
    }
    const room = huffmanDecodedBytesMax(length);
    if (room > this.#scratch.length) this.#scratch = Buffer.allocUnsafeSlow(room * 2);
    const size = huffmanDecode(cursor.bytes, start, end, this.#scratch, 0);
    this.#textValid = isValid(this.#scratch, 0, size);
    return latin1(this.#scratch, 0, size);
  }
}
