/**
 * The dynamic table (RFC 7541 §2.3.2, §4): first in, first out, bounded by bytes. Both roles use
 * it; it never holds more than bytesMax, so entries number at most bytesMax / 32.
 *
 *   slots (a ring)   . . [oldest] [ ] [ ] [newest] . .
 *                         index count      index 1    ^ #next
 *
 * Invariants, checked by verify():
 *   D1  bytes = sum over the entries of (name + value + 32), and bytes ≤ bytesMax
 *   D2  slots outside of the ring hold nothing (evicted strings are not kept alive)
 * `version` grows with every change of the entries or of bytesMax, and with nothing else: two
 * moments with one version decode every block alike.
 */
import { assert } from "../../base/assert.ts";

/** What RFC 7541 §4.1 adds to each entry's size, for the bookkeeping around the two strings. */
export const ENTRY_OVERHEAD_BYTES = 32;

/** SETTINGS_HEADER_TABLE_SIZE until it is changed (RFC 9113 §6.5.2). */
export const TABLE_BYTES_DEFAULT = 4096;

/** First size of the ring; a power of two. A usual connection has six to twelve entries. */
const SLOTS_FIRST = 16;

/** One side's table. Indexes are one-based from the newest entry: wire index minus 61. */
export class DynamicTable {
  version = 0;
  bytes = 0;
  count = 0;
  /** Sizes of all entries that were ever kept, added up. */
  insertedBytes = 0;
  bytesMax: number;
  #names: string[] = new Array<string>(SLOTS_FIRST).fill("");
  #values: string[] = new Array<string>(SLOTS_FIRST).fill("");
  #valid: boolean[] = new Array<boolean>(SLOTS_FIRST).fill(true);
  #next = 0;

  constructor(bytesMax: number) {
    this.bytesMax = bytesMax;
  }

  /** The name at `index`, which the caller has checked to be in [1, count]. */
  nameAt(index: number): string {
    return this.#names[this.#slot(index)] as string;
  }

  /** The value at `index` in [1, count]. */
  valueAt(index: number): string {
    return this.#values[this.#slot(index)] as string;
  }

  /** What insert() was told about the name (bit 0) of the entry at `index`; see decoder.ts. */
  validAt(index: number): boolean {
    return this.#valid[this.#slot(index)] as boolean;
  }

  /**
   * Adds an entry and evicts the oldest until it fits. One that is larger than the whole table
   * empties it and is not kept; that is no error (RFC 7541 §4.4).
   */
  insert(name: string, value: string, valid: boolean): void {
    const size = name.length + value.length + ENTRY_OVERHEAD_BYTES;
    const room = this.bytesMax - size;
    if (room < this.bytes) this.#evictTo(Math.max(room, 0));
    if (room < 0) return;
    if (this.count === this.#names.length) this.#grow();
    this.#names[this.#next] = name;
    this.#values[this.#next] = value;
    this.#valid[this.#next] = valid;
    this.#next = (this.#next + 1) & (this.#names.length - 1);
    this.count++;
    this.bytes += size;
    this.insertedBytes += size;
    this.version++;
  }

  /** Sets the bound and evicts down to it (RFC 7541 §4.3). The same bound again changes nothing. */
  resize(bytesMax: number): void {
    if (bytesMax === this.bytesMax) return;
    this.bytesMax = bytesMax;
    this.version++;
    if (this.bytes > bytesMax) this.#evictTo(bytesMax);
  }

  /** Every invariant, at any cost. */
  verify(): void {
    let bytes = 0;
    for (let index = 1; index <= this.count; index++) {
      bytes += this.nameAt(index).length + this.valueAt(index).length + ENTRY_OVERHEAD_BYTES;
    }
    assert(bytes === this.bytes, "table bytes are not the sum of its entries");
    assert(bytes <= this.bytesMax, "table is over its bound");
    for (let index = this.count + 1; index <= this.#names.length; index++) {
      const empty = this.nameAt(index) === "" && this.valueAt(index) === "";
      assert(empty, "an evicted entry is kept alive");
    }
  }

  #slot(index: number): number {
    return (this.#next - index) & (this.#names.length - 1);
  }

  #evictTo(bytesMax: number): void {
    if (this.count === 0) return;
    while (this.bytes > bytesMax) {
      const slot = this.#slot(this.count);
      const size = (this.#names[slot] as string).length + (this.#values[slot] as string).length;
      this.bytes -= size + ENTRY_OVERHEAD_BYTES;
      this.#names[slot] = "";
      this.#values[slot] = "";
      this.count--;
    }
    this.version++;
  }

  #grow(): void {
    const size = this.#names.length;
    const names = new Array<string>(size * 2).fill("");
    const values = new Array<string>(size * 2).fill("");
    const valid = new Array<boolean>(size * 2).fill(true);
    for (let place = 0; place < size; place++) {
      const slot = this.#slot(size - place);
      names[place] = this.#names[slot] as string;
      values[place] = this.#values[slot] as string;
      valid[place] = this.#valid[slot] as boolean;
    }
    this.#names = names;
    this.#values = values;
    this.#valid = valid;
    this.#next = size;
  }
}
