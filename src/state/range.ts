/**
 * Reading a range at one revision, in steps: a hundred thousand keys are read a few hundred at a
 * time while writes go on, and the answer is that of one moment. What becomes of the keys that
 * are met is range-selection.ts; `count` is the number of keys in the range at that revision,
 * whatever the limit and the bounds on revisions say.
 *
 *   collect ──▶ count (what lies behind the limit, in the past) ──▶ emit (sorted reads) ──▶ done
 *
 * A cursor that takes more than one step must be pinned, and closed at the end: then compaction
 * does not disturb it.
 */
import { assert } from "../base/assert.ts";
import type { Key } from "../base/bytes.ts";
import { AetherError } from "../base/errors.ts";
import { type RangeRequest, SortTarget } from "../proto/gen/etcdserverpb.ts";
import { withoutValue } from "../proto/hot/key-value.ts";
import { KeyBounds } from "./key-bounds.ts";
import type { KeyEntry, Leaf } from "./key-entry.ts";
import type { KeySpace } from "./key-space.ts";
import { isFiltered, RangeSelection } from "./range-selection.ts";
import type { RangeResult } from "./results.ts";
import { encodeKeyOnly } from "./stored-form.ts";

/** Finding an older version reads about ten rows: as much work as so many latest versions. */
const PAST_COST = 8;

type Stage = "collect" | "count" | "emit" | "done";

export class RangeCursor {
  /** The response header's revision: the current one when the cursor was opened. */
  readonly revision: number;
  /** Both are right when done. */
  count = 0;
  more = false;
  readonly #space: KeySpace;
  /** The revision that is read. */
  readonly #at: number;
  readonly #bounds: KeyBounds;
  readonly #selection: RangeSelection;
  readonly #countOnly: boolean;
  /** The count, if it was known from the start. */
  #known = -1;
  #stage: Stage = "collect";
  #pinned = false;
  /** Where to go on: a key, and its place while the tree's structure stays as it was. */
  #next: Key;
  #leaf: Leaf | null = null;
  #index = 0;
  #structure = -1;

