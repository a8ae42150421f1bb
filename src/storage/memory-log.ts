/**
 * A Raft log in memory, for tests and the simulator. The disk outlives the store: a new store on
 * the same disk is a restart, and what had not been synced is gone. The test decides when a write
 * becomes durable (`acknowledge: "on demand"`), in order and one by one if it wants.
 */
import { assert } from "../base/assert.ts";
import type { LogStore, LogWrite, StoredLog } from "../node/ports.ts";
import type { Entry, HardState, SnapshotMeta } from "../raft/types.ts";

/** What a power cut leaves. Plain data: a test may look, and damage it. */
export class MemoryLogDisk {
  hardState: HardState | undefined = undefined;
  snapshot: SnapshotMeta | undefined = undefined;
  /** Those after the snapshot, contiguous. */
  entries: Entry[] = [];

  get firstIndex(): number {
    return (this.snapshot?.index ?? 0) + 1;
  }

  get lastIndex(): number {
    return this.firstIndex + this.entries.length - 1;
  }

  write({ hardState, snapshot, entries }: LogWrite): void {
    if (snapshot !== undefined) {
      this.snapshot = snapshot;
      this.entries = [];
    }
    if (hardState !== undefined) this.hardState = hardState;
    const first = entries[0];
    if (first === undefined) return;
    assert(first.index >= this.firstIndex, "an entry under the snapshot is never replaced");
    assert(first.index <= this.lastIndex + 1, "an entry follows the last one");
    this.entries.length = first.index - this.firstIndex;
    for (let i = 0; i < entries.length; i++) this.entries.push(entries[i] as Entry);
  }

  compact(snapshot: SnapshotMeta): void {
    if (snapshot.index < this.firstIndex) return;
    this.entries = this.entries.slice(snapshot.index - this.firstIndex + 1);
    this.snapshot = snapshot;
  }
}

export interface MemoryLogOptions {
  /** `soon`: in a microtask, as if every fsync were quick. `on demand`: when sync() is called. */
  readonly acknowledge: "soon" | "on demand";
}

interface Pending {
  readonly write: LogWrite | undefined; // undefined for a compaction
  readonly snapshot: SnapshotMeta | undefined;
  readonly onDurable: () => void;
}

function nothing(): void {}

export class MemoryLogStore implements LogStore {
  readonly stored: StoredLog;
  readonly #disk: MemoryLogDisk;
  readonly #options: MemoryLogOptions;
  #pending: Pending[] = [];
  #firstIndex: number;
  #lastIndex: number;
  #scheduled = false;
  #closed = false;

  constructor(disk: MemoryLogDisk, options: MemoryLogOptions = { acknowledge: "soon" }) {
    this.#disk = disk;
    this.#options = options;
    this.#firstIndex = disk.firstIndex;
    this.#lastIndex = disk.lastIndex;
    const { hardState, snapshot } = disk;
    this.stored = {
      hardState,
      snapshot,
      firstIndex: this.#firstIndex,
      lastIndex: this.#lastIndex,
    };
  }

  write(write: LogWrite, onDurable: () => void): void {
    const { snapshot, entries } = write;
    if (snapshot !== undefined) {
      this.#firstIndex = snapshot.index + 1;
      this.#lastIndex = snapshot.index;
    }
    const first = entries[0];
    if (first !== undefined) {
      assert(first.index >= this.#firstIndex, "an entry under the snapshot is never replaced");
      assert(first.index <= this.#lastIndex + 1, "an entry follows the last one");
      this.#lastIndex = first.index + entries.length - 1;
    }
    this.#enqueue({ write, snapshot: undefined, onDurable });
  }

  read(from: number, to: number, bytesMax: number): Entry[] {
    assert(from >= this.#firstIndex, "a compacted entry is not asked for");
    const out: Entry[] = [];
    const end = Math.min(to, this.#durableLast() + 1);
    let bytes = 0;
    for (let index = from; index < end; index++) {
      const entry = this.#disk.entries[index - this.#disk.firstIndex] as Entry;
      bytes += entry.payload.length;
      if (bytes > bytesMax && out.length > 0) break;
      out.push(entry);
    }
    return out;
  }

  term(index: number): number | undefined {
    if (index < this.#firstIndex || index > this.#durableLast()) return undefined;
    return this.#disk.entries[index - this.#disk.firstIndex]?.term;
  }

  compact(snapshot: SnapshotMeta): void {
    assert(snapshot.index <= this.#lastIndex, "compaction keeps within the log");
    if (snapshot.index < this.#firstIndex) return;
    this.#firstIndex = snapshot.index + 1;
    this.#enqueue({ write: undefined, snapshot, onDurable: nothing });
  }

  sizeBytes(): number {
    let bytes = 0;
    for (const entry of this.#disk.entries) bytes += entry.payload.length;
    return bytes;
  }

  async close(): Promise<void> {
    this.sync();
    this.#closed = true;
  }

  /** Writes and compactions that are not durable yet. */
  get pendingCount(): number {
    return this.#pending.length;
  }

  /** Makes the oldest `count` waiting writes durable, in order, and answers each. */
  sync(count = Number.POSITIVE_INFINITY): void {
    for (let left = Math.min(count, this.#pending.length); left > 0; left--) {
      this.#store().onDurable();
    }
  }

  /** Makes the oldest `count` waiting writes durable but answers none: a crash before the ack. */
  syncUnanswered(count: number): void {
    for (let left = Math.min(count, this.#pending.length); left > 0; left--) this.#store();
  }

  #store(): Pending {
    const pending = this.#pending.shift() as Pending;
    if (pending.write !== undefined) this.#disk.write(pending.write);
    if (pending.snapshot !== undefined) this.#disk.compact(pending.snapshot);
    return pending;
  }

  #enqueue(pending: Pending): void {
    assert(!this.#closed, "no write follows close()");
    this.#pending.push(pending);
    if (this.#options.acknowledge === "on demand" || this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      this.sync();
    });
  }

  /** Entries on the disk that no write on its way replaces. */
  #durableLast(): number {
    let last = this.#disk.lastIndex;
    for (const { write } of this.#pending) {
      if (write === undefined) continue;
      if (write.snapshot !== undefined) last = Math.min(last, write.snapshot.index);
      const first = write.entries[0];
      if (first !== undefined) last = Math.min(last, first.index - 1);
    }
    return last;
  }
}
