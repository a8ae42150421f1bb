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
import type { HeldState, StateStore } from "../node/ports.ts";
import type { Row, StateBatch, StoredState } from "../state/ports.ts";
import { PendingQueue } from "./pending-queue.ts";
import { openReader } from "./sqlite.ts";
import type { CompactionPace, FoundState } from "./state-database.ts";
import type { EngineEvent, StateEngineOptions } from "./state-engine.ts";
import { encodeBatch, encodeCompaction, encodeInstall, encodeKind } from "./state-format.ts";
import { Holds } from "./state-holds.ts";
import { StateReader } from "./state-reader.ts";
import { damageIn } from "./storage-error.ts";
import { once, WorkerLink } from "./worker-link.ts";

export interface StateStoreOptions {
  /** The file, in a directory that exists and is locked (data-dir.ts). */
  readonly path: string;
  readonly group: number;
  /** The log begins after this index, if it has begun: decides about a copy not yet installed. */
  readonly logStart: number | undefined;
  /**
   * Called once: a write failed, the Worker died, or what was read is damaged. Nothing is answered
   * any more, the process must stop.
   */
  readonly onFatal: (error: Error) => void;
  /** False for benches and tests: checkpoints without fsync. */
  readonly sync?: boolean;
  /** Bytes of the WAL at which a held state is asked back; for tests. */
  readonly heldWalBytesMax?: number;
  /** How fast superseded rows are removed. */
  readonly compaction?: CompactionPace;
}

interface Waiting {
  /** A revision or an applied index. */
  readonly until: number;
  readonly onDone: (at: number) => void;
}

function nothing(): void {}

/**
 * Opens or creates the state, and finishes an install that was cut short. Rejects with AetherError
 * "corrupt" or StorageError: then this node must not start.
 */
export async function openStateStore(options: StateStoreOptions): Promise<StateStore> {
  const { path, group, logStart, heldWalBytesMax, compaction, sync = true } = options;
  const open: StateEngineOptions = {
    ...{ path, group, logStart: logStart ?? 0, sync: sync ? "normal" : "off" },
    ...(heldWalBytesMax === undefined ? {} : { heldWalBytesMax }),
    ...(compaction === undefined ? {} : { compaction }),
  };
  let store: WorkerStateStore | undefined;
  const onFatal = once(options.onFatal);
  const link = new WorkerLink({
    file: "state-worker.ts",
    path,
    open,
    onCommitted: (count) => store?.committed(count),
    onEvent: (event) => store?.tell(event as EngineEvent),
    onFatal,
  });
  const found = (await link.opened()) as FoundState;
  try {
    store = new WorkerStateStore({ path, link, onFatal }, found);
  } catch (error) {
    await link.close();
    throw error;
  }
  return store;
}

interface StoreParts {
  readonly path: string;
  readonly link: WorkerLink;
  readonly onFatal: (error: Error) => void;
}

class WorkerStateStore implements StateStore {
  readonly #parts: StoreParts;
  readonly #holds: Holds;
  readonly #pending = new PendingQueue<() => void>();
  #reader: StateReader;
  #stored: StoredState;
  #compacting: Waiting[] = [];
  #checkpointing: Waiting[] = [];
  /** In the order of their questions, which is that of the answers. */
  #defragmenting: (() => void)[] = [];
  #installing: { readonly index: number; readonly onInstalled: () => void } | undefined;
  #writtenIndex: number;
  #durableIndex: number;
  /** Nothing was sent since the file was opened: it is as it was found. */
  #untouched = true;
  #closed = false;

  constructor(parts: StoreParts, found: FoundState) {
    this.#parts = parts;
    this.#holds = new Holds(parts.path, (kind) => this.#post(encodeKind(kind), nothing));
    this.#reader = this.#openReader();
    this.#stored = this.#contentOf(found);
    this.#writtenIndex = found.applied.index;
    this.#durableIndex = found.durableIndex;
  }

  get stored(): StoredState {
    return this.#stored;
  }

