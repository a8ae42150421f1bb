/**
 * The watches of one client stream: what its requests do. Responses go to the stream's sink, in
 * the order in which they become true.
 */
import type { Key } from "../base/bytes.ts";
import { NO_WATCH_ID, type WatchCreate, type WatchSink } from "./ports.ts";
import type { ProgressTicker } from "./progress.ts";
import type { WatchRegister } from "./register.ts";
import { newStream, newWatcher, refusalOf, type StreamRecord, UNBOUNDED } from "./watcher.ts";

/** A range as requests name it: an end of "\0" is no end. */
export interface WatchedKeys {
  readonly key: Key;
  readonly rangeEnd: Key;
}

const NO_END = "\0";

export class WatchStream {
  readonly #register: WatchRegister;
  readonly #ticker: ProgressTicker;
  readonly #record: StreamRecord;

  constructor(register: WatchRegister, ticker: ProgressTicker, sink: WatchSink) {
    this.#register = register;
    this.#ticker = ticker;
    this.#record = newStream(sink);
    register.streams.add(this.#record);
  }

  /** Watchers of the stream. */
  get size(): number {
    return this.#record.watchers.size;
  }

  /**
   * Answers a create request: created, then what follows from its start revision (live events,
   * catch-up by step(), or canceled if it was compacted); or a refusal with etcd's reason.
   */
  create(request: WatchCreate): void {
    const record = this.#record;
    this.#register.assertQuiet();
    if (record.closed) return;
    const reason = refusalOf(record, request);
    if (reason !== undefined) {
      this.refuse(reason);
      return;
    }
    const { published, source } = this.#register;
    const watcher = newWatcher(record, request);
    const { id: watchId, startRevision } = watcher;
    const compactRevision = source.compactRevision;
    const compacted = startRevision !== 0 && startRevision < compactRevision;
    if (!compacted) {
      this.#register.enroll(watcher);
      this.#register.place(watcher, startRevision === 0 ? published + 1 : startRevision);
      if (watcher.progressNotify) this.#ticker.join(record);
    }
    record.sink.send({ kind: "created", watchId, revision: published, reason: undefined });
    if (!compacted) return;
    record.compacted.add(watchId);
    record.sink.send({ kind: "canceled", watchId, revision: 0, compactRevision });
  }

  /** Answers a create request that must not be served (for instance: no permission). */
  refuse(reason: string): void {
    const revision = this.#register.published;
    this.#record.sink.send({ kind: "created", watchId: NO_WATCH_ID, revision, reason });
  }

  /**
   * Ends a watcher and says so, also one that a compaction has ended before (clients cancel those
   * too, and wait for the answer); an unknown id has no answer.
   */
  cancel(watchId: number): void {
    this.#register.assertQuiet();
    const watcher = this.#record.watchers.get(watchId);
    if (watcher !== undefined) {
      this.#register.withdraw(watcher);
      this.#register.forget(watcher);
    } else if (!this.#record.compacted.delete(watchId)) return;
    const revision = this.#register.published;
    this.#record.sink.send({ kind: "canceled", watchId, revision, compactRevision: 0 });
  }

  /** The ids of its watchers. */
  ids(): Iterable<number> {
    return this.#record.watchers.keys();
  }

  /** What a watcher watches; undefined if it is gone. */
  rangeOf(watchId: number): WatchedKeys | undefined {
    const watcher = this.#record.watchers.get(watchId);
    if (watcher === undefined) return undefined;
    return { key: watcher.key, rangeEnd: watcher.end === UNBOUNDED ? NO_END : watcher.end };
  }

  /** Ends a watcher that must not be served any more, and says why. */
  revoke(watchId: number, reason: string): void {
    this.#register.assertQuiet();
    const watcher = this.#record.watchers.get(watchId);
    if (watcher === undefined) return;
    this.#register.withdraw(watcher);
    this.#register.forget(watcher);
    const revision = this.#register.published;
    this.#record.sink.send({ kind: "canceled", watchId, revision, compactRevision: 0, reason });
  }

  /**
   * Says that everything up to the current revision was sent, for the stream as a whole, if that
   * is true of every watcher and there is one; otherwise there is no answer and the client asks
   * again. Not sent while the sink is full: a client that does not read needs no marks.
   */
  requestProgress(): void {
    this.#register.assertQuiet();
    const { watchers, behindCount, sink } = this.#record;
    if (watchers.size === 0 || behindCount > 0 || !sink.writable) return;
    sink.send({ kind: "progress", watchId: NO_WATCH_ID, revision: this.#register.published });
  }

  /** The sink takes responses again: those who were set aside join the catch-up. */
  onWritable(): void {
    this.#register.assertQuiet();
    const { parked } = this.#record;
    const waiting = [...parked];
    for (const watcher of waiting) {
      this.#register.withdraw(watcher);
      this.#register.place(watcher, watcher.next);
    }
  }

  /** Ends the stream and its watchers without a word; the sink is not used again. */
  close(): void {
    this.#ticker.leave(this.#record);
    this.#register.close(this.#record);
  }
}
