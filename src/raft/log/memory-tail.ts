/**
 * The newest entries of the log, in memory: a ring in which entry `index` lies at
 * `index & (capacity - 1)`, so that appending, reading and dropping move nothing.
 *
 *            first                 last
 *   . . . . [ e7 | e8 | e9 | e10 | e11 ] . . .
 *     dropFront ->                  <- truncate
 *
 * Invariant, checked by verify(): entries are contiguous, their terms never fall, and `bytes` is
 * their sum. The owner decides what may be dropped; the ring itself only grows.
 */
import { assert } from "../../base/assert.ts";
import { type Entry, entryBytes } from "../types.ts";

/** Slots at the start: a power of two, enough for a small group never to grow. */
const CAPACITY_START = 256;

export class MemoryTail {
  #slots: (Entry | undefined)[] = new Array(CAPACITY_START).fill(undefined);
  #first: number;
  #last: number;
  #bytes = 0;

  /** Empty; the next entry to come is `first`. */
  constructor(first: number) {
    this.#first = first;
    this.#last = first - 1;
  }

  /** The oldest entry held; last + 1 when empty. */
  get first(): number {
    return this.#first;
  }

  get last(): number {
    return this.#last;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** first ≤ index ≤ last. */
  at(index: number): Entry {
    assert(index >= this.#first && index <= this.#last, "entry is not in the tail");
    return this.#slots[index & (this.#slots.length - 1)] as Entry;
  }

  append(entry: Entry): void {
    assert(entry.index === this.#last + 1, "entries of the tail are contiguous");
    if (this.#last - this.#first + 1 === this.#slots.length) this.#grow();
    this.#last = entry.index;
    this.#slots[entry.index & (this.#slots.length - 1)] = entry;
    this.#bytes += entryBytes(entry);
  }

  /** Entries from ≤ index < to, at least one, then within bytesMax. The array is the caller's. */
  slice(from: number, to: number, bytesMax: number): Entry[] {
    assert(from >= this.#first && from < to && to <= this.#last + 1, "slice outside the tail");
    const out: Entry[] = [];
    let bytes = 0;
    for (let index = from; index < to; index++) {
      const entry = this.at(index);
      bytes += entryBytes(entry);
      if (bytes > bytesMax && out.length > 0) break;
      out.push(entry);
    }
    return out;
  }

  /** Forgets the entries from `from` on. */
  truncate(from: number): void {
    while (this.#last >= from && this.#last >= this.#first) {
      this.#forget(this.#last);
      this.#last--;
    }
    if (this.#last >= from) this.reset(from);
  }

  /** Forgets the oldest entry. */
  dropFront(): void {
    assert(this.#first <= this.#last, "the tail is empty");
    this.#forget(this.#first);
    this.#first++;
  }

  /** Empties it; the next entry to come is `first`. */
  reset(first: number): void {
    this.#slots.fill(undefined);
    this.#first = first;
    this.#last = first - 1;
    this.#bytes = 0;
  }

  verify(): void {
    let bytes = 0;
    let term = 0;
    for (let index = this.#first; index <= this.#last; index++) {
      const entry = this.at(index);
      assert(entry.index === index, "an entry lies in another's slot");
      assert(entry.term >= term, "terms of the log never fall");
      term = entry.term;
      bytes += entryBytes(entry);
    }
    assert(bytes === this.#bytes, "bytes of the tail");
  }

  #forget(index: number): void {
    const slot = index & (this.#slots.length - 1);
    this.#bytes -= entryBytes(this.#slots[slot] as Entry);
    this.#slots[slot] = undefined;
  }

  #grow(): void {
    const old = this.#slots;
    const slots: (Entry | undefined)[] = new Array(old.length * 2).fill(undefined);
    for (let index = this.#first; index <= this.#last; index++) {
      slots[index & (slots.length - 1)] = old[index & (old.length - 1)];
    }
    this.#slots = slots;
  }
}
