/**
 * Watchers who asked to start at a revision that is not published yet, by that revision. Most
 * wait for the very next one (a client resumes behind a list), so there are few distinct
 * revisions; they are kept sorted, the smallest last.
 */
import { assert } from "../base/assert.ts";
import type { Watcher } from "./watcher.ts";

export class FutureWatchers {
  readonly #byStart = new Map<number, Set<Watcher>>();
  /** The keys of #byStart, largest first: the next one due is popped from the end. */
  readonly #starts: number[] = [];

  /** The smallest start revision, Infinity if nobody waits. */
  get nextStart(): number {
    return this.#starts.at(-1) ?? Number.POSITIVE_INFINITY;
  }

  add(watcher: Watcher): void {
    let group = this.#byStart.get(watcher.next);
    if (group === undefined) {
      group = new Set();
      this.#byStart.set(watcher.next, group);
      this.#starts.splice(this.#position(watcher.next), 0, watcher.next);
    }
    group.add(watcher);
  }

  remove(watcher: Watcher): void {
    const group = this.#byStart.get(watcher.next);
    assert(group?.delete(watcher) === true, "a future watcher waits for its revision");
    if (group.size > 0) return;
    this.#byStart.delete(watcher.next);
    this.#starts.splice(this.#position(watcher.next), 1);
  }

  /** Removes and returns those who wait for nextStart. */
  takeNext(): Iterable<Watcher> {
    const start = this.#starts.pop();
    assert(start !== undefined, "somebody waits");
    const group = this.#byStart.get(start) as Set<Watcher>;
    this.#byStart.delete(start);
    return group;
  }

  verify(published: number): number {
    let count = 0;
    assert(this.#starts.length === this.#byStart.size, "every start revision is listed once");
    this.#starts.forEach((start, index) => {
      assert(index === 0 || start < (this.#starts[index - 1] as number), "starts fall");
      assert(start > published, "a future watcher starts above what is published");
      for (const watcher of this.#byStart.get(start) ?? []) {
        assert(watcher.state === "future" && watcher.next === start, "it waits for its start");
        count += 1;
      }
    });
    return count;
  }

  /** Where `start` is, or belongs, in the falling list. */
  #position(start: number): number {
    let low = 0;
    let high = this.#starts.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#starts[middle] as number) > start) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
