/**
 * The state of one group in memory, for tests and the simulator. The disk outlives the store: it
 * holds what is readable and, apart from it, what a power cut would leave; a new store after
 * disk.crash() is a restart. The test decides when a batch is stored and when it is synced
 * (`acknowledge: "on demand"`): store() moves batches, compactions, stagings and installs, sync()
 * makes durable and answers checkpoints and holds.
 */
import { assert } from "../base/assert.ts";
import type { Key } from "../base/bytes.ts";
import type { HeldState, StateStore } from "../node/ports.ts";
import type { Row, StateBatch, StoredState } from "../state/ports.ts";

/** A batch, or the revision of a compaction. */
type Change = StateBatch | number;

/** Rows, records and the applied index at one moment. */
export class MemoryImage {
  rows: Row[] = []; // in order of seq
  readonly records = new Map<string, { space: string; key: Key; value: Uint8Array }>();
  appliedIndex = 0;
  appliedTerm = 0;
  compacted = 0;

  clone(): MemoryImage {
    const copy = new MemoryImage();
    copy.rows = this.rows.slice();
    for (const [name, record] of this.records) copy.records.set(name, record);
    copy.appliedIndex = this.appliedIndex;
    copy.appliedTerm = this.appliedTerm;
    copy.compacted = this.compacted;
    return copy;
  }

  apply(change: Change): void {
    if (typeof change === "number") this.#compact(change);
    else this.#store(change);
  }

  /** The position of the first row with seq ≥ `seq`. */
  position(seq: number): number {
    return bisect(this.rows, (row) => row.seq >= seq);
  }

  #store(batch: StateBatch): void {
    assert(batch.appliedIndex >= this.appliedIndex, "the applied index never goes back");
    for (const row of batch.rows) {
      const last = this.rows.at(-1);
      assert(last === undefined || last.seq < row.seq, "rows come in order of seq");
      this.rows.push(row);
    }
    for (const { space, key, value } of batch.records) {
      const name = `${space}\0${key}`;
      if (value === undefined) this.records.delete(name);
      else this.records.set(name, { space, key, value });
    }
    this.appliedIndex = batch.appliedIndex;
    this.appliedTerm = batch.appliedTerm;
  }

  /** The rule of state-database.ts, in one go. */
  #compact(target: number): void {
    if (target <= this.compacted) return;
    const gone = new Set<number>();
    for (const { seq, revision, prev, tombstone } of this.rows) {
      if (revision > target) break;
      gone.add(prev);
      if (tombstone && revision < target) gone.add(seq);
    }
    this.rows = this.rows.filter(({ seq }) => !gone.has(seq));
    this.compacted = target;
  }
}

function bisect(rows: readonly Row[], reached: (row: Row) => boolean): number {
  let from = 0;
  let to = rows.length;
  while (from < to) {
    const middle = (from + to) >>> 1;
    if (reached(rows[middle] as Row)) to = middle;
    else from = middle + 1;
  }
  return from;
}

export class MemoryStateDisk {
  /** What can be read now. */
  current = new MemoryImage();
  /** What a power cut leaves. */
  #durable = new MemoryImage();
  #unsynced: Change[] = [];
  /** A received copy beside the state; durable. */
  #staged: MemoryImage | undefined = undefined;

  get durableIndex(): number {
    return this.#durable.appliedIndex;
  }

  /** Changes stored since the last sync, in order. */
  get unsyncedCount(): number {
    return this.#unsynced.length;
  }

  apply(change: Change): void {
    this.current.apply(change);
    this.#unsynced.push(change);
  }

