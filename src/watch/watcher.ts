/**
 * A watcher, and the stream it belongs to, as data. Where a watcher stands is one of:
 *
 *   future   asked to start above what is published; sees nothing and reports nothing until then
 *   synced   has been given everything published so far; found through the hub's index
 *   lagging  `next` is the first revision it still needs; waits in a bucket for step()
 *   parked   the same, but its stream takes no more; waits for onWritable()
 *   gone     canceled, or its stream is closed
 *
 *   create ─┬─> future ──> synced <──> parked <──> lagging ──> synced       any ──> gone
 *           ├─> synced
 *           └─> lagging
 */
import type { Key } from "../base/bytes.ts";
import type { EventBatch } from "./event-batch.ts";
import type { IntervalNode } from "./interval-tree.ts";
import type { WatchCreate, WatchSink } from "./ports.ts";
import { NO_WATCH_ID } from "./ports.ts";

/** Sorts behind every key: keys hold characters below 256 only. */
export const UNBOUNDED = "\uffff";

/** etcd's texts; its clients show and compare them. */
export const REASON_EMPTY_RANGE = "mvcc: watcher range is empty";
export const REASON_DUPLICATE_ID = "mvcc: duplicate watch ID provided on the WatchStream";
export const REASON_COMPACTED = "etcdserver: mvcc: required revision has been compacted";
export const REASON_TOO_MANY = "etcdserver: too many requests";

/**
 * Watchers on one stream. etcd has no limit and keeps about 350 bytes a watcher; a million is far
 * above what a client was ever seen to hold, and keeps a hostile one below a gigabyte.
 */
export const STREAM_WATCHERS_MAX = 1_000_000;

export type WatcherState = "future" | "synced" | "lagging" | "parked" | "gone";

/** Bits of Watcher.sees: what a watcher gets to see of a change. */
export const SEES_PUT = 1;
export const SEES_DELETE = 2;
export const SEES_PREV_KV = 4;

export interface Watcher {
  readonly id: number;
  readonly stream: StreamRecord;
  readonly key: Key;
  /** Empty: the one key; otherwise the exclusive end, or UNBOUNDED. */
  readonly end: Key;
  readonly sees: number;
  readonly fragment: boolean;
  readonly progressNotify: boolean;
  /** As requested; 0 if none was. */
  readonly startRevision: number;
  state: WatcherState;
  /** First revision not yet delivered; kept only while lagging, parked or future. */
  next: number;
  /** Got events since its stream's last progress tick. */
  hadEvents: boolean;
  /** Who shares its events, and its place among them, while it is in an index. */
  audience: Audience | undefined;
  slot: number;
}

/** Watchers to whom every change looks the same. */
export interface Audience {
  readonly range: WatchedRange;
  /** Bits SEES_* of its watchers. */
  readonly sees: number;
  /** Rows below this revision are not for them; 0 in the index of synced watchers. */
  readonly from: number;
  readonly watchers: Watcher[];
  /** What was collected for them and is not sent yet. */
  batch: EventBatch | undefined;
}

/** A range (or, with an empty end, a key) that somebody watches. */
export interface WatchedRange extends IntervalNode<WatchedRange> {
  readonly audiences: Audience[];
}

export interface StreamRecord {
  readonly sink: WatchSink;
  readonly watchers: Map<number, Watcher>;
  readonly parked: Set<Watcher>;
  /** Ids of watchers that a compaction ended, until the client has cancelled them, too. */
  readonly compacted: Set<number>;
  /** Those who asked for progress marks. */
  readonly notified: Set<Watcher>;
  /** Watchers that are not synced: while there are any, the stream has no progress to report. */
  behindCount: number;
  nextAutoId: number;
  progressDueMs: number;
  closed: boolean;
}

export function newStream(sink: WatchSink): StreamRecord {
  return {
    sink,
    watchers: new Map(),
    parked: new Set(),
    compacted: new Set(),
    notified: new Set(),
    behindCount: 0,
    nextAutoId: 0,
    progressDueMs: Number.POSITIVE_INFINITY,
    closed: false,
  };
}

/** Why the request cannot be served, in etcd's words and order of checks; undefined if it can. */
export function refusalOf(stream: StreamRecord, request: WatchCreate): string | undefined {
  if (request.startRevision < 0) return REASON_COMPACTED;
  const end = endOf(request.rangeEnd);
  if (end !== "" && startOf(request.key) >= end) return REASON_EMPTY_RANGE;
  if (request.watchId !== 0 && isTaken(stream, request.watchId)) return REASON_DUPLICATE_ID;
  // -1 on the wire means "the whole stream" or "refused": a watcher cannot be told by it.
  if (request.watchId === NO_WATCH_ID) return REASON_DUPLICATE_ID;
  const count = stream.watchers.size + stream.compacted.size;
  if (count >= STREAM_WATCHERS_MAX) return REASON_TOO_MANY;
  return undefined;
}

/** The watcher which an accepted request asks for; it is nowhere yet. */
export function newWatcher(stream: StreamRecord, request: WatchCreate): Watcher {
  return {
    id: request.watchId === 0 ? takeAutoId(stream) : request.watchId,
    stream,
    key: startOf(request.key),
    end: endOf(request.rangeEnd),
    sees:
      (request.noPut ? 0 : SEES_PUT) |
      (request.noDelete ? 0 : SEES_DELETE) |
      (request.prevKv ? SEES_PREV_KV : 0),
    fragment: request.fragment,
    progressNotify: request.progressNotify,
    startRevision: request.startRevision,
    state: "gone",
    next: 0,
    hadEvents: false,
    audience: undefined,
    slot: -1,
  };
}

function startOf(key: Key): Key {
  return key === "" ? "\0" : key;
}

function endOf(rangeEnd: Key): Key {
  return rangeEnd === "\0" ? UNBOUNDED : rangeEnd;
}

/** A compacted watcher keeps its id until it is cancelled: whose cancellation would it be? */
function isTaken({ watchers, compacted }: StreamRecord, id: number): boolean {
  return watchers.has(id) || compacted.has(id);
}

function takeAutoId(stream: StreamRecord): number {
  while (isTaken(stream, stream.nextAutoId)) stream.nextAutoId += 1;
  return stream.nextAutoId++;
}
