/**
 * One watch of the hub as a queue of events, to be taken one by one. The hub wakes who waits;
 * nothing polls. What is not taken stays in the history, beyond a few events; so a slow caller
 * costs no memory.
 */
import { assert } from "../base/assert.ts";
import type { Key } from "../base/bytes.ts";
import { Event } from "../proto/gen/mvccpb.ts";
import type { WatchResponse, WatchSink } from "../watch/ports.ts";
import type { WatchStream } from "../watch/stream.ts";
import type { KeyChanges } from "./ports.ts";

/** Events that wait here; whole batches come, so there may be one batch more. */
const EVENTS_KEPT = 16;

export interface KeyRange {
  readonly key: Key;
  /** Empty: the one key. */
  readonly rangeEnd: Key;
  /** Only deletions are of interest. */
  readonly deletionsOnly: boolean;
}

export class KeyWatch implements WatchSink, Disposable {
  readonly #changes: KeyChanges;
  readonly #stream: WatchStream;
  #events: Event[] = [];
  /** The hub will say no more: what this watch needs next is compacted. */
  #lost = false;
  #wake: (() => void) | undefined = undefined;

  /** Watches from the first revision after `revision` on. Dispose of it. */
  constructor(changes: KeyChanges, { key, rangeEnd, deletionsOnly }: KeyRange, revision: number) {
    this.#changes = changes;
    this.#stream = changes.hub.openStream(this);
    this.#stream.create({
      ...{ key, rangeEnd, startRevision: revision + 1, noPut: deletionsOnly, noDelete: false },
      ...{ watchId: 0, prevKv: false, progressNotify: false, fragment: false },
    });
    if (changes.hub.hasWork) changes.wakeHub();
  }

  get writable(): boolean {
    return this.#events.length < EVENTS_KEPT;
  }

  send(response: WatchResponse): void {
    if (response.kind === "events") {
      for (const bytes of response.batch.events) {
        this.#events.push(Event.decode(bytes, 0, bytes.length));
      }
    } else if (response.kind === "canceled") this.#lost = true;
    else if (response.kind === "created") {
      assert(response.reason === undefined, "a watch that is alone on its stream is not refused");
      return;
    }
    this.#wake?.();
  }

  /**
   * The next event; undefined when it is not to be had, because compaction was faster: then who
   * waits has to look at the present state again. Rejects with the signal's reason.
   */
  async next(signal: AbortSignal): Promise<Event | undefined> {
    while (!this.#lost && this.#events.length === 0) await this.#change(signal);
    signal.throwIfAborted();
    const wasFull = !this.writable;
    const event = this.#events.shift();
    if (wasFull && this.writable) {
      this.#stream.onWritable();
      if (this.#changes.hub.hasWork) this.#changes.wakeHub();
    }
    return event;
  }

  [Symbol.dispose](): void {
    this.#stream.close();
  }

  async #change(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const { promise, resolve } = Promise.withResolvers<void>();
    const wake = (): void => resolve();
    this.#wake = wake;
    signal.addEventListener("abort", wake);
    await promise;
    signal.removeEventListener("abort", wake); // an observer waits many times on one signal
    this.#wake = undefined;
  }
}
