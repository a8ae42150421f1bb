/**
 * The durable Raft log of one group (LogStore of node/ports.ts): writes travel to the log Worker,
 * old entries are read here. The main thread never waits for the disk to write.
 *
 *   write() ─ one message ─→ Worker: list ─ setImmediate ─→ one transaction, one fsync
 *                              ↑ whatever arrives meanwhile        │
 *   onDurable, in order ←─ one number: how many writes ←───────────┘
 *
 * Invariants: L1  durableLast never passes an index that a write in flight replaces, so a read
 * never returns a row that is about to change. L2  answers come in the order of the writes.
 */
import { statSync } from "node:fs";
import { assert } from "../base/assert.ts";
import { MIB } from "../base/units.ts";
import type { LogStore, LogWrite, StoredLog } from "../node/ports.ts";
import type { Entry, SnapshotMeta } from "../raft/types.ts";
import type { FoundLog, LogDatabaseOptions } from "./log-database.ts";
import { checksumSeed, decodeConfiguration, encodeCompact, encodeWrite } from "./log-format.ts";
import { LogReader } from "./log-reader.ts";
import { PendingQueue } from "./pending-queue.ts";
import { RecentEntries } from "./recent-entries.ts";
import { causeText, damageIn, isDamage } from "./storage-error.ts";
import { once, WorkerLink } from "./worker-link.ts";

export interface LogStoreOptions {
  /** The file, in a directory that exists and is locked (data-dir.ts). */
  readonly path: string;
  readonly group: number;
  /**
   * Called once: a write failed, the Worker died, or what was read is damaged. Nothing is answered
   * any more, the process must stop.
   */
  readonly onFatal: (error: Error) => void;
  /** False for benches and tests: commits without fsync. */
  readonly sync?: boolean;
  /** Bytes of the newest entries kept in memory; 0 reads everything from disk. */
  readonly recentBytesMax?: number;
}

/** Enough for a few thousand usual batches, so that only a lagging follower costs a disk read. */
const RECENT_BYTES_MAX = 16 * MIB;

interface Pending {
  readonly onDurable: () => void;
  /** The last index once this write is durable. */
  last: number;
}

function nothing(): void {}

/**
 * Opens or creates the log. Rejects with AetherError "corrupt" (gap, checksum, commit after the
 * end) or StorageError (too new, not ours, unreadable): then this node must not start.
 */
export async function openLogStore(options: LogStoreOptions): Promise<LogStore> {
  const { path, group, sync = true } = options;
  const open: LogDatabaseOptions = { path, group, sync: sync ? "full" : "off" };
  const onFatal = once(options.onFatal);
  let store: WorkerLogStore | undefined;
  const link = new WorkerLink({
    file: "log-worker.ts",
    path,
    open,
    onCommitted: (count) => store?.committed(count),
    onEvent: nothing,
    onFatal,
  });
  const found = (await link.opened()) as FoundLog;
  try {
    store = new WorkerLogStore({ ...options, onFatal }, link, found);
  } catch (error) {
    await link.close();
    throw error;
  }
  return store;
}

class WorkerLogStore implements LogStore {
  readonly stored: StoredLog;
  readonly #path: string;
  readonly #onFatal: (error: Error) => void;
  readonly #seed: number;
  readonly #link: WorkerLink;
  readonly #reader: LogReader;
  readonly #recent: RecentEntries;
  #snapshot: SnapshotMeta | undefined;
  readonly #pending = new PendingQueue<Pending>();
  #lastIndex: number;
  #durableLast: number;
  #closed = false;