  write(batch: StateBatch, onStored: () => void): void {
    if (this.#installing !== undefined) {
      const old = batch.appliedIndex < this.#installing.index;
      assert(old, "the new state is written to when it is installed");
      return;
    }
    assert(batch.appliedIndex >= this.#writtenIndex, "the applied index never goes back");
    this.#writtenIndex = batch.appliedIndex;
    this.#post(encodeBatch(batch), onStored);
  }

  read(seq: number): Row | undefined {
    return this.#guard(() => this.#reader.read(seq));
  }

  scan(from: number, to: number, limit: number): Row[] {
    return this.#guard(() => this.#reader.scan(from, to, limit));
  }

  seek(revision: number): number | undefined {
    return this.#guard(() => this.#reader.seek(revision));
  }

  compact(revision: number, onDone: () => void): void {
    if (this.#installing !== undefined) return;
    this.#compacting.push({ until: revision, onDone });
    this.#post(encodeCompaction(revision), nothing);
  }

  durableIndex(): number {
    return this.#durableIndex;
  }

  checkpoint(onDurable: (appliedIndex: number) => void): void {
    if (this.#installing !== undefined) return;
    this.#checkpointing.push({ until: this.#writtenIndex, onDone: onDurable });
    this.#post(encodeKind("checkpoint"), nothing);
  }

  defragment(onDone: () => void): void {
    if (this.#installing !== undefined) return;
    this.#defragmenting.push(onDone);
    this.#post(encodeKind("defragment"), nothing);
  }

  /** Gives a HeldFile (state-holds.ts). */
  hold(onHeld: (held: HeldState) => void): void {
    if (this.#installing === undefined) this.#holds.ask(onHeld);
  }

  install(index: number, onInstalled: () => void): void {
    assert(this.#installing === undefined, "one state is installed at a time");
    this.#pending.fill(nothing);
    this.#compacting = [];
    this.#checkpointing = [];
    this.#defragmenting = [];
    this.#holds.forget();
    this.#installing = { index, onInstalled };
    this.#post(encodeInstall(index), nothing);
  }

  sizeBytes(): number {
    return this.#guard(() => this.#reader.size()).bytes;
  }

  sizeInUseBytes(): number {
    const { bytes, freeBytes } = this.#guard(() => this.#reader.size());
    return bytes - freeBytes;
  }

  async close(): Promise<void> {
    const { link } = this.#parts;
    if (!this.#closed) {
      this.#holds.forget();
      this.#closed = true;
      this.#reader.close(); // before the Worker's: the last to close removes the WAL
    }
    await link.close();
  }

  /** The Worker has committed `count` more messages: answer them, in order. */
  committed(count: number): void {
    for (let i = 0; i < count; i++) this.#pending.take()();
  }

  tell(event: EngineEvent): void {
    if ("installed" in event) this.#installed(event.installed);
    else if (this.#installing !== undefined)
      return; // of the old state, which answers nothing now
    else if ("held" in event) this.#holds.held(event.held);
    else if ("heldTooLong" in event) this.#holds.breakAll();
    else if ("defragmented" in event) {
      for (const onDone of this.#defragmenting.splice(0, event.defragmented)) onDone();
    } else if ("durable" in event) {
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

  /**
   * The old file is gone from its name; this reader still had it open, and history was read from
   * it until now. Closing it touches no file of the new state: SQLite sees that its own was moved.
   */
  #installed(found: FoundState): void {
    const installing = this.#installing;
    assert(installing !== undefined, "a state was installed that was asked for");
    this.#installing = undefined;
    if (this.#closed) return;
    try {
      this.#reader.close();
      this.#reader = this.#openReader();
      this.#writtenIndex = found.applied.index;
      this.#durableIndex = found.durableIndex;
      this.#untouched = true;
      this.#stored = this.#contentOf(found);
      installing.onInstalled(); // walks what is stored
    } catch (error) {
      this.#parts.onFatal(error as Error);
    }
  }

  #post(message: Buffer, onDone: () => void): void {
    this.#untouched = false;
    this.#pending.push(onDone);
    this.#parts.link.post(message);
  }

  /** Runs what looks into the file; what it throws is fatal, for nothing read is sure any more. */
  #guard<T>(look: () => T): T {
    try {
      return look();
    } catch (error) {
      this.#parts.onFatal(error as Error);
      throw error;
    }
  }

  #openReader(): StateReader {
    const { path } = this.#parts;
    return new StateReader(openReader(path), damageIn(path));
  }

  /** What was found, read when it is walked. A walk throws and reports nothing: it is a start. */
  #contentOf({ applied }: FoundState): StoredState {
    const reader = this.#reader;
    const expect = (what: string, expected: number) => (found: number) => {
      if (!this.#untouched || found === expected) return;
      throw damageIn(this.#parts.path)(`it holds ${found} ${what} instead of ${expected}`);
    };
    const onRows = expect("rows", applied.rows);
    const onRecords = expect("records", applied.records);
    return {
      appliedIndex: applied.index,
      appliedTerm: applied.term,
      records: { [Symbol.iterator]: () => reader.records(onRecords) },
      rows: { [Symbol.iterator]: () => reader.rows(onRows) },
    };
  }
}

/** Answers those that waited for `reached` or less; an answer may ask for more. */
function answer(waiting: readonly Waiting[], reached: number): void {
  for (const { until, onDone } of waiting) if (until <= reached) onDone(reached);
}
