/**
 * Watchers that wait for step(), in buckets of neighbouring revisions: a bucket covers
 * WINDOW_REVISIONS of them, aligned, so watchers near each other are served by one scan and meet
 * in the same bucket after it, wherever they started. Buckets take turns, and so do the watchers
 * in one: nobody waits for a far-behind watcher to arrive.
 */
import { assert } from "../base/assert.ts";
import type { Watcher } from "./watcher.ts";

/** etcd's bound on the distinct revisions of one catch-up response. */
export const WINDOW_REVISIONS = 1000;

export class LaggingWatchers {
  /** By window number, in the order of their turns; no bucket is empty. */
  readonly #buckets = new Map<number, Set<Watcher>>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  add(watcher: Watcher): void {
    const window = Math.floor(watcher.next / WINDOW_REVISIONS);
    const bucket = this.#buckets.get(window);
    if (bucket === undefined) this.#buckets.set(window, new Set([watcher]));
    else bucket.add(watcher);
    this.#size += 1;
  }

  remove(watcher: Watcher): void {
    const window = Math.floor(watcher.next / WINDOW_REVISIONS);
    const bucket = this.#buckets.get(window);
    assert(bucket?.delete(watcher) === true, "a lagging watcher is in the bucket of its revision");
    if (bucket.size === 0) this.#buckets.delete(window);
    this.#size -= 1;
  }

  /** Removes up to `limit` watchers of the bucket whose turn it is, longest waiting first. */
  take(limit: number): Watcher[] {
    const taken: Watcher[] = [];
    for (const [window, bucket] of this.#buckets) {
      for (const watcher of bucket) {
        if (taken.length === limit) break;
        bucket.delete(watcher);
        taken.push(watcher);
      }
      this.#buckets.delete(window);
      if (bucket.size > 0) this.#buckets.set(window, bucket); // to the end of the turns
      break;
    }
    this.#size -= taken.length;
    return taken;
  }

  verify(published: number): number {
    let count = 0;
    for (const [window, bucket] of this.#buckets) {
      assert(bucket.size > 0, "no bucket is empty");
      for (const watcher of bucket) {
        count += 1;
        assert(watcher.state === "lagging", "who is in a bucket is lagging");
        assert(watcher.next <= published, "a lagging watcher lacks something published");
        const at = Math.floor(watcher.next / WINDOW_REVISIONS);
        assert(at === window, "a lagging watcher is in the bucket of its revision");
      }
    }
    assert(count === this.#size, "the buckets count their watchers");
    return count;
  }
}

/** The last revision of the window that `revision` lies in. */
export function windowEnd(revision: number): number {
  return (Math.floor(revision / WINDOW_REVISIONS) + 1) * WINDOW_REVISIONS - 1;
}
