/**
 * The state of one group in memory, for tests and the simulator. The disk outlives the store: it
 * holds what is readable and, apart from it, what a power cut would leave; a new store after
 * disk.crash() is a restart. The test decides when a batch is stored and when it is synced
 * (`acknowledge: "on demand"`).
 */
import { assert } from "../base/assert.ts";
import type { Key } from "../base/bytes.ts";
import type { StateStore } from "../node/ports.ts";
import type { Row, StateBatch, StoredState } from "../state/ports.ts";

/** A batch, or the revision of a compaction. */
type Change = StateBatch | number;

/** Rows, records and the applied index at one moment. */
class Image {
  rows: Row[] = []; // in order of seq
  readonly records = new Map<string, { space: string; key: Key; value: Uint8Array }>();
  appliedIndex = 0;
  appliedTerm = 0;
  compacted = 0;

  clone(): Image {
    const copy = new Image();
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
  current = new Image();
  /** What a power cut leaves. */
  #durable = new Image();
  #unsynced: Change[] = [];

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

  /** A power cut that leaves the first `kept` unsynced changes; stores on it are dead now. */
  crash(kept = 0): void {
    const left = this.#unsynced.slice(0, kept);
    this.#unsynced = [];
    this.current = this.#durable.clone();
    for (const change of left) this.apply(change);
  }
}

export interface MemoryStateOptions {
  /** `soon`: stored in a microtask, synced when asked. `on demand`: by store() and sync(). */
  readonly acknowledge: "soon" | "on demand";
}

interface Pending {
  readonly change: Change;
  readonly onDone: () => void;
}

export class MemoryStateStore implements StateStore {
  readonly stored: StoredState;
  readonly #disk: MemoryStateDisk;
  readonly #options: MemoryStateOptions;
  #pending: Pending[] = [];
  #checkpoints: ((appliedIndex: number) => void)[] = [];
  #scheduled = false;
  #closed = false;

  constructor(disk: MemoryStateDisk, options: MemoryStateOptions = { acknowledge: "soon" }) {
    this.#disk = disk;
    this.#options = options;
    const { current } = disk;
    this.stored = {
      appliedIndex: current.appliedIndex,
      appliedTerm: current.appliedTerm,
      records: [...current.records.values()],
      rows: current.rows.slice(),
    };
  }

  write(batch: StateBatch, onStored: () => void): void {
    this.#enqueue({ change: batch, onDone: onStored });
  }

  compact(revision: number, onDone: () => void): void {
    this.#enqueue({ change: revision, onDone });
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
    this.#checkpoints.push(onDurable);
    this.#schedule();
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

  /** Batches and compactions that are not stored yet. */
  get pendingCount(): number {
    return this.#pending.length;
  }

  /** Stores the oldest `count` of them, in order, and answers each. */
  store(count = Number.POSITIVE_INFINITY): void {
    for (let left = Math.min(count, this.#pending.length); left > 0; left--) {
      const { change, onDone } = this.#pending.shift() as Pending;
      this.#disk.apply(change);
      onDone();
    }
  }

  /** Syncs what is stored and answers the checkpoints that wait, if nothing else does. */
  sync(): void {
    this.#disk.sync();
    if (this.#pending.length > 0) return;
    const waiting = this.#checkpoints;
    this.#checkpoints = [];
    for (const onDurable of waiting) onDurable(this.#disk.durableIndex);
  }

  #enqueue(pending: Pending): void {
    assert(!this.#closed, "no write follows close()");
    this.#pending.push(pending);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#options.acknowledge === "on demand" || this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      this.store();
      if (this.#checkpoints.length > 0) this.sync();
    });
  }
}
