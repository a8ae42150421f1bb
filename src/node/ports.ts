/**
 * What a node needs of the world: a durable log, a state store, timers. Implementations live in
 * storage/ (SQLite in Workers, and memory for tests) and net/ (peers).
 */
import type { Entry, HardState, SnapshotMeta } from "../raft/types.ts";
import type { History, StateBatch, StoredState } from "../state/ports.ts";

/** What Raft wants on disk, written as one transaction: all of it or nothing. */
export interface LogWrite {
  readonly hardState: HardState | undefined;
  /** Appended in order; entries at or after the first one's index are replaced. */
  readonly entries: readonly Entry[];
  /** Set when a snapshot was installed: the log restarts after it. */
  readonly snapshot: SnapshotMeta | undefined;
}

/** What the log held when it was opened; entries are those after `snapshot.index`. */
export interface StoredLog {
  readonly hardState: HardState | undefined;
  readonly snapshot: SnapshotMeta | undefined;
  readonly firstIndex: number;
  readonly lastIndex: number;
}

/**
 * The Raft log of one group on disk. Writes are answered in order, each when it is durable
 * (fsynced); many may be in flight and share one fsync. A failed write never answers: the store
 * reports it through the `onFatal` it was opened with, and the process must stop (fsyncgate).
 */
export interface LogStore {
  readonly stored: StoredLog;
  write(write: LogWrite, onDurable: () => void): void;
  /** Entries from ≤ index < to that are already durable, at most about bytesMax, at least one. */
  read(from: number, to: number, bytesMax: number): Entry[];
  /** The term of a durable entry, or undefined if it is not in the log. */
  term(index: number): number | undefined;
  /** Drops entries up to and including snapshot.index, which becomes the log's start. */
  compact(snapshot: SnapshotMeta): void;
  /** Bytes of the file on disk. */
  sizeBytes(): number;
  /** Ends after everything written before is durable. */
  close(): Promise<void>;
}

/** The state of one group on disk: rows, records and the applied index in one transaction. */
export interface StateStore extends History {
  readonly stored: StoredState;
  /** Queues a batch; `onStored` runs when it is readable through History (not yet synced). */
  write(batch: StateBatch, onStored: () => void): void;
  /** Removes rows superseded at `revision` in slices, in the background; `onDone` at the end. */
  compact(revision: number, onDone: () => void): void;
  /** The applied index that survives a power cut: entries above it must stay in the log. */
  durableIndex(): number;
  /** Syncs what was stored so far; `onDurable` gets the applied index that is now durable. */
  checkpoint(onDurable: (appliedIndex: number) => void): void;
  sizeBytes(): number;
  /** Bytes of the file that hold data (the rest is free for reuse). */
  sizeInUseBytes(): number;
  close(): Promise<void>;
}
