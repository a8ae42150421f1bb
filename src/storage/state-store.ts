/**
 * The durable state of one group (StateStore of node/ports.ts): batches travel to the state
 * Worker, history is read here. A batch is answered when it can be read, not when it is synced;
 * durableIndex() says how far the log may be cut.
 *
 * Why a complete checkpoint makes durable, with synchronous=NORMAL. A commit only writes frames
 * into the WAL. A checkpoint first syncs the WAL, then copies it into the file, and when it copied
 * all, syncs the file before it lets the WAL be started over (SQLite wal.c, walCheckpoint; the
 * PASSIVE mode of sqlite3_wal_checkpoint_v2). So when it reports every frame copied, each
 * transaction committed before it is in the synced file; when it is cut short by a reader, nothing
 * is claimed. Since frames are replayed in order and a broken one ends the replay, a power cut at
 * any moment leaves a prefix of the transactions that is no shorter than that.
 */
import { assert } from "../base/assert.ts";
import { AetherError } from "../base/errors.ts";
import type { HeldState, StateStore } from "../node/ports.ts";
import type { Row, StateBatch, StoredState } from "../state/ports.ts";
import { PendingQueue } from "./pending-queue.ts";
import type { FoundState, StateDatabaseOptions, StateEvent } from "./state-database.ts";
import { encodeBatch, encodeCheckpoint, encodeCompaction } from "./state-format.ts";
import { StateReader } from "./state-reader.ts";
import { WorkerLink } from "./worker-link.ts";

export interface StateStoreOptions {
  /** The file, in a directory that exists and is locked (data-dir.ts). */
  readonly path: string;
  readonly group: number;
  /** A write failed or the Worker died: nothing is answered any more, the process must stop. */
  readonly onFatal: (error: Error) => void;
  /** False for benches and tests: checkpoints without fsync. */
  readonly sync?: boolean;
}

interface Waiting {
  /** A revision or an applied index. */
  readonly until: number;
  readonly onDone: (at: number) => void;
}

function nothing(): void {}

/** Opens or creates the state. Rejects with StorageError: then this node must not start. */
export async function openStateStore(options: StateStoreOptions): Promise<StateStore> {
  const { path, group, sync = true } = options;
  const open: StateDatabaseOptions = { path, group, sync: sync ? "normal" : "off" };
  let store: WorkerStateStore | undefined;
  const link = new WorkerLink({
    file: "state-worker.ts",
    path,
    open,
    onCommitted: (count) => store?.committed(count),
    onEvent: (event) => store?.tell(event as StateEvent),
    onFatal: options.onFatal,
  });
  const found = (await link.opened()) as FoundState;
  try {
    store = new WorkerStateStore(path, link, found);
  } catch (error) {
    await link.close();
    throw error;
  }
  return store;
}

class WorkerStateStore implements StateStore {
  readonly stored: StoredState;
  readonly #link: WorkerLink;
  readonly #reader: StateReader;
  readonly #pending = new PendingQueue<() => void>();
  #compacting: Waiting[] = [];
  #checkpointing: Waiting[] = [];
  #writtenIndex: number;
  #durableIndex: number;
  #closed = false;

  constructor(path: string, link: WorkerLink, found: FoundState) {
    this.#link = link;
    const reader = new StateReader(path);
    this.#reader = reader;
    this.#writtenIndex = found.appliedIndex;
    this.#durableIndex = found.durableIndex;
    this.stored = {
      appliedIndex: found.appliedIndex,
      appliedTerm: found.appliedTerm,
      records: { [Symbol.iterator]: () => reader.records() },
      rows: { [Symbol.iterator]: () => reader.rows() },
    };
  }

  write(batch: StateBatch, onStored: () => void): void {
    assert(batch.appliedIndex >= this.#writtenIndex, "the applied index never goes back");
    this.#writtenIndex = batch.appliedIndex;
    this.#pending.push(onStored);
    this.#link.post(encodeBatch(batch));
  }

  read(seq: number): Row | undefined {
    return this.#reader.read(seq);
  }

  scan(from: number, to: number, limit: number): Row[] {
    return this.#reader.scan(from, to, limit);
  }

  seek(revision: number): number | undefined {
    return this.#reader.seek(revision);
  }

  compact(revision: number, onDone: () => void): void {
    this.#compacting.push({ until: revision, onDone });
    this.#pending.push(nothing);
    this.#link.post(encodeCompaction(revision));
  }

  durableIndex(): number {
    return this.#durableIndex;
  }

  checkpoint(onDurable: (appliedIndex: number) => void): void {
    this.#checkpointing.push({ until: this.#writtenIndex, onDone: onDurable });
    this.#pending.push(nothing);
    this.#link.post(encodeCheckpoint());
  }

  hold(_onHeld: (held: HeldState) => void): void {
    throw new AetherError("unimplemented", "state.db cannot be held yet");
  }

  install(_index: number, _onInstalled: () => void): void {
    throw new AetherError("unimplemented", "state.db cannot be replaced yet");
  }

  sizeBytes(): number {
    return this.#reader.size().bytes;
  }

  sizeInUseBytes(): number {
    const { bytes, freeBytes } = this.#reader.size();
    return bytes - freeBytes;
  }

  async close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true;
      this.#reader.close(); // before the Worker's: the last to close removes the WAL
    }
    await this.#link.close();
  }

  /** The Worker has committed `count` more messages: answer them, in order. */
  committed(count: number): void {
    for (let i = 0; i < count; i++) this.#pending.take()();
  }

  tell(event: StateEvent): void {
    if ("durable" in event) {
      const { durable } = event;
      this.#durableIndex = durable;
      const waiting = this.#checkpointing;
      this.#checkpointing = waiting.filter(({ until }) => until > durable);
      answer(waiting, durable);
    } else {
      const waiting = this.#compacting;
      this.#compacting = waiting.filter(({ until }) => until > event.compacted);
      answer(waiting, event.compacted);
    }
  }
}

/** Answers those that waited for `reached` or less; an answer may ask for more. */
function answer(waiting: readonly Waiting[], reached: number): void {
  for (const { until, onDone } of waiting) if (until <= reached) onDone(reached);
}
