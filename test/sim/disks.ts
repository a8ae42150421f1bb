/**
 * The stores of one process over the disks of its member. What is written becomes durable after a
 * while; a call may be the last thing the process does (SimProcess.reach). A dead process is
 * told nothing more, whatever of its writes the disk still takes.
 */
import { assert } from "../../src/base/assert.ts";
import type { HeldState, LogStore, LogWrite, StateStore } from "../../src/node/ports.ts";
import type { Entry, SnapshotMeta } from "../../src/raft/types.ts";
import type { Row, StateBatch, StoredState } from "../../src/state/ports.ts";
import { type MemoryLogDisk, MemoryLogStore } from "../../src/storage/memory-log.ts";
import {
  MemoryHeldState,
  type MemoryImage,
  type MemoryStateDisk,
  MemoryStateStore,
} from "../../src/storage/memory-state.ts";
import { judge } from "../state/judged.ts";
import type { SimProcess } from "./process.ts";

export class SimLog implements LogStore {
  readonly #inner: MemoryLogStore;
  readonly #process: SimProcess;
  /** What the process would read back if every write were durable. */
  readonly view: MemoryLogDisk;
  #syncing = false;
  /** The next fsync fails: the process ends, and whether its writes are there is open. */
  failsNext = false;

  constructor(disk: MemoryLogDisk, view: MemoryLogDisk, process: SimProcess) {
    this.#inner = new MemoryLogStore(disk, { acknowledge: "on demand" });
    this.#process = process;
    this.view = view;
  }

  get stored(): LogStore["stored"] {
    return this.#inner.stored;
  }

  write(write: LogWrite, onDurable: () => void): void {
    this.#process.reach("log write");
    this.#process.observer.onLogWrite(this.#process, write);
    this.view.write(write);
    this.#inner.write(write, () => {
      if (this.#process.alive) onDurable();
    });
    this.#begin();
    this.#process.reach("log written");
  }

  read(from: number, to: number, bytesMax: number): Entry[] {
    return this.#inner.read(from, to, bytesMax);
  }

  term(index: number): number | undefined {
    return this.#inner.term(index);
  }

  compact(snapshot: SnapshotMeta): void {
    this.#process.reach("log compact");
    this.view.compact(snapshot);
    this.#inner.compact(snapshot);
    this.#begin();
  }

  sizeBytes(): number {
    return this.#inner.sizeBytes();
  }

  close(): Promise<void> {
    throw new Error("simulated processes crash, they do not close");
  }

  /** What is written becomes durable at once: the process ends in order. */
  writeAll(): void {
    this.#inner.sync();
  }

  /** Writes that are not durable. */
  get pendingCount(): number {
    return this.#inner.pendingCount;
  }

  /** The process is dead; the disk still takes its first `count` writes. */
  settle(count: number): void {
    assert(!this.#process.alive, "only the writes of the dead are settled");
    this.#inner.syncUnanswered(count);
  }

  /** One fsync at a time, for what waits when it begins. */
  #begin(): void {
    if (this.#syncing || this.#inner.pendingCount === 0) return;
    this.#syncing = true;
    const count = this.#inner.pendingCount;
    this.#process.later("log sync", this.#process.fsyncMs(), () => {
      this.#syncing = false;
      if (this.failsNext) this.#process.end("fsync failed");
      this.#inner.sync(count);
      this.#begin();
    });
  }
}

export class SimStore implements StateStore {
  readonly #inner: MemoryStateStore;
  readonly #process: SimProcess;
  #working = false;
  /** Somebody waits until what is stored is durable. */
  #syncDue = false;

  constructor(disk: MemoryStateDisk, logStart: number | undefined, process: SimProcess) {
    this.#inner = new MemoryStateStore(disk, { acknowledge: "on demand", logStart });
    this.#process = process;
  }

  get stored(): StoredState {
    return this.#inner.stored;
  }

  write(batch: StateBatch, onStored: () => void): void {
    this.#process.reach("state write");
    this.#inner.write(batch, this.#whileAlive(onStored));
    this.#work();
  }

  compact(revision: number, onDone: () => void): void {
    this.#process.reach("state compact");
    this.#inner.compact(revision, this.#whileAlive(onDone));
    this.#work();
  }

  defragment(onDone: () => void): void {
    this.#inner.defragment(this.#whileAlive(onDone));
    this.#work();
  }

  read(seq: number): Row | undefined {
    return this.#inner.read(seq);
  }

  scan(from: number, to: number, limit: number): Row[] {
    return this.#inner.scan(from, to, limit);
  }

  seek(revision: number): number | undefined {
    return this.#inner.seek(revision);
  }

  durableIndex(): number {
    return this.#inner.durableIndex();
  }

  checkpoint(onDurable: (appliedIndex: number) => void): void {
    this.#process.reach("checkpoint");
    this.#inner.checkpoint((index) => {
      if (this.#process.alive) onDurable(index);
    });
    this.#syncSoon();
  }

  hold(onHeld: (held: HeldState) => void): void {
    this.#process.reach("hold");
    this.#inner.hold((held) => {
      assert(held instanceof MemoryHeldState, "memory holds memory");
      const releasing = new MemoryHeldState(held.image, () => {
        held.release();
        this.#syncSoon(); // checkpoints may have waited for this
      });
      if (this.#process.alive) onHeld(releasing);
    });
    this.#syncSoon();
  }

  /** Lays a received copy beside the state, as the real store does before Raft hears of it. */
  stage(image: MemoryImage, onStaged: () => void): void {
    this.#process.reach("stage");
    judge({ records: image.records.values(), rows: image.rows });
    this.#inner.stage(image, this.#whileAlive(onStaged));
    this.#work();
  }

  install(index: number, onInstalled: () => void): void {
    this.#process.reach("install");
    this.#inner.install(index, () => {
      if (!this.#process.alive) return;
      onInstalled();
      this.#process.reach("installed");
    });
    this.#work();
  }

  sizeBytes(): number {
    return this.#inner.sizeBytes();
  }

  sizeInUseBytes(): number {
    return this.#inner.sizeInUseBytes();
  }

  close(): Promise<void> {
    throw new Error("simulated processes crash, they do not close");
  }

  /** What is written becomes durable at once: the process ends in order. */
  writeAll(): void {
    this.#inner.store();
    this.#inner.sync();
  }

  #whileAlive(done: () => void): () => void {
    return () => {
      if (this.#process.alive) done();
    };
  }

  #syncSoon(): void {
    this.#syncDue = true;
    this.#work();
  }

  /** One thing at a time: what is pending is stored, then who waits for a sync gets it. */
  #work(): void {
    if (this.#working || (this.#inner.pendingCount === 0 && !this.#syncDue)) return;
    this.#working = true;
    this.#process.later("state work", this.#process.storeMs(), () => {
      this.#working = false;
      if (this.#inner.pendingCount > 0) this.#inner.store();
      else {
        this.#syncDue = false;
        this.#inner.sync();
      }
      this.#work();
    });
  }
}
