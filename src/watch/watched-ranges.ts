/**
 * Who watches a key. Single keys are found in a map, ranges in an interval tree, so a change costs
 * nothing for watchers of other keys. Watchers of one range who want the same of it form an
 * Audience: their events are chosen and encoded once, however many they are.
 *
 * Invariants, checked by verify(): R1 a watcher in the index stands at its slot of its audience
 * R2 no range and no audience is empty   R3 an audience's watchers ask for what it stands for
 */
import { assert } from "../base/assert.ts";
import type { Key } from "../base/bytes.ts";
import {
  collectIntervals,
  findInterval,
  insertInterval,
  removeInterval,
  verifyTree,
} from "./interval-tree.ts";
import type { Audience, WatchedRange, Watcher } from "./watcher.ts";

export class WatchedRanges {
  readonly #keys = new Map<Key, WatchedRange>();
  #tree: WatchedRange | undefined = undefined;
  #size = 0;

  /** Watchers in the index. */
  get size(): number {
    return this.#size;
  }

  /** Adds a watcher who gets rows of revision ≥ `from`. */
  add(watcher: Watcher, from: number): void {
    assert(watcher.audience === undefined, "a watcher is in one index at most");
    const range = this.#rangeOf(watcher);
    let audience: Audience | undefined;
    for (const one of range.audiences) {
      if (one.sees === watcher.sees && one.from === from) audience = one;
    }
    if (audience === undefined) {
      audience = { range, sees: watcher.sees, from, watchers: [], batch: undefined };
      range.audiences.push(audience);
    }
    watcher.audience = audience;
    watcher.slot = audience.watchers.length;
    audience.watchers.push(watcher);
    this.#size += 1;
  }

  /** Takes a watcher out; the last of an audience takes its place there. */
  remove(watcher: Watcher): void {
    const audience = watcher.audience;
    assert(audience?.watchers[watcher.slot] === watcher, "R1: an indexed watcher has its slot");
    const last = audience.watchers.pop() as Watcher;
    if (last !== watcher) {
      audience.watchers[watcher.slot] = last;
      last.slot = watcher.slot;
    }
    watcher.audience = undefined;
    watcher.slot = -1;
    this.#size -= 1;
    if (audience.watchers.length === 0) this.#dropAudience(audience);
  }

  /** Puts every watched range that contains `key` into `out`, which is emptied first. */
  match(key: Key, out: WatchedRange[]): void {
    out.length = 0;
    const exact = this.#keys.get(key);
    if (exact !== undefined) out.push(exact);
    if (this.#tree !== undefined) collectIntervals(this.#tree, key, out);
  }

  verify(): void {
    let watchers = 0;
    let ranges = 0;
    const visit = (range: WatchedRange): void => {
      assert(range.audiences.length > 0, "R2: a watched range has an audience");
      for (const audience of range.audiences) watchers += verifyAudience(range, audience);
    };
    for (const range of this.#keys.values()) visit(range);
    const walk = (range: WatchedRange | undefined): void => {
      if (range === undefined) return;
      walk(range.left);
      visit(range);
      ranges += 1;
      walk(range.right);
    };
    walk(this.#tree);
    assert(verifyTree(this.#tree) === ranges, "the tree holds the ranges that were walked");
    assert(watchers === this.#size, "the index counts its watchers");
  }

  #rangeOf(watcher: Watcher): WatchedRange {
    const { key, end } = watcher;
    const found = end === "" ? this.#keys.get(key) : findInterval(this.#tree, key, end);
    if (found !== undefined) return found;
    const range: WatchedRange = {
      key,
      end,
      left: undefined,
      right: undefined,
      height: 1,
      maxEnd: end,
      audiences: [],
    };
    if (end === "") this.#keys.set(key, range);
    else this.#tree = insertInterval(this.#tree, range);
    return range;
  }

  #dropAudience(audience: Audience): void {
    const { range } = audience;
    range.audiences.splice(range.audiences.indexOf(audience), 1);
    if (range.audiences.length > 0) return;
    if (range.end === "") this.#keys.delete(range.key);
    else this.#tree = removeInterval(this.#tree, range);
  }
}

function verifyAudience(range: WatchedRange, audience: Audience): number {
  const { watchers, sees } = audience;
  assert(watchers.length > 0, "R2: an audience has watchers");
  assert(audience.range === range, "an audience knows its range");
  watchers.forEach((watcher, slot) => {
    const at = watcher.audience === audience && watcher.slot === slot;
    assert(at, "R1: a watcher stands at its slot of its audience");
    const asks = watcher.key === range.key && watcher.end === range.end && watcher.sees === sees;
    assert(asks, "R3: an audience's watchers ask for what it stands for");
  });
  return watchers.length;
}
