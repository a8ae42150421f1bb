/**
 * Two compactions in the background. The log: entries are dropped once the state store holds what
 * they did durably (invariant G3). The state: rows that no legal revision can see are removed by
 * the store, up to what running reads still pin.
 */
import { AetherError } from "../base/errors.ts";
import type { Clock, Log } from "../base/ports.ts";
import { MIB } from "../base/units.ts";
import type { Raft } from "../raft/raft.ts";
import type { MemberId } from "../raft/types.ts";
import type { CurrentMachine } from "./current-machine.ts";
import type { GroupMeter } from "./meter.ts";
import type { LogStore, StateStore } from "./ports.ts";

/** Entries kept behind the compaction point for followers that are a little slow (etcd's 5000). */
const KEPT_ENTRIES_MAX = 5000;

/** Log bytes that start a compaction even if few entries hold them, or somebody needs them. */
const LOG_BYTES_TRIGGER = 256 * MIB;

/** A follower that was silent for so long is away; Raft forgets whom it heard every ten or so. */
const AWAY_TICKS = 20;

export interface CompactorParts {
  readonly raft: Raft;
  readonly current: CurrentMachine;
  readonly log: LogStore;
  readonly store: StateStore;
  readonly logger: Log;
  readonly clock: Clock;
  readonly meter: Pick<GroupMeter, "compacted">;
  /** Log entries after which it is compacted, and how many of them are kept for slow followers. */
  readonly triggerEntries: number;
  readonly keptEntries?: number | undefined;
}

/** Told that rows are gone, or why they will not go while somebody waits. */
export type CompactedDone = (error?: AetherError) => void;

export class Compactor {
  readonly #parts: CompactorParts;
  readonly #triggerEntries: number;
  readonly #keptEntries: number;
  #checkpointing = false;
  /** The log's size after the last compaction: the file does not shrink, so growth counts. */
  #bytesAfterLast = 0;
  /** The revision up to which removal was asked of the store. */
  #askedRevision: number;
  /** Up to which it has ended. */
  #removedRevision = -1;
  #waiting: { readonly revision: number; readonly done: CompactedDone }[] = [];
  readonly #defragmenting = new Set<CompactedDone>();
  #stopped = false;
  #ticks = 0;
  /** When each follower was last heard of, as far as Raft says. */
  readonly #heardTicks = new Map<MemberId, number>();

  constructor(parts: CompactorParts) {
    const { triggerEntries, keptEntries } = parts;
    this.#parts = parts;
    this.#triggerEntries = triggerEntries;
    this.#keptEntries = keptEntries ?? Math.min(KEPT_ENTRIES_MAX, Math.floor(triggerEntries / 2));
    this.#bytesAfterLast = parts.log.sizeBytes();
    this.#askedRevision = -1; // the store goes on with what a crash interrupted
  }

  /** A compaction was applied. */
  requested(): void {
    this.#removeRows();
  }

  /** Calls `done` once rows superseded at `revision` are gone; at 0 and below there are none. */
  whenRemoved(revision: number, done: CompactedDone): void {
    if (this.#stopped) done(new AetherError("stopped"));
    else if (revision <= Math.max(this.#removedRevision, 0)) done();
    else this.#waiting.push({ revision, done });
  }

  /** Calls `done` once what is free was given back. */
  defragment(done: CompactedDone): void {
    if (this.#stopped) {
      done(new AetherError("stopped"));
      return;
    }
    this.#defragmenting.add(done);
    this.#parts.store.defragment(() => {
      if (this.#defragmenting.delete(done)) done();
    });
  }

  /** The stores are about to close: nothing more is asked of them, and nobody waits on. */
  stop(): void {
    this.#stopped = true;
    for (const done of this.#defragmenting) done(new AetherError("stopped"));
    this.#defragmenting.clear();
    for (const { done } of this.#waiting.splice(0)) done(new AetherError("stopped"));
  }

  /**
   * Another state took the place of the one that was compacted so far. What the member that sent
   * it had not removed, the next tick() does, and then answers who waits for it.
   */
  replaced(): void {
    this.#askedRevision = -1;
    this.#removedRevision = -1;
    this.#checkpointing = false;
    for (const done of this.#defragmenting) this.defragment(done); // the old state answers nobody
  }

  tick(): void {
    this.#ticks++;
    for (const { id, recentActive } of this.#parts.raft.peers) {
      if (recentActive) this.#heardTicks.set(id, this.#ticks);
    }
    this.#removeRows(); // a read that pinned an older revision may have ended
    this.#maybeCompactLog();
  }

  #removeRows(): void {
    const { current, store, clock, meter } = this.#parts;
    const target = current.machine.physicalTarget();
    if (this.#stopped || target <= this.#askedRevision || target <= 0) return;
    this.#askedRevision = target;
    const askedMs = clock.monotonicMs();
    store.compact(target, () => {
      meter.compacted(clock.monotonicMs() - askedMs);
      this.#removedRevision = target;
      const ended = this.#waiting.filter(({ revision }) => revision <= target);
      this.#waiting = this.#waiting.filter(({ revision }) => revision > target);
      for (const { done } of ended) done();
    });
  }

  /** Not before there is enough to drop: each time costs a checkpoint of the state. */
  #maybeCompactLog(): void {
    const { raft, log, store } = this.#parts;
    if (this.#stopped || this.#checkpointing) return;
    const long = log.sizeBytes() - this.#bytesAfterLast >= LOG_BYTES_TRIGGER;
    const droppable = this.#keptFrom(long) - (raft.firstIndex - 1);
    if (droppable < (long ? 1 : this.#triggerEntries)) return;
    this.#checkpointing = true;
    store.checkpoint((durableIndex) => {
      this.#checkpointing = false;
      if (this.#stopped) return; // the log is closed, or will be before it could answer
      this.#compactLog(Math.min(durableIndex, this.#keptFrom(long)));
    });
  }

  /** Entries after this index are worth keeping. */
  #keptFrom(long: boolean): number {
    const { raft } = this.#parts;
    if (long) return raft.applied;
    return Math.min(raft.applied - this.#keptEntries, this.#needed());
  }

  /**
   * The index up to which no follower that is there needs the log: a copy of the state takes its
   * time, and were the log cut behind it meanwhile, its receiver would need another one at once.
   */
  #needed(): number {
    const { raft } = this.#parts;
    let needed = Number.POSITIVE_INFINITY;
    for (const { id, state, match, pendingSnapshot } of raft.peers) {
      const has = state === "snapshot" ? pendingSnapshot : match;
      const ticksAway = this.#ticks - (this.#heardTicks.get(id) ?? Number.NEGATIVE_INFINITY);
      const isThere = state === "snapshot" || ticksAway <= AWAY_TICKS;
      if (isThere && has >= raft.firstIndex - 1) needed = Math.min(needed, has);
    }
    return needed;
  }

  #compactLog(index: number): void {
    const { raft, log, logger } = this.#parts;
    if (index < raft.firstIndex) return;
    const meta = raft.snapshotAt(index);
    raft.compactTo(meta);
    log.compact(meta);
    this.#bytesAfterLast = log.sizeBytes();
    logger.debug("log compacted", { index, first: raft.firstIndex, last: raft.lastIndex });
  }
}