  sync(): void {
    for (const change of this.#unsynced) this.#durable.apply(change);
    this.#unsynced = [];
  }

  /** A copy of what a power cut leaves. */
  durableImage(): MemoryImage {
    return this.#durable.clone();
  }

  /** The applied index of the copy that lies beside the state, if one does. */
  get stagedIndex(): number | undefined {
    return this.#staged?.appliedIndex;
  }

  /** Lays a copy of `image` beside the state, durably, in the place of an earlier one. */
  stage(image: MemoryImage): void {
    this.#staged = image.clone();
  }

  /** The copy beside the state takes its place; nothing of the old state is left. */
  install(): void {
    assert(this.#staged !== undefined, "a copy lies beside the state before it is installed");
    this.current = this.#staged;
    this.#durable = this.#staged.clone();
    this.#unsynced = [];
    this.#staged = undefined;
  }

  /** What a start does first: goes on with an install if the log begins after it, or drops it. */
  settle(logStart: number): void {
    if (this.#staged !== undefined && this.#staged.appliedIndex === logStart) this.install();
    this.#staged = undefined;
  }

  /** A power cut that leaves the first `kept` unsynced changes; stores on it are dead now. */
  crash(kept = 0): void {
    const left = this.#unsynced.slice(0, kept);
    this.#unsynced = [];
    this.current = this.#durable.clone();
    for (const change of left) this.apply(change);
  }
}

/** A state held still. Its image is the copy that is sent: stage() takes it at the receiver. */
export class MemoryHeldState implements HeldState {
  readonly image: MemoryImage;
  readonly #onRelease: () => void;

  constructor(image: MemoryImage, onRelease: () => void) {
    this.image = image;
    this.#onRelease = onRelease;
  }

  get index(): number {
    return this.image.appliedIndex;
  }

  get term(): number {
    return this.image.appliedTerm;
  }

  release(): void {
    this.#onRelease();
  }
}

export interface MemoryStateOptions {
  /** `soon`: stored in a microtask, synced when asked. `on demand`: by store() and sync(). */
  readonly acknowledge: "soon" | "on demand";
  /** The log begins after this index, if it has begun: decides about a copy not yet installed. */
  readonly logStart?: number | undefined;
}

interface Pending {
  readonly run: () => void;
  readonly onDone: () => void;
}

export class MemoryStateStore implements StateStore {
  #stored: StoredState;
  readonly #disk: MemoryStateDisk;
  readonly #options: MemoryStateOptions;
  #pending: Pending[] = [];
  #checkpoints: ((appliedIndex: number) => void)[] = [];
  #holding: ((held: HeldState) => void)[] = [];
  #holds = new Set<HeldState>();
  /** The index of the copy that is about to take the state's place. */
  #installing: number | undefined = undefined;
  #scheduled = false;
  #closed = false;

  constructor(disk: MemoryStateDisk, options: MemoryStateOptions = { acknowledge: "soon" }) {
    this.#disk = disk;
    this.#options = options;
    disk.settle(options.logStart ?? 0);
    this.#stored = contentOf(disk.current);
  }

  get stored(): StoredState {
    return this.#stored;
  }

  write(batch: StateBatch, onStored: () => void): void {
    const next = this.#installing ?? Number.POSITIVE_INFINITY;
    assert(batch.appliedIndex < next, "the new state is written to when it is installed");
    this.#enqueue({ run: () => this.#disk.apply(batch), onDone: onStored });
  }

  compact(revision: number, onDone: () => void): void {
    this.#enqueue({ run: () => this.#disk.apply(revision), onDone });
  }

  /** Nothing is ever free here; answered in order, as by a real one. */
  defragment(onDone: () => void): void {
    this.#enqueue({ run: () => {}, onDone });
  }

  read(seq: number): Row | undefined {
    const { current } = this.#disk;
    const row = current.rows[current.position(seq)];
    return row?.seq === seq ? row : undefined;
  }

  scan(from: number, to: number, limit: number): Row[] {
    const { current } = this.#disk;
    const end = Math.min(current.position(to), current.position(from) + limit);
    return current.rows.slice(current.position(from), end);
  }

  seek(revision: number): number | undefined {
    const { rows } = this.#disk.current;
    return rows[bisect(rows, (row) => row.revision >= revision)]?.seq;
  }

  durableIndex(): number {
    return this.#disk.durableIndex;
  }

  checkpoint(onDurable: (appliedIndex: number) => void): void {
    if (this.#installing !== undefined) return;
    this.#checkpoints.push(onDurable);
    this.#schedule();
  }

  hold(onHeld: (held: HeldState) => void): void {
    if (this.#installing !== undefined) return;
    this.#holding.push(onHeld);
    this.#schedule();
  }

  /** Lays a copy beside the state; `onStaged` when it is durable there. */
  stage(image: MemoryImage, onStaged: () => void): void {
    this.#enqueue({ run: () => this.#disk.stage(image), onDone: onStaged });
  }

  install(index: number, onInstalled: () => void): void {
    assert(this.#disk.stagedIndex === index, "what is installed lies beside the state");
    this.#pending = [];
    this.#checkpoints = [];
    this.#holding = [];
    this.#holds = new Set();
    this.#enqueue({ run: () => this.#install(), onDone: onInstalled });
    this.#installing = index;
  }

  sizeBytes(): number {
    let bytes = 0;
    for (const row of this.#disk.current.rows) bytes += row.kv.length;
    return bytes;
  }

  sizeInUseBytes(): number {
    return this.sizeBytes();
  }

  async close(): Promise<void> {
    this.store();
    this.sync();
    this.#closed = true;
  }

  /** What is not stored yet: batches, compactions, stagings, an install. */
  get pendingCount(): number {
    return this.#pending.length;
  }

  /** Holds that were not released. */
  get holdCount(): number {
    return this.#holds.size;
  }

  /** Does the oldest `count` of what is pending, in order, and answers each. */
  store(count = Number.POSITIVE_INFINITY): void {
    for (let left = Math.min(count, this.#pending.length); left > 0; left--) {
      const { run, onDone } = this.#pending.shift() as Pending;
      run();
      onDone();
    }
  }

  /** Syncs what is stored unless it is held still; answers who waits, if nothing is pending. */
  sync(): void {
    const still = this.#holds.size > 0;
    if (!still) this.#disk.sync();
    if (this.#pending.length > 0) return;
    const checkpoints = still ? [] : this.#checkpoints;
    if (!still) this.#checkpoints = [];
    for (const onHeld of this.#holding.splice(0)) onHeld(this.#hold());
    for (const onDurable of checkpoints) onDurable(this.#disk.durableIndex);
  }

  #hold(): HeldState {
    const held = new MemoryHeldState(this.#disk.durableImage(), () => {
      if (this.#holds.delete(held)) this.#schedule();
    });
    this.#holds.add(held);
    return held;
  }

  #install(): void {
    this.#disk.install();
    this.#stored = contentOf(this.#disk.current);
    this.#installing = undefined;
  }

  #enqueue(pending: Pending): void {
    assert(!this.#closed, "no write follows close()");
    if (this.#installing !== undefined) return;
    this.#pending.push(pending);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#options.acknowledge === "on demand" || this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      this.store();
      if (this.#checkpoints.length + this.#holding.length > 0) this.sync();
    });
  }
}

function contentOf(image: MemoryImage): StoredState {
  return {
    appliedIndex: image.appliedIndex,
    appliedTerm: image.appliedTerm,
    records: [...image.records.values()],
    rows: image.rows.slice(),
  };
}
