/**
 * The newest entries of a log, kept as they were written: what is applied and sent to healthy
 * followers is read from here, and the disk only serves those who lag. Holds a contiguous run that
 * ends at the last entry written, bounded by bytes; the oldest leave first.
 */
import { assert } from "../base/assert.ts";
import type { Entry } from "../raft/types.ts";

/** What an entry costs beside its payload: the object and its view of the bytes. */
const ENTRY_OVERHEAD_BYTES = 200;

/** Dead places at the front are cut off when they are this many and half of the list. */
const DEAD_COUNT_MIN = 1024;

export class RecentEntries {
  readonly #bytesMax: number;
  #entries: Entry[] = [];
  #dead = 0;
  #bytes = 0;

  /** `bytesMax` 0 keeps nothing. */
  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** The oldest index held, or Infinity if none is. */
  get first(): number {
    return this.#entries[this.#dead]?.index ?? Number.POSITIVE_INFINITY;
  }

  /** Takes the next entry; it must follow the newest one unless nothing is held. */
  push(entry: Entry): void {
    const newest = this.#entries.at(-1);
    assert(newest === undefined || entry.index === newest.index + 1, "recent entries have no gap");
    this.#entries.push(entry);
    this.#bytes += entry.payload.length + ENTRY_OVERHEAD_BYTES;
    while (this.#bytes > this.#bytesMax) this.#dropOldest();
  }

  /** Forgets entries from `index` on. */
  truncate(index: number): void {
    for (;;) {
      const newest = this.#entries.at(-1);
      if (newest === undefined || newest.index < index || this.#length() === 0) break;
      this.#entries.pop();
      this.#bytes -= newest.payload.length + ENTRY_OVERHEAD_BYTES;
    }
    if (this.#length() === 0) this.clear();
  }

  /** Forgets entries up to and including `index`. */
  dropTo(index: number): void {
    while (this.first <= index) this.#dropOldest();
  }

  clear(): void {
    this.#entries = [];
    this.#dead = 0;
    this.#bytes = 0;
  }

  /** The entry at `index`, which must not be newer than the newest; undefined if not held. */
  at(index: number): Entry | undefined {
    const first = this.first;
    return index < first ? undefined : this.#entries[this.#dead + (index - first)];
  }

  #length(): number {
    return this.#entries.length - this.#dead;
  }

  #dropOldest(): void {
    const oldest = this.#entries[this.#dead] as Entry;
    this.#bytes -= oldest.payload.length + ENTRY_OVERHEAD_BYTES;
    this.#dead++;
    if (this.#length() === 0) this.clear();
    else if (this.#dead >= DEAD_COUNT_MIN && this.#dead * 2 >= this.#entries.length) {
      this.#entries = this.#entries.slice(this.#dead);
      this.#dead = 0;
    }
  }
}