  /** Fails with future_revision or compacted. */
  constructor(space: KeySpace, request: RangeRequest) {
    this.#space = space;
    this.revision = space.visibleRevision;
    this.#at = readableRevision(space, request.revision);
    this.#bounds = new KeyBounds(request.key, request.rangeEnd);
    this.#next = request.key;
    this.#selection = new RangeSelection(space, request);
    this.#countOnly = request.countOnly;
    if (this.#at === this.revision && (this.#countOnly || this.#selection.sliced)) {
      this.#known = this.#bounds.countLive(space.index.tree);
    }
    if (this.#bounds.empty) this.#stage = "done";
    else if (this.#countOnly) this.#stage = "count";
  }

  /** Bytes of key values that were collected, taken or not. */
  get heldBytes(): number {
    return this.#selection.heldBytes;
  }

  get done(): boolean {
    return this.#stage === "done";
  }

  /** Keeps the cursor's revision readable until close(). */
  pin(): void {
    assert(!this.#pinned, "a cursor is pinned once");
    this.#pinned = true;
    this.#space.pin(this.#at);
  }

  /** Ends the read, finished or not; may be called twice. */
  close(): void {
    this.#stage = "done";
    if (!this.#pinned) return;
    this.#pinned = false;
    this.#space.unpin(this.#at);
  }

  /** Looks at about `keysMax` keys, stops sooner with `bytesMax` collected. True when done. */
  step(keysMax: number, bytesMax: number): boolean {
    assert(keysMax > 0 && bytesMax > 0, "a step has a budget");
    let keys = keysMax;
    if (this.#stage === "collect") keys = this.#collect(keys, bytesMax);
    if (this.#stage === "count" && keys > 0) keys = this.#countRest(keys);
    if (this.#stage === "emit" && keys > 0 && this.#selection.emit(keys, bytesMax)) {
      this.#stage = "done";
    }
    return this.#stage === "done";
  }

  /** Hands over the encoded key values read since the last take(). */
  take(): Uint8Array[] {
    const kvs = this.#selection.kvs;
    this.#selection.kvs = [];
    return kvs;
  }

  /** The whole answer, for those who did not take() parts of it; only when done. */
  result(): RangeResult {
    assert(this.done, "a range has a result at its end");
    const { revision, more, count } = this;
    return { kind: "range", revision, kvs: this.#selection.kvs, more, count };
  }

  /** What was read so far, of a read that goes no further. */
  partial(): RangeResult {
    const { revision, count } = this;
    return { kind: "range", revision, kvs: this.take(), more: true, count };
  }

  /** Shows visible keys to the selection; returns what is left of the budget. */
  #collect(keysMax: number, bytesMax: number): number {
    const at = this.#at;
    const selection = this.#selection;
    let bytes = 0;
    let left = keysMax;
    this.#resume();
    for (let leaf = this.#leaf; leaf !== null; leaf = this.#leaf) {
      const entries = leaf.entries;
      const stop = this.#bounds.stopIn(entries);
      let index = this.#index;
      while (index < stop && left > 0 && bytes < bytesMax && !selection.full) {
        const entry = entries[index++] as KeyEntry;
        left--;
        if (entry.modRevision > at) {
          left -= PAST_COST;
          bytes += this.#collectPast(entry);
        } else if (!entry.tombstone) {
          this.count++;
          bytes += selection.add(entry, undefined);
        }
      }
      this.#index = index;
      if (selection.full) return this.#selectionFull(left);
      if (index < stop) return this.#suspend();
      this.#advance(leaf, stop);
    }
    this.#collected();
    return left;
  }

  #collectPast(entry: KeyEntry): number {
    const row = this.#space.floor(entry, this.#at);
    if (row === undefined || row.tombstone) return 0;
    this.count++;
    return this.#selection.add(entry, row);
  }

  /** The limit is reached; how many keys lie behind it may still have to be counted. */
  #selectionFull(left: number): number {
    if (this.#known >= 0) {
      this.#collected();
    } else {
      this.#stage = "count";
      this.#suspend();
    }
    return left;
  }

  /** Counts visible keys from here on, passing over leaves that have not changed since. */
  #countRest(keysMax: number): number {
    if (this.#known >= 0) {
      this.#collected();
      return keysMax;
    }
    let left = keysMax;
    this.#resume();
    for (let leaf = this.#leaf; leaf !== null; leaf = this.#leaf) {
      if (left <= 0) return this.#suspend();
      const entries = leaf.entries;
      const stop = this.#bounds.stopIn(entries);
      left--;
      if (this.#index === 0 && stop === entries.length && leaf.changed <= this.#at) {
        this.count += leaf.live;
      } else {
        for (let i = this.#index; i < stop; i++) left -= this.#countOne(entries[i] as KeyEntry);
      }
      this.#advance(leaf, stop);
    }
    this.#collected();
    return left;
  }

  #countOne(entry: KeyEntry): number {
    if (entry.modRevision <= this.#at) {
      if (!entry.tombstone) this.count++;
      return 0;
    }
    const row = this.#space.floor(entry, this.#at);
    if (row !== undefined && !row.tombstone) this.count++;
    return PAST_COST;
  }

  /** Every key was looked at that matters. */
  #collected(): void {
    if (this.#known >= 0) this.count = this.#known;
    if (this.#countOnly) {
      this.#stage = "done";
      return;
    }
    this.more = this.#selection.finish(this.count);
    this.#stage = "emit";
  }

  /** Goes on to the next leaf, unless the range ended in this one. */
  #advance(leaf: Leaf, stop: number): void {
    this.#leaf = stop < leaf.entries.length ? null : leaf.next;
    this.#index = 0;
  }

  #resume(): void {
    const tree = this.#space.index.tree;
    if (this.#structure === tree.structure) return;
    tree.seek(this.#next);
    this.#leaf = tree.leaf;
    this.#index = tree.index;
    this.#structure = tree.structure;
  }

  /** The budget is spent: notes the key at which the next step goes on, if there is one. */
  #suspend(): number {
    let leaf = this.#leaf;
    while (leaf !== null && this.#index >= leaf.entries.length) {
      leaf = leaf.next;
      this.#leaf = leaf;
      this.#index = 0;
    }
    if (leaf === null) this.#collected();
    else this.#next = (leaf.entries[this.#index] as KeyEntry).key;
    return 0;
  }
}

/** Reads a range whole; fails as RangeCursor does. */
export function readRange(space: KeySpace, request: RangeRequest): RangeResult {
  space.counts.ranges++;
  if (request.rangeEnd === "" && request.revision <= 0 && !isFiltered(request)) {
    return readLatest(space, request);
  }
  const cursor = new RangeCursor(space, request);
  while (!cursor.step(Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY));
  return cursor.result();
}

const NO_KVS: readonly Uint8Array[] = [];

/** One key as it is now: no order and no limit can make a difference. */
function readLatest(space: KeySpace, request: RangeRequest): RangeResult {
  const revision = space.visibleRevision;
  const entry = space.live(request.key);
  if (entry === undefined) return { kind: "range", revision, kvs: NO_KVS, more: false, count: 0 };
  if (request.countOnly) return { kind: "range", revision, kvs: NO_KVS, more: false, count: 1 };
  return { kind: "range", revision, kvs: [shown(space, request, entry)], more: false, count: 1 };
}

function shown(space: KeySpace, request: RangeRequest, entry: KeyEntry): Uint8Array {
  if (!request.keysOnly) return space.bytesOf(entry);
  if (request.sortTarget !== SortTarget.VALUE) return encodeKeyOnly(entry);
  return withoutValue(space.bytesOf(entry), false);
}

/** The revision that a request reads: `asked`, or the current one for 0 and below. */
export function readableRevision(space: KeySpace, asked: number): number {
  const current = space.visibleRevision;
  if (asked > current) {
    throw new AetherError("future_revision", `asked ${asked}, current is ${current}`);
  }
  const revision = asked <= 0 ? current : asked;
  if (revision < space.compactRevision) {
    const oldest = space.compactRevision;
    throw new AetherError("compacted", `asked ${revision}, oldest is ${oldest}`);
  }
  return revision;
}
