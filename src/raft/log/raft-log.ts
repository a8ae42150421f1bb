/**
 * The log as Raft sees it: the durable part behind LogReader, the newest entries in memory, and
 * the cursors between them.
 *
 *   start       applied      handed      stable      submitted     last
 *     |------------|-----------|-----------|-------------|-----------|
 *     compacted    the state   given out   durable       being       not yet in
 *     or snapshot  machine     to apply    here          written     a Ready
 *                              committed may lie anywhere from handed to last
 *
 * Invariants, checked by verify():
 *   L1  start ≤ applied ≤ handed ≤ stable ≤ submitted ≤ last
 *   L2  handed ≤ committed ≤ last          L3  the tail holds every entry after stable
 *   L4  while a snapshot is being installed, nothing after it is handed out
 * An entry is handed out only when it is durable here: the state on disk never runs ahead of the
 * log on disk, whatever crashes.
 */
import { assert } from "../../base/assert.ts";
import { AetherError } from "../../base/errors.ts";
import type { WriteAck } from "../ready.ts";
import { type Entry, entryBytes, type LogReader, type SnapshotMeta } from "../types.ts";
import { MemoryTail } from "./memory-tail.ts";
import { Writes } from "./writes.ts";

/** term() of an index that is not in the log. */
export const NO_TERM = -1;

const NO_ENTRIES: readonly Entry[] = [];

export class RaftLog {
  readonly #reader: LogReader;
  readonly #tail: MemoryTail;
  readonly #tailBytesMax: number;
  readonly #writes = new Writes();
  #startIndex: number;
  #startTerm: number;
  #lastTerm: number;
  #lastConfig: number;
  #committed: number;
  #handed: number;
  #applied: number;
  #stable: number;
  #submitted: number;
  #installing: SnapshotMeta | undefined;
  #installSequence = 0; // the write that carries it; 0: not in a Ready yet

