/**
 * What the watch hub needs of the replicated machine (WatchSource) and of the connection that a
 * stream of watches belongs to (WatchSink), and what it says to the latter (WatchResponse).
 */
import type { Key } from "../base/bytes.ts";
import type { Row } from "../state/ports.ts";
import type { EventBatch } from "./event-batch.ts";

/** A change of one key, with the key spelled out. */
export interface WatchRow extends Row {
  readonly key: Key;
}

/**
 * The history of the machine, applied and published: synchronous, includes what is not flushed
 * to disk yet. Every revision above the compaction point has all of its rows, in order of seq.
 */
export interface WatchSource {
  /** The store's current revision; an empty store has 1. */
  readonly revision: number;
  /** The revision last compacted at; -1 before the first compaction. */
  readonly compactRevision: number;
  /** The smallest seq whose row has revision ≥ `revision`; any seq past the end if none has. */
  seek(revision: number): number;
  /** Rows with seq ≥ `seq`, in order, at most `limit`; empty only at the end of the history. */
  scan(seq: number, limit: number): readonly WatchRow[];
  /**
   * The encoded mvccpb.KeyValue which the row's key had at row.revision - 1; undefined if it had
   * none (the row creates the key) or if that row is physically gone. Whether compaction forbids
   * to show it is the hub's decision.
   */
  prevKv(row: WatchRow): Uint8Array | undefined;
}

/**
 * Where the responses of one stream go. The sink keeps their order: that alone makes a progress
 * mark true. It may call close() of its stream from within send(), and nothing else of the hub.
 */
export interface WatchSink {
  /** False while more is queued than should be: events wait in the history, not in memory. */
  readonly writable: boolean;
  /** Takes a response, also when not writable (answers to requests); never throws. */
  send(response: WatchResponse): void;
}

/** etcdserverpb.WatchCreateRequest, with the filters as two flags. */
export interface WatchCreate {
  /** Empty means the smallest key, "\0". */
  readonly key: Key;
  /** Empty: the one key; "\0": every key from `key` on; otherwise [key, rangeEnd). */
  readonly rangeEnd: Key;
  /** 0: events after the current revision; otherwise the first revision of interest. */
  readonly startRevision: number;
  readonly progressNotify: boolean;
  readonly noPut: boolean;
  readonly noDelete: boolean;
  readonly prevKv: boolean;
  /** 0: the hub picks one. */
  readonly watchId: number;
  readonly fragment: boolean;
}

/**
 * One etcdserverpb.WatchResponse. `revision` is the header's revision; 0 leaves it out.
 *   created   the answer to a create request; `reason` set means that it was refused: then the
 *             message is created and canceled at once, with watch id -1
 *   canceled  the watcher is gone: asked for (compactRevision 0), overtaken by a compaction, or
 *             refused from now on (reason)
 *   events    whole revisions, in order, unless `fragment` says that more of the last one follows
 *   progress  everything up to `revision` was sent; watchId -1 speaks for the whole stream
 */
export type WatchResponse =
  | {
      readonly kind: "created";
      readonly watchId: number;
      readonly revision: number;
      readonly reason: string | undefined;
    }
  | {
      readonly kind: "canceled";
      readonly watchId: number;
      readonly revision: number;
      readonly compactRevision: number;
      readonly reason?: string;
    }
  | {
      readonly kind: "events";
      readonly watchId: number;
      readonly revision: number;
      readonly batch: EventBatch;
      readonly fragment: boolean;
    }
  | { readonly kind: "progress"; readonly watchId: number; readonly revision: number };

/** The watch id of refusals and of progress marks for a whole stream. */
export const NO_WATCH_ID = -1;
