/**
 * What header blocks meant, by their bytes. A client that repeats a request repeats its block byte
 * for byte once the fields stand in the dynamic table, and a block that does not change the table
 * means the same until the table changes (HpackDecoder.version). So most requests need no
 * HPACK decoding, no strings and no list: only a comparison of bytes.
 */

/** A connection rarely uses more paths than this; two that share a slot decode by turns. */
const SLOT_COUNT = 32;

/** Longer blocks are rare and would cost memory: 32 × 1 KiB per connection at worst. */
const BLOCK_BYTES_MAX = 1024;

/** A byte may stand for a field of the table: two references in the list, two in its metadata. */
const BYTES_PER_BLOCK_BYTE = 32;

interface Entry<T> {
  readonly version: number;
  readonly block: Uint8Array;
  readonly meaning: T;
}

export class BlockCache<T> {
  readonly #slots: (Entry<T> | undefined)[] = new Array(SLOT_COUNT).fill(undefined);
  #last: Entry<T> | undefined;
  #blockBytes = 0;

  /** The meaning of bytes[start, end) at this table version, or undefined. */
  find(bytes: Uint8Array, start: number, end: number, version: number): T | undefined {
    const last = this.#last;
    if (last === undefined) return undefined;
    if (isSame(last, bytes, start, end, version)) return last.meaning;
    const entry = this.#slots[slotOf(bytes, start, end)];
    if (entry === undefined || !isSame(entry, bytes, start, end, version)) return undefined;
    this.#last = entry;
    return entry.meaning;
  }

  /** What the blocks and their meanings take, by estimate. */
  get keptBytes(): number {
    return this.#blockBytes * BYTES_PER_BLOCK_BYTE;
  }

  /** Remembers a block whose decoding left the table's version as it was. Copies the bytes. */
  keep(bytes: Uint8Array, start: number, end: number, version: number, meaning: T): void {
    if (end - start > BLOCK_BYTES_MAX) return;
    const entry = { version, block: new Uint8Array(bytes.subarray(start, end)), meaning };
    const slot = slotOf(bytes, start, end);
    this.#blockBytes += end - start - (this.#slots[slot]?.block.length ?? 0);
    this.#slots[slot] = entry;
    this.#last = entry;
  }
}

function isSame<T>(
  entry: Entry<T>,
  bytes: Uint8Array,
  start: number,
  end: number,
  version: number,
): boolean {
  const block = entry.block;
  if (entry.version !== version || block.length !== end - start) return false;
  for (let at = 0; at < block.length; at++) if (block[at] !== bytes[start + at]) return false;
  return true;
}

/** Every byte counts: two methods of a service may differ in a letter. */
function slotOf(bytes: Uint8Array, start: number, end: number): number {
  let hash = end - start;
  for (let at = start; at < end; at++) hash = (Math.imul(hash, 31) + (bytes[at] as number)) | 0;
  return (hash ^ (hash >>> 15)) & (SLOT_COUNT - 1);
}