  /**
   * Takes up a restored log. Throws AetherError("corrupt") when its parts contradict each other:
   * such a member must be removed and added again under a new id.
   */
  constructor(
    reader: LogReader,
    from: { start: { index: number; term: number }; committed: number; applied: number },
    tailBytesMax: number,
  ) {
    const last = reader.lastIndex;
    this.#reader = reader;
    this.#tailBytesMax = tailBytesMax;
    this.#startIndex = from.start.index;
    this.#startTerm = from.start.term;
    if (reader.firstIndex > from.start.index + 1) corrupt("entries after the snapshot are missing");
    if (last < from.start.index && last >= reader.firstIndex) corrupt("the log ends too early");
    this.#stable = Math.max(last, from.start.index);
    this.#submitted = this.#stable;
    this.#tail = new MemoryTail(this.#stable + 1);
    this.#applied = Math.max(from.applied, from.start.index);
    this.#handed = this.#applied;
    this.#committed = Math.max(from.committed, this.#applied);
    if (this.#committed > this.#stable) corrupt("committed entries are missing at the end");
    this.#lastConfig = this.#stable; // there may be one anywhere
    this.#lastTerm = this.term(this.#stable);
    if (this.#lastTerm === NO_TERM) corrupt("the last entry is missing");
  }

  /** The entry before the first: compacted, or covered by a snapshot. */
  get startIndex(): number {
    return this.#startIndex;
  }
  get firstIndex(): number {
    return this.#startIndex + 1;
  }
  get lastIndex(): number {
    return this.#tail.last;
  }
  get lastTerm(): number {
    return this.#lastTerm;
  }
  get committed(): number {
    return this.#committed;
  }
  get applied(): number {
    return this.#applied;
  }
  get handed(): number {
    return this.#handed;
  }
  /** Entries up to here are durable in our own log. */
  get stable(): number {
    return this.#stable;
  }
  /** No change of the configuration lies after this index; there need not be one at it. */
  get lastConfig(): number {
    return this.#lastConfig;
  }
  /** The snapshot that is being installed, from its acceptance until its write is durable. */
  get installing(): SnapshotMeta | undefined {
    return this.#installing;
  }
  /** The number of the write that the next Ready will carry. */
  get nextWrite(): number {
    return this.#writes.next;
  }

  /** The term of an entry from start to last; NO_TERM for any other. */
  term(index: number): number {
    if (index === this.#startIndex) return this.#startTerm;
    if (index < this.#startIndex || index > this.#tail.last) return NO_TERM;
    if (index >= this.#tail.first) return this.#tail.at(index).term;
    const term = this.#reader.term(index);
    if (term === undefined) corrupt(`entry ${index} is missing`);
    return term;
  }

  /** Whether a log that ends in (index, term) is at least as complete as ours (paper §5.4.1). */
  isUpToDate(index: number, term: number): boolean {
    return term > this.#lastTerm || (term === this.#lastTerm && index >= this.lastIndex);
  }

  /** Entries from ≤ index < to, at least one if there is one, about bytesMax; may stop early. */
  entries(from: number, to: number, bytesMax: number): readonly Entry[] {
    assert(from > this.#startIndex && to <= this.lastIndex + 1, "entries outside the log");
    if (from >= to) return NO_ENTRIES;
    if (from >= this.#tail.first) return this.#tail.slice(from, to, bytesMax);
    const read = this.#reader.entries(from, Math.min(to, this.#tail.first), bytesMax);
    if (read.length === 0 || read[0]?.index !== from) corrupt(`entry ${from} is missing`);
    return read;
  }

  /** Adds an entry of the leader's own at the end. */
  append(entry: Entry): void {
    assert(entry.term >= this.#lastTerm, "terms of the log never fall");
    this.#tail.append(entry);
    this.#lastTerm = entry.term;
    if (entry.kind === "config") this.#lastConfig = entry.index;
  }

  /**
   * Takes a leader's entries after (prevIndex, prevTerm), cutting our log only where it really
   * differs: a late, shorter append must not undo a later one (paper §5.3). False, and nothing
   * changed, if our log does not have that entry. Needs committed ≤ prevIndex, so that nothing
   * committed can be cut off.
   */
  tryAppend(prevIndex: number, prevTerm: number, entries: readonly Entry[]): boolean {
    assert(prevIndex >= this.#committed, "an append before the commit index");
    if (this.term(prevIndex) !== prevTerm) return false;
    let i = 0;
    while (i < entries.length) {
      const entry = entries[i] as Entry;
      if (this.term(entry.index) !== entry.term) break;
      i++;
    }
    const conflict = prevIndex + 1 + i;
    if (i === entries.length) return true;
    if (conflict <= this.lastIndex) this.#truncate(conflict);
    for (; i < entries.length; i++) this.append(entries[i] as Entry);
    return true;
  }

  /**
   * The last index ≤ `index` whose term is ≤ `term`: where a log with that term there may agree
   * with ours, skipping whole terms (paper §5.3); found by halving, since terms never fall. One
   * before the start of the log, with term 0, when everything we have is newer.
   */
  lastIndexWithin(index: number, term: number): { index: number; term: number } {
    let low = this.#startIndex - 1;
    let high = Math.min(index, this.lastIndex);
    while (low < high) {
      const middle = low + Math.ceil((high - low) / 2);
      if (this.term(middle) <= term) low = middle;
      else high = middle - 1;
    }
    return { index: Math.max(low, 0), term: Math.max(this.term(low), 0) };
  }

  /** Moves the commit index forward, never back. */
  commitTo(index: number): boolean {
    if (index <= this.#committed) return false;
    assert(index <= this.lastIndex, "committed entries exist");
    this.#committed = index;
    return true;
  }

  /** The last index that may be handed to the state machine now. */
  get applicable(): number {
    if (this.#installing !== undefined) return this.#handed;
    return Math.min(this.#committed, this.#stable);
  }

  /** Hands out committed entries, about bytesMax; empty when there is none. */
  handOut(bytesMax: number): readonly Entry[] {
    const to = this.applicable;
    if (to <= this.#handed) return NO_ENTRIES;
    const entries = this.entries(this.#handed + 1, to + 1, bytesMax);
    this.#handed += entries.length;
    return entries;
  }

  /** The state machine has applied up to `index`; older news is ignored. */
  appliedTo(index: number): void {
    if (index <= this.#applied) return;
    assert(index <= this.#handed, "applied what was never handed out");
    this.#applied = index;
  }

  /** Whether the next Ready has something to write. */
  get hasUnsubmitted(): boolean {
    return (
      this.#submitted < this.lastIndex ||
      (this.#installing !== undefined && this.#installSequence === 0)
    );
  }

  /** The entries no Ready has carried yet; they count as being written from now on. */
  submit(): readonly Entry[] {
    if (this.#submitted === this.lastIndex) return NO_ENTRIES;
    const entries = this.#tail.slice(this.#submitted + 1, this.lastIndex + 1, Infinity);
    this.#submitted = this.lastIndex;
    return entries;
  }

  /** The snapshot no Ready has carried yet. */
  submitSnapshot(): SnapshotMeta | undefined {
    if (this.#installing === undefined || this.#installSequence !== 0) return undefined;
    this.#installSequence = this.#writes.next;
    return this.#installing;
  }

  /** Names the write of a Ready. */
  beginWrite(mustSync: boolean): WriteAck {
    if (!mustSync) return this.#writes.idle(this.#lastTerm, this.#submitted);
    return this.#writes.begin(this.#lastTerm, this.#submitted);
  }

  /** A write became durable. */
  endWrite(ack: WriteAck): void {
    const proves = this.#writes.end(ack);
    if (proves > this.#stable) this.#stable = proves;
    if (this.#installSequence !== 0 && ack.sequence >= this.#installSequence) this.#installed();
    this.#evict();
  }

  /** Forgets the entries up to `index`, which the state has applied. */
  compactTo(index: number): void {
    if (index <= this.#startIndex) return;
    assert(index <= this.#applied, "only what is applied may be compacted");
    this.#startTerm = this.term(index);
    this.#startIndex = index;
    while (this.#tail.first <= index && this.#tail.first <= this.#tail.last) this.#tail.dropFront();
  }

  /** Replaces the whole log by a snapshot that is ahead of everything committed. */
  install(meta: SnapshotMeta): void {
    assert(meta.index > this.#committed, "a snapshot must not undo what is committed");
    this.#writes.truncate(0);
    this.#tail.reset(meta.index + 1);
    this.#startIndex = meta.index;
    this.#startTerm = meta.term;
    this.#lastTerm = meta.term;
    this.#committed = meta.index;
    this.#handed = meta.index;
    this.#applied = meta.index;
    this.#stable = meta.index;
    this.#submitted = meta.index;
    this.#installing = meta;
    this.#installSequence = 0;
  }

  verify(): void {
    this.#tail.verify();
    assert(this.#startIndex <= this.#applied, "L1: start ≤ applied");
    assert(this.#applied <= this.#handed, "L1: applied ≤ handed");
    assert(this.#handed <= this.#stable, "L1: handed ≤ stable");
    assert(this.#stable <= this.#submitted, "L1: stable ≤ submitted");
    assert(this.#submitted <= this.lastIndex, "L1: submitted ≤ last");
    assert(this.#handed <= this.#committed, "L2: handed ≤ committed");
    assert(this.#committed <= this.lastIndex, "L2: committed ≤ last");
    assert(this.#tail.first <= this.#stable + 1, "L3: what is not durable is in memory");
    assert(this.#lastTerm === this.term(this.lastIndex), "the cached last term");
    if (this.#installing !== undefined) {
      assert(this.#handed === this.#installing.index, "L4: nothing is handed out past a snapshot");
    }
  }

  #installed(): void {
    this.#installing = undefined;
    this.#installSequence = 0;
  }

  #truncate(from: number): void {
    assert(from > this.#committed, "committed entries are never cut off");
    this.#tail.truncate(from);
    this.#writes.truncate(from);
    if (this.#stable >= from) this.#stable = from - 1;
    if (this.#submitted >= from) this.#submitted = from - 1;
    this.#lastTerm = this.term(from - 1);
  }

  /** Lets go of the oldest durable entries while the tail is over its bound. */
  #evict(): void {
    const tail = this.#tail;
    while (tail.bytes > this.#tailBytesMax && tail.first <= this.#stable) tail.dropFront();
  }
}

/** Bytes that these entries count against the limits. */
export function bytesOfEntries(entries: readonly Entry[]): number {
  let bytes = 0;
  for (let i = 0; i < entries.length; i++) bytes += entryBytes(entries[i] as Entry);
  return bytes;
}

function corrupt(what: string): never {
  throw new AetherError("corrupt", `the Raft log: ${what}; remove this member and add it anew`);
}
