/**
 * What Raft asks of its driver. The order of the fields of Ready is the order of the duties, and
 * their names say what must be durable first.
 *
 *   turn:   ready() ──> persist ─────────> log worker (one transaction) ──> written(ack)
 *                  ├──> sendNow ─────────> peers, in parallel with the write (thesis §10.2.1)
 *                  ├──> sendAfterSync ───> peers, when this and all earlier writes are durable
 *                  ├──> committed ───────> state machine, in order ──────> appliedTo(index)
 *                  └──> reads ───────────> answer when applied ≥ grant.index
 *
 * Taking a Ready commits the driver to perform it; the next one does not repeat its work and may
 * be taken before it is done. Writes are performed and acknowledged in order.
 */
import type { AetherError } from "../base/errors.ts";
import type { Message } from "./message.ts";
import type { Entry, HardState, Leadership, SnapshotMeta } from "./types.ts";

/**
 * Names one write. `sequence` decides: it grows with each write, so an acknowledgement cannot be
 * taken for that of another write of the same (term, index) which was overwritten in between.
 * `term` and `index` are those of the last entry of the log after the write; they are checked.
 */
export interface WriteAck {
  readonly sequence: number;
  readonly term: number;
  readonly index: number;
}

/** One transaction of the log store: all of it or nothing. */
export interface Persist {
  /** Undefined: unchanged. */
  readonly hardState: HardState | undefined;
  /** Appended in order; stored entries at or after the first one's index are replaced. */
  readonly entries: readonly Entry[];
  /**
   * The log restarts after it. Before written(ack) the driver must have installed the received
   * state too: from then on Raft hands out the entries after it.
   */
  readonly snapshot: SnapshotMeta | undefined;
  /**
   * True: fsync, then written(ack). False: only the commit index moved (or nothing did), past no
   * change of the membership; the driver may keep the hard state for the next write, no ack is due.
   */
  readonly mustSync: boolean;
  /** To hand to written() once this write is durable. */
  readonly ack: WriteAck;
}

/** A read asked for with `id` may be served from any state that has applied `index`. */
export interface ReadGrant {
  readonly id: number;
  readonly index: number;
}

/** A read asked for with `id` cannot be confirmed: leadership was lost or is unknown. */
export interface ReadRefusal {
  readonly id: number;
  readonly error: AetherError;
}

export interface Ready {
  /** 1: hard state, entries, snapshot. */
  readonly persist: Persist;
  /** 2: may race the disk. */
  readonly sendNow: readonly Message[];
  /**
   * 3: promises about our disk (§3.8): may leave when every persist up to and including this one
   * is durable; at once if none of them is still being written.
   */
  readonly sendAfterSync: readonly Message[];
  /** 4: apply in this order, then appliedTo(). All of them are durable here. */
  readonly committed: readonly Entry[];
  /** 5: answer when applied ≥ grant.index. */
  readonly reads: readonly ReadGrant[];
  /** 6: fail these reads. */
  readonly refusedReads: readonly ReadRefusal[];
  /** 7: role, term or leader, when one of them changed. */
  readonly leadership: Leadership | undefined;
}
