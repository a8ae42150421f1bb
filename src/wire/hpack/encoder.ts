/**
 * Header lists to header blocks (RFC 7541 §3, §6). One encoder stands on each connection; blocks
 * must reach the wire in the order in which they were encoded.
 *
 * Each field goes out as an index where both sides know it, else as a literal whose policy
 * (policy.ts) says whether it enters the table; strings in Huffman form where that is shorter.
 */
import type { ByteWriter } from "../../base/bytes.ts";
import { DynamicTable, ENTRY_OVERHEAD_BYTES, TABLE_BYTES_DEFAULT } from "./dynamic-table.ts";
import { huffmanBytes, huffmanEncode } from "./huffman.ts";
import { writeInteger } from "./integer.ts";
import { fieldIndexing, type Indexing } from "./policy.ts";
import { DYNAMIC_INDEX_FIRST, staticFieldIndex, staticNameIndex } from "./static-table.ts";

/**
 * Bytes of table that we use, however many the peer allows. Our fields repeat and are few, and at
 * 32 bytes an entry the search through the table stays below 128 steps.
 */
export const ENCODER_TABLE_BYTES_MAX = TABLE_BYTES_DEFAULT;

/** How an encoder may differ from the usual; the RFC's own examples need it. */
export interface EncoderOptions {
  /** False writes every string as it is. */
  readonly huffman?: boolean;
  /** Which literals enter the table. */
  readonly indexing?: (name: string) => Indexing;
}

/** The encoding half of a connection's header compression. */
export class HpackEncoder {
  readonly #table = new DynamicTable(TABLE_BYTES_DEFAULT);
  readonly #huffman: boolean;
  readonly #indexing: (name: string) => Indexing;
  #smallest = Number.POSITIVE_INFINITY; // of the sizes set since the last block
  #updateDue = false;

  constructor(options: EncoderOptions = {}) {
    this.#huffman = options.huffman ?? true;
    this.#indexing = options.indexing ?? fieldIndexing;
  }

  /**
   * Grows when, and only when, the same list might from now on encode otherwise. A block whose
   * encoding left it as it was may be sent again for the same list while the version stands.
   */
  get version(): number {
    return this.#table.version;
  }

  /** The table, to look at. */
  get table(): Readonly<DynamicTable> {
    return this.#table;
  }

  /** Takes the peer's SETTINGS_HEADER_TABLE_SIZE; the next block announces what follows (§4.2). */
  setTableBytesMax(bytes: number): void {
    const bytesMax = Math.min(bytes, ENCODER_TABLE_BYTES_MAX);
    if (bytesMax === this.#table.bytesMax) return;
    this.#table.resize(bytesMax);
    this.#smallest = Math.min(this.#smallest, bytesMax);
    this.#updateDue = true;
  }

  /**
   * Appends the block of `fields`, a flat list of Latin-1 strings with lower-case names; asserts
   * that no character is wider. Fields named in `sensitive` go out as never indexed, as do those
   * that the policy knows for secrets.
   */
  encode(fields: readonly string[], out: ByteWriter, sensitive?: readonly string[]): void {
    if (this.#updateDue) this.#announce(out);
    for (let at = 0; at + 1 < fields.length; at += 2) {
      const name = fields[at] as string;
      const value = fields[at + 1] as string;
      const indexing = sensitive?.includes(name) === true ? "never" : this.#indexing(name);
      this.#field(name, value, indexing, out);
    }
  }

  /** The smallest size that was set between two blocks, and the last one (§4.2). */
  #announce(out: ByteWriter): void {
    const bytesMax = this.#table.bytesMax;
    if (this.#smallest < bytesMax) writeInteger(out, 0x20, 0x1f, this.#smallest);
    writeInteger(out, 0x20, 0x1f, bytesMax);
    this.#smallest = Number.POSITIVE_INFINITY;
    this.#updateDue = false;
    this.#table.version++; // this block says more than the next one for the same list
  }

  #field(name: string, value: string, indexing: Indexing, out: ByteWriter): void {
    let nameIndex = staticNameIndex(name);
    // A secret is never sent as an index: whether it stands in the table would be told by the
    // length of the block (§7.1).
    const known = indexing === "never" ? 0 : staticFieldIndex(nameIndex, name, value);
    if (known !== 0) {
      writeInteger(out, 0x80, 0x7f, known);
      return;
    }
    const table = this.#table;
    for (let place = 1; place <= table.count; place++) {
      if (table.nameAt(place) !== name) continue;
      const index = place + DYNAMIC_INDEX_FIRST - 1;
      if (indexing !== "never" && table.valueAt(place) === value) {
        writeInteger(out, 0x80, 0x7f, index);
        return;
      }
      if (nameIndex === 0) nameIndex = index;
    }
    this.#literal(nameIndex, name, value, indexing, out);
  }

  #literal(nameIndex: number, name: string, value: string, how: Indexing, out: ByteWriter): void {
    const size = name.length + value.length + ENTRY_OVERHEAD_BYTES;
    // An entry over half of the table would push out more than it is worth.
    const index = how === "index" && size * 2 <= this.#table.bytesMax;
    if (index) writeInteger(out, 0x40, 0x3f, nameIndex);
    else writeInteger(out, how === "never" ? 0x10 : 0x00, 0x0f, nameIndex);
    if (nameIndex === 0) this.#text(name, out);
    this.#text(value, out);
    if (index) this.#table.insert(name, value, true);
  }

  /** §5.2 */
  #text(text: string, out: ByteWriter): void {
    const count = huffmanBytes(text);
    if (this.#huffman && count < text.length) {
      writeInteger(out, 0x80, 0x7f, count);
      huffmanEncode(text, count, out);
      return;
    }
    writeInteger(out, 0x00, 0x7f, text.length);
    out.latin1(text);
  }
}
