/**
 * The unflushed tail: rows that were applied and that the store has not said it can read yet. A
 * ring by seq, because seqs are handed out without gaps: row s lies at s mod capacity.
 *
 *        first                       next
 *   ······[ s  s+1  s+2 …            ]·······
 *
 * Invariant: every seq in [first, next) is present and none outside. The driver bounds the tail:
 * it stops applying while too many batches wait for the store.
 */
import { assert } from "../base/assert.ts";
import type { KeyRow } from "./row.ts";

/** One turn's worth of rows under load; grows by doubling and keeps its size. */
const CAPACITY_MIN = 1024;

export class Tail {
  /** The oldest seq held, and the next one to come. */
  first = 1;
  next = 1;
  #ring: (KeyRow | undefined)[] = new Array<KeyRow | undefined>(CAPACITY_MIN).fill(undefined);
  #mask = CAPACITY_MIN - 1;

  /** Starts empty after `lastSeq`: all rows so far are stored. */
  reset(lastSeq: number): void {
    assert(this.first === this.next, "only an empty tail is moved");
    this.first = lastSeq + 1;
    this.next = lastSeq + 1;
  }

  push(row: KeyRow): void {
    assert(row.seq === this.next, "rows enter the tail in order of seq");
    if (this.next - this.first > this.#mask) this.#grow();
    this.#ring[row.seq & this.#mask] = row;
    this.next++;
  }

  /** The row at `seq`, or undefined if it is stored already (or does not exist). */
  get(seq: number): KeyRow | undefined {
    if (seq < this.first || seq >= this.next) return undefined;
    return this.#ring[seq & this.#mask];
  }

  /** Rows with from ≤ seq < to, all of which must be here. */
  slice(from: number, to: number): KeyRow[] {
    assert(from >= this.first && to <= this.next, "a slice of the tail lies inside it");
    const rows: KeyRow[] = [];
    for (let seq = from; seq < to; seq++) rows.push(this.#ring[seq & this.#mask] as KeyRow);
    return rows;
  }

  /** Forgets rows up to and including `seq`: the store has them. */
  release(seq: number): void {
    assert(seq < this.next, "only rows that exist are stored");
    while (this.first <= seq) this.#ring[this.first++ & this.#mask] = undefined;
  }

  /** The smallest seq in the tail whose row has revision ≥ `revision`; `next` if none has. */
  seek(revision: number): number {
    let low = this.first;
    let high = this.next;
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      if ((this.#ring[middle & this.#mask] as KeyRow).revision < revision) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #grow(): void {
    const old = this.#ring;
    const oldMask = this.#mask;
    const capacity = old.length * 2;
    this.#ring = new Array<KeyRow | undefined>(capacity).fill(undefined);
    this.#mask = capacity - 1;
    for (let seq = this.first; seq < this.next; seq++) {
      this.#ring[seq & this.#mask] = old[seq & oldMask];
    }
  }
}
