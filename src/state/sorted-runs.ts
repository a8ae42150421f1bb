/**
 * Sorting while collecting: items are sorted in short runs as they come, and the runs are merged
 * as the items are taken. So no moment sorts them all, which for a million keys would keep the
 * event loop for the better part of a second; and of each run no more is kept than can be taken.
 *
 *   push ─▶ [1024 items] ─ sort, cut ─▶ runs ─▶ heap of their heads ─▶ take
 *
 * Items that compare equal are taken in the order in which they were pushed.
 */
import { assert } from "../base/assert.ts";
import { Heap } from "../base/heap.ts";

/** Sorted in one go: a few tenths of a millisecond. A million items are as many runs again. */
export const RUN_ITEMS = 1024;

/** A sorted run, and how much of it is taken. */
interface Run<T> {
  readonly items: readonly T[];
  readonly place: number;
  taken: number;
}

export class SortedRuns<T extends { readonly heldBytes: number }> {
  /** What the items hold that were not cut off, taken or not. */
  heldBytes = 0;
  readonly #compare: (a: T, b: T) => number;
  readonly #takeMax: number;
  readonly #heap: Heap<Run<T>>;
  #last: T[] = [];
  #runCount = 0;
  #sealed = false;

  /** No more than `takeMax` items will be taken. */
  constructor(compare: (a: T, b: T) => number, takeMax = Number.POSITIVE_INFINITY) {
    this.#compare = compare;
    this.#takeMax = takeMax;
    this.#heap = new Heap((a, b) => {
      const order = compare(headOf(a), headOf(b));
      return order === 0 ? a.place < b.place : order < 0;
    });
  }

  push(item: T): void {
    assert(!this.#sealed, "what is taken from is sorted");
    this.#last.push(item);
    this.heldBytes += item.heldBytes;
    if (this.#last.length === RUN_ITEMS) this.#endRun();
  }

  /** The next item in order; undefined: there is none. Nothing is pushed after the first one. */
  take(): T | undefined {
    if (!this.#sealed) {
      this.#endRun();
      this.#sealed = true;
    }
    const run = this.#heap.pop();
    if (run === undefined) return undefined;
    const item = headOf(run);
    run.taken++;
    if (run.taken < run.items.length) this.#heap.push(run);
    return item;
  }

  #endRun(): void {
    const items = this.#last;
    this.#last = [];
    if (items.length === 0) return;
    items.sort(this.#compare);
    for (let at = items.length - 1; at >= this.#takeMax; at--) {
      this.heldBytes -= (items.pop() as T).heldBytes;
    }
    this.#heap.push({ items, place: this.#runCount++, taken: 0 });
  }
}

function headOf<T>({ items, taken }: Run<T>): T {
  return items[taken] as T;
}