  constructor(options: LogStoreOptions, link: WorkerLink, found: FoundLog) {
    this.#path = options.path;
    this.#onFatal = options.onFatal;
    this.#seed = checksumSeed(options.group);
    this.#link = link;
    this.#reader = new LogReader(options.path, options.group);
    this.#recent = new RecentEntries(options.recentBytesMax ?? RECENT_BYTES_MAX);
    const { snapshot } = found;
    this.#snapshot = snapshot && {
      index: snapshot.index,
      term: snapshot.term,
      configuration: decodeConfiguration(snapshot.configuration),
    };
    this.#lastIndex = found.lastIndex;
    this.#durableLast = found.lastIndex;
    this.stored = {
      hardState: found.hardState,
      snapshot: this.#snapshot,
      firstIndex: this.#firstIndex(),
      lastIndex: found.lastIndex,
    };
  }

  write(write: LogWrite, onDurable: () => void): void {
    const { entries, snapshot } = write;
    if (snapshot !== undefined) this.#restart(snapshot);
    const first = entries[0];
    if (first !== undefined) this.#append(first.index, entries);
    this.#pending.push({ onDurable, last: this.#lastIndex });
    this.#link.post(encodeWrite(write, this.#seed));
  }

  read(from: number, to: number, bytesMax: number): Entry[] {
    assert(from >= this.#firstIndex(), "a compacted entry is not asked for");
    const out: Entry[] = [];
    const end = Math.min(to, this.#durableLast + 1);
    let bytesLeft = bytesMax;
    let index = from;
    const stored = Math.min(end, this.#recent.first);
    if (index < stored) {
      const room = bytesLeft;
      bytesLeft = this.#guard(() => this.#reader.read(from, stored, room, out));
      index += out.length;
    }
    while (index < end && (bytesLeft > 0 || out.length === 0)) {
      const entry = this.#recent.at(index);
      assert(entry !== undefined, "a durable entry is in memory or on disk");
      bytesLeft -= entry.payload.length;
      if (bytesLeft < 0 && out.length > 0) break;
      out.push(entry);
      index++;
    }
    return out;
  }

  term(index: number): number | undefined {
    if (index < this.#firstIndex() || index > this.#durableLast) return undefined;
    return this.#recent.at(index)?.term ?? this.#guard(() => this.#reader.term(index));
  }

  compact(snapshot: SnapshotMeta): void {
    assert(snapshot.index <= this.#lastIndex, "compaction keeps within the log");
    if (snapshot.index < this.#firstIndex()) return;
    this.#snapshot = snapshot;
    this.#recent.dropTo(snapshot.index);
    this.#pending.push({ onDurable: nothing, last: this.#lastIndex });
    this.#link.post(encodeCompact(snapshot));
  }

  sizeBytes(): number {
    const wal = statSync(`${this.#path}-wal`, { throwIfNoEntry: false });
    return statSync(this.#path).size + (wal?.size ?? 0);
  }

  async close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true;
      this.#reader.close(); // before the Worker's: the last to close removes the WAL
    }
    await this.#link.close();
  }

  /** The Worker has committed `count` more writes: answer them, in order. */
  committed(count: number): void {
    for (let i = 0; i < count; i++) {
      const { last, onDurable } = this.#pending.take();
      this.#durableLast = last;
      onDurable();
    }
  }

  /** Runs what looks into the file; what it throws is fatal, for nothing read is sure any more. */
  #guard<T>(look: () => T): T {
    try {
      return look();
    } catch (error) {
      const known = isDamage(error) ? damageIn(this.#path)(causeText(error), error) : error;
      this.#onFatal(known as Error);
      throw known;
    }
  }

  #firstIndex(): number {
    return (this.#snapshot?.index ?? 0) + 1;
  }

  #append(first: number, entries: readonly Entry[]): void {
    assert(first >= this.#firstIndex(), "an entry under the snapshot is never replaced");
    assert(first <= this.#lastIndex + 1, "an entry follows the last one");
    if (first <= this.#lastIndex) this.#truncate(first);
    for (let i = 0; i < entries.length; i++) {
      const entry = entries[i] as Entry;
      assert(entry.index === first + i, "entries of one write are contiguous");
      this.#recent.push(entry);
    }
    this.#lastIndex = first + entries.length - 1;
  }

  /** Entries from `first` on are about to be replaced: nobody may read them any more. */
  #truncate(first: number): void {
    this.#recent.truncate(first);
    const last = first - 1;
    this.#lastIndex = last;
    if (this.#durableLast > last) this.#durableLast = last;
    this.#pending.forEach((pending) => {
      if (pending.last > last) pending.last = last;
    });
  }

  /** An installed snapshot: the old log is gone, and the new one starts after it. */
  #restart(snapshot: SnapshotMeta): void {
    this.#truncate(Math.min(this.#lastIndex, snapshot.index) + 1);
    this.#recent.clear();
    this.#snapshot = snapshot;
    this.#lastIndex = snapshot.index;
  }
}
