/** Writes on their way to a Worker, first in, first out: answered in the order they were sent. */
import { assert } from "../base/assert.ts";

/** Taken places are cut off the front when they are this many and half of the list. */
const TAKEN_COUNT_MIN = 1024;

/** Bounded by what the caller lets be in flight; each item is one message to the Worker. */
export class PendingQueue<Item> {
  #items: Item[] = [];
  #taken = 0;

  get length(): number {
    return this.#items.length - this.#taken;
  }

  push(item: Item): void {
    this.#items.push(item);
  }

  /** Removes and returns the oldest; there must be one: nothing is answered that was not sent. */
  take(): Item {
    assert(this.length > 0, "no more writes are answered than were sent");
    const item = this.#items[this.#taken] as Item;
    this.#taken++;
    if (this.#taken === this.#items.length) {
      this.#items.length = 0;
      this.#taken = 0;
    } else if (this.#taken >= TAKEN_COUNT_MIN && this.#taken * 2 >= this.#items.length) {
      this.#items.splice(0, this.#taken);
      this.#taken = 0;
    }
    return item;
  }

  /** Puts `item` in the place of each that waits. */
  fill(item: Item): void {
    this.#items.fill(item, this.#taken);
  }

  /** Those that wait, oldest first. */
  forEach(visit: (item: Item) => void): void {
    for (let i = this.#taken; i < this.#items.length; i++) visit(this.#items[i] as Item);
  }
}
