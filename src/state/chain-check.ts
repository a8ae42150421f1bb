/**
 * Whether the chains of rows that another member sent are chains: what stands before a row (`prev`,
 * `jump`) is a row of the same key, at the depth that it must have. Compaction removes the row
 * before each one it passes: were that another key's, it would remove what is there now, and the
 * member would stop when somebody asks for it.
 *
 * Rows come in order of seq. Of the newest ROWS_KEPT the place, the depth and a hash of the key are
 * kept; one further back is read again. The hash is keyed by chance (wyhash with a secret that
 * nobody outside has), so that nobody can choose two keys that look alike.
 */
import type { Key } from "../base/bytes.ts";
import { DEPTH_MAX } from "./key-entry.ts";
import type { Row } from "./ports.ts";

/** 20 bytes each, so at most 40 MiB; taken as rows come. */
export const ROWS_KEPT = 2 ** 21;
const ROWS_KEPT_FIRST = 2 ** 10;

export interface ChainCheckParts {
  /** A row by its seq; undefined if there is none (compaction took it). */
  readonly read: (seq: number) => Row | undefined;
  /** The key in a row's bytes, which have been looked at. */
  readonly keyOf: (kv: Uint8Array) => Key;
  /** 64 bits drawn by chance. */
  readonly secret: bigint;
  /** A power of two; ROWS_KEPT unless a test says otherwise. */
  readonly rowsKept?: number;
}

export class ChainCheck {
  readonly #parts: ChainCheckParts;
  readonly #rowsKept: number;
  #seqs = new Float64Array(ROWS_KEPT_FIRST);
  #hashes = new Float64Array(ROWS_KEPT_FIRST);
  #depths = new Uint32Array(ROWS_KEPT_FIRST);
  /** Rows so far; row n lies at n mod capacity while it is kept. */
  #count = 0;

  constructor(parts: ChainCheckParts) {
    this.#parts = parts;
    this.#rowsKept = parts.rowsKept ?? ROWS_KEPT;
  }

  /** Takes the next row, whose numbers are in order; false if what it names is not before it. */
  accepts({ seq, prev, jump, depth }: Row, key: Key): boolean {
    const hash = Number(Bun.hash.wyhash(key, this.#parts.secret));
    const above = depth === 1 ? DEPTH_MAX : depth - 1;
    if (prev !== 0 && !this.#leadsTo(prev, above, key, hash)) return false;
    const isLong = jump !== 0 && jump !== prev;
    if (isLong && !this.#leadsTo(jump, fenwick(depth), key, hash)) return false;
    if (this.#count >= this.#seqs.length && this.#seqs.length < this.#rowsKept) this.#grow();
    const at = this.#count & (this.#seqs.length - 1);
    this.#seqs[at] = seq;
    this.#hashes[at] = hash;
    this.#depths[at] = depth;
    this.#count++;
    return true;
  }

  /** Whether the row at `seq`, if there is one, is of the key and at the depth. */
  #leadsTo(seq: number, depth: number, key: Key, hash: number): boolean {
    const mask = this.#seqs.length - 1;
    let low = Math.max(0, this.#count - this.#seqs.length);
    let high = this.#count - 1;
    if (high < low || seq < this.#seqAt(low)) return this.#leadsBack(seq, depth, key);
    while (low <= high) {
      const first = this.#seqAt(low);
      const last = this.#seqAt(high);
      if (seq < first || seq > last) return true;
      // Seqs rise by one at least: it is no further from either end than that, mostly exactly so.
      low = Math.max(low, high - (last - seq));
      high = Math.min(high, low + (seq - this.#seqAt(low)));
      const middle = (low + high) >>> 1;
      const found = this.#seqAt(middle);
      if (found === seq) {
        return this.#hashes[middle & mask] === hash && this.#depths[middle & mask] === depth;
      }
      if (found < seq) low = middle + 1;
      else high = middle - 1;
    }
    return true;
  }

  #leadsBack(seq: number, depth: number, key: Key): boolean {
    const row = this.#parts.read(seq);
    if (row === undefined) return true;
    return row.depth === depth && this.#parts.keyOf(row.kv) === key;
  }

  #seqAt(position: number): number {
    return this.#seqs[position & (this.#seqs.length - 1)] as number;
  }

  /** Nothing was pushed out yet, so all lies at its own place. */
  #grow(): void {
    const capacity = this.#seqs.length * 2;
    this.#seqs = grown(this.#seqs, new Float64Array(capacity));
    this.#hashes = grown(this.#hashes, new Float64Array(capacity));
    this.#depths = grown(this.#depths, new Uint32Array(capacity));
  }
}

function grown<T extends Float64Array | Uint32Array>(from: T, into: T): T {
  into.set(from);
  return into;
}

/** Where the jump of a row leads to (key-entry.ts). */
function fenwick(depth: number): number {
  return (depth & (depth - 1)) >>> 0;
}
