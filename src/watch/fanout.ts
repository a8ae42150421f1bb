/**
 * Gives rows to the watchers of an index: collects events per audience and sends each audience's
 * batch to its watchers. Both ways of delivery, live and catch-up, go through here.
 *
 * A response holds whole revisions only. It is cut, between revisions, when it is large, so that
 * a client with a message limit of its own can read it: etcd's live responses hold one revision.
 *
 * A watcher whose stream takes no more leaves the index and is handed to `park`, with the first
 * revision it misses.
 */
import { encodeEvent } from "../proto/hot/watch.ts";
import { EventBatch } from "./event-batch.ts";
import { WINDOW_REVISIONS } from "./lagging.ts";
import type { WatchRow, WatchSource } from "./ports.ts";
import type { WatchedRanges } from "./watched-ranges.ts";
import type { Audience, WatchedRange, Watcher } from "./watcher.ts";
import { SEES_DELETE, SEES_PREV_KV, SEES_PUT } from "./watcher.ts";

export interface FanoutLimits {
  /** A response is cut between revisions once its events have this many bytes. */
  readonly responseBytes: number;
  /** A response of this many bytes is cut by events, for watchers who allow it. */
  readonly fragmentBytes: number;
}

export interface FanoutMode {
  /** The revision in the header of responses; 0: that of the last event of each. */
  readonly header: number;
  /** Predecessors are shown from this revision on: compaction hides those below. */
  readonly prevKvFrom: number;
}

/** The header says the event's revision; what a row replaced was there when it was applied. */
export const LIVE: FanoutMode = { header: 0, prevKvFrom: 0 };

export class Fanout {
  readonly #index: WatchedRanges;
  /** Whose source is asked for predecessors. */
  readonly #of: { readonly source: WatchSource };
  readonly #limits: FanoutLimits;
  readonly #mode: FanoutMode;
  readonly #park: (watcher: Watcher, missed: number) => void;
  /** Audiences with a batch, in the order in which they got their first event. */
  readonly #touched: Audience[] = [];
  readonly #ranges: WatchedRange[] = [];
  /** The row's event without and with its predecessor, once somebody wants it. */
  #plain: Uint8Array | undefined = undefined;
  #withPrev: Uint8Array | undefined = undefined;
  /** Events handed to sinks, each counted once per watcher. */
  sentCount = 0;

  constructor(
    index: WatchedRanges,
    of: { readonly source: WatchSource },
    limits: FanoutLimits,
    mode: FanoutMode,
    park: (watcher: Watcher, missed: number) => void,
  ) {
    this.#index = index;
    this.#of = of;
    this.#limits = limits;
    this.#mode = mode;
    this.#park = park;
  }

  /** Collects a row for those who watch its key; sends what is full. Rows come in order. */
  add(row: WatchRow): void {
    this.#index.match(row.key, this.#ranges);
    if (this.#ranges.length === 0) return;
    this.#plain = undefined;
    this.#withPrev = undefined;
    const kind = row.tombstone ? SEES_DELETE : SEES_PUT;
    for (const range of this.#ranges) {
      // Backwards: sending a full batch may park all of an audience, which removes it here.
      for (let at = range.audiences.length - 1; at >= 0; at--) {
        const audience = range.audiences[at] as Audience;
        if ((audience.sees & kind) === 0 || row.revision < audience.from) continue;
        this.#batchOf(audience, row.revision).add(row.revision, this.#event(row, audience));
      }
    }
  }

  /** Sends what was collected. */
  flush(): void {
    for (const audience of this.#touched) {
      if (audience.batch !== undefined) this.#send(audience, audience.batch);
    }
    this.#touched.length = 0;
  }

  #batchOf(audience: Audience, revision: number): EventBatch {
    let batch = audience.batch;
    if (batch === undefined) this.#touched.push(audience);
    else if (batch.lastRevision === revision || !this.#isFull(batch)) return batch;
    else this.#send(audience, batch);
    batch = new EventBatch(revision);
    audience.batch = batch;
    return batch;
  }

  #isFull(batch: EventBatch): boolean {
    return (
      batch.eventBytes >= this.#limits.responseBytes || batch.revisionCount >= WINDOW_REVISIONS
    );
  }

  #event(row: WatchRow, audience: Audience): Uint8Array {
    if ((audience.sees & SEES_PREV_KV) === 0) {
      this.#plain ??= encodeEvent(row.tombstone, row.kv, undefined);
      return this.#plain;
    }
    if (this.#withPrev === undefined) {
      const visible = row.prev !== 0 && row.revision - 1 >= this.#mode.prevKvFrom;
      const prevKv = visible ? this.#of.source.prevKv(row) : undefined;
      if (prevKv === undefined) this.#plain ??= encodeEvent(row.tombstone, row.kv, undefined);
      this.#withPrev =
        prevKv === undefined ? this.#plain : encodeEvent(row.tombstone, row.kv, prevKv);
    }
    return this.#withPrev as Uint8Array;
  }

  #send(audience: Audience, batch: EventBatch): void {
    audience.batch = undefined;
    const revision = this.#mode.header === 0 ? batch.lastRevision : this.#mode.header;
    const { watchers } = audience;
    // Backwards: whoever is parked is replaced by the last one, who had its turn.
    for (let at = watchers.length - 1; at >= 0; at--) {
      const watcher = watchers[at] as Watcher;
      if (watcher.stream.closed) continue;
      if (watcher.stream.sink.writable) this.#sendTo(watcher, batch, revision);
      else {
        this.#index.remove(watcher);
        this.#park(watcher, batch.firstRevision);
      }
    }
  }

  #sendTo(watcher: Watcher, batch: EventBatch, revision: number): void {
    const { sink } = watcher.stream;
    watcher.hadEvents = true;
    this.sentCount += batch.events.length;
    const watchId = watcher.id;
    if (!watcher.fragment) {
      sink.send({ kind: "events", watchId, revision, batch, fragment: false });
      return;
    }
    const pieces = batch.fragments(this.#limits.fragmentBytes);
    pieces.forEach((piece, index) => {
      const fragment = index < pieces.length - 1;
      sink.send({ kind: "events", watchId, revision, batch: piece, fragment });
    });
  }
}
