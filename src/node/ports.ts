/**
 * What a node needs of the world: a durable log, a state store, timers. Implementations live in
 * storage/ (SQLite in Workers, and memory for tests) and net/ (peers).
 */
import type { AetherError } from "../base/errors.ts";
import type { Message, MessageOf } from "../raft/message.ts";
import type { Entry, HardState, MemberId, SnapshotMeta } from "../raft/types.ts";
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
  /** What it held when it was opened, or what the last install() brought. */
  readonly stored: StoredState;
  /** Queues a batch; `onStored` runs when it is readable through History (not yet synced). */
  write(batch: StateBatch, onStored: () => void): void;
  /** Removes rows superseded at `revision` in slices, in the background; `onDone` at the end. */
  compact(revision: number, onDone: () => void): void;
  /** The applied index that survives a power cut: entries above it must stay in the log. */
  durableIndex(): number;
  /** Syncs what was stored so far; `onDurable` gets the applied index that is now durable. */
  checkpoint(onDurable: (appliedIndex: number) => void): void;
  /**
   * Makes what was stored so far durable and keeps it still, to be copied to another member, until
   * release(). Several may hold at once, and then all hold the same: the state of the first of
   * them. Meanwhile writes go on, checkpoints wait.
   */
  hold(onHeld: (held: HeldState) => void): void;
  /**
   * A received copy, which the adapter has laid beside the state and checked (its applied index is
   * `index`), takes the state's place: everything written before and not installed is forgotten.
   * `onInstalled` runs when `stored` and History are those of the copy, durably. After a crash in
   * between, the next start goes on with it if the log begins after `index`, else drops the copy.
   *
   * What was asked before and is not answered yet never will be: no write, compaction, checkpoint
   * or hold of the old state answers once install() was called. Holds that were given end. Until
   * onInstalled, History is the old state's, and what is asked is forgotten in the same way.
   */
  install(index: number, onInstalled: () => void): void;
  /** Gives what is free back to the file system, in slices; `onDone` when the file has shrunk. */
  defragment(onDone: () => void): void;
  /** Bytes of the file, as it will be when what was stored so far is in it. */
  sizeBytes(): number;
  /** Bytes of the file that hold data (the rest is free for reuse). */
  sizeInUseBytes(): number;
  close(): Promise<void>;
}

/** A state that stays as it is until release(): what is read from it is the state at `index`. */
export interface HeldState {
  readonly index: number;
  readonly term: number;
  release(): void;
}

/** What is left of a lease, by the leader's clock. */
export interface LeaseLife {
  readonly id: bigint;
  /** Milliseconds until it runs out, 0 if it has; undefined if the leader does not know it. */
  readonly leftMs: number | undefined;
  readonly ttlSeconds: number;
}

/**
 * The way to the other members. Nothing here blocks or throws; whatever is sent may be lost, late,
 * repeated or out of order, except that a batch arrives at most once.
 */
export interface Transport {
  /** Raft's messages; those of type snapshot go by sendSnapshot(). */
  send(messages: readonly Message[]): void;
  /**
   * Passes a batch on to `to`, which is to propose it if it leads in `term`, and otherwise says so
   * (Group.proposalRefused). False: it certainly did not leave.
   */
  propose(to: MemberId, term: number, payload: Uint8Array): boolean;
  /** Sends `held` to message.to; `onEnd` once: whether it was installed there. Releases nothing. */
  sendSnapshot(
    message: MessageOf<"snapshot">,
    held: HeldState,
    onEnd: (arrived: boolean) => void,
  ): void;
  /** Asks the leader to renew leases; the answer is in the order of `ids`. */
  renewLeases(to: MemberId, ids: readonly bigint[], onAnswer: LeaseAnswer): void;
  /** Asks the leader what is left of leases; the answer is in the order of `ids`. */
  leaseLives(to: MemberId, ids: readonly bigint[], onAnswer: LeaseAnswer): void;
}

/** Called once: not_leader if the one asked does not lead, unhealthy if it cannot be reached. */
export type LeaseAnswer = (answer: readonly LeaseLife[] | AetherError) => void;
