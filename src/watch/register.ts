/**
 * Where every watcher stands: the index of synced watchers, those of the future, those who lag,
 * and the streams they belong to. Streams and hub move watchers only through this register, which
 * keeps the counts.
 *
 * While responses are being sent to many (`sending`), nothing may be created or moved from
 * outside; a stream that closes then is closed right afterwards.
 */
import { assert } from "../base/assert.ts";
import { FutureWatchers } from "./future.ts";
import { LaggingWatchers } from "./lagging.ts";
import type { WatchSource } from "./ports.ts";
import { WatchedRanges } from "./watched-ranges.ts";
import type { StreamRecord, Watcher, WatcherState } from "./watcher.ts";

export class WatchRegister {
  /** Replaced when a snapshot is installed. */
  source: WatchSource;
  readonly synced = new WatchedRanges();
  readonly future = new FutureWatchers();
  readonly lagging = new LaggingWatchers();
  readonly streams = new Set<StreamRecord>();
  /** Every event up to this revision was offered to the synced watchers. */
  published: number;
  watcherCount = 0;
  /** Watchers that lag or are parked. */
  slowCount = 0;
  #sending = false;
  readonly #closing: StreamRecord[] = [];

  constructor(source: WatchSource) {
    this.source = source;
    this.published = source.revision;
  }

  /** Puts a watcher that stands nowhere and was given all below `next` where it belongs. */
  place(watcher: Watcher, next: number): void {
    watcher.next = next;
    if (next <= this.published) {
      this.#become(watcher, "lagging");
      this.lagging.add(watcher);
    } else if (watcher.startRevision > this.published) {
      this.#become(watcher, "future");
      this.future.add(watcher);
    } else {
      this.#become(watcher, "synced");
      this.synced.add(watcher, 0);
    }
  }

  /** Takes a watcher from where it stands; the caller places it again or forgets it. */
  withdraw(watcher: Watcher): void {
    if (watcher.state === "synced") this.synced.remove(watcher);
    else if (watcher.state === "future") this.future.remove(watcher);
    else if (watcher.state === "lagging") this.lagging.remove(watcher);
    else if (watcher.state === "parked") watcher.stream.parked.delete(watcher);
    this.#become(watcher, "gone");
  }

  /** Sets a watcher, who was taken out of its index or bucket, aside until its stream drains. */
  park(watcher: Watcher, next: number): void {
    watcher.next = next;
    watcher.stream.parked.add(watcher);
    this.#become(watcher, "parked");
  }

  /** Those who waited for nextStart of the future see what comes from now on. */
  admitNext(): void {
    for (const watcher of this.future.takeNext()) {
      this.#become(watcher, "synced");
      this.synced.add(watcher, 0);
    }
  }

  /** Makes an accepted watcher known to its stream. */
  enroll(watcher: Watcher): void {
    const { stream } = watcher;
    assert(!stream.watchers.has(watcher.id), "a watch id is used once in its stream");
    stream.watchers.set(watcher.id, watcher);
    if (watcher.progressNotify) stream.notified.add(watcher);
    this.watcherCount += 1;
  }

  /** Forgets a watcher that stands nowhere, or one taken out of its bucket to be told so. */
  forget(watcher: Watcher): void {
    const { stream } = watcher;
    this.#become(watcher, "gone");
    stream.watchers.delete(watcher.id);
    stream.notified.delete(watcher);
    this.watcherCount -= 1;
  }

  /** Forgets a watcher that lost its place to a compaction, but for its id. */
  forgetCompacted(watcher: Watcher): void {
    this.forget(watcher);
    watcher.stream.compacted.add(watcher.id);
  }

  /** Closes a stream with all of its watchers: now, or after what is being sent. */
  close(stream: StreamRecord): void {
    if (stream.closed) return;
    stream.closed = true;
    if (this.#sending) this.#closing.push(stream);
    else this.#drop(stream);
  }

  /** Runs `send`, which gives responses to many streams. */
  sendingToMany(send: () => void): void {
    this.assertQuiet();
    this.#sending = true;
    send();
    this.#sending = false;
    for (const stream of this.#closing) this.#drop(stream);
    this.#closing.length = 0;
  }

  assertQuiet(): void {
    assert(!this.#sending, "a sink may only close its stream while the hub is sending");
  }

  verify(): void {
    const { published } = this;
    this.synced.verify();
    let watchers = 0;
    let parked = 0;
    const tally: Record<WatcherState, number> = {
      future: 0,
      synced: 0,
      lagging: 0,
      parked: 0,
      gone: 0,
    };
    for (const stream of this.streams) {
      verifyStream(stream, published);
      watchers += stream.watchers.size;
      parked += stream.parked.size;
      for (const watcher of stream.watchers.values()) tally[watcher.state] += 1;
    }
    assert(watchers === this.watcherCount, "every watcher belongs to an open stream");
    assert(tally.gone === 0, "nobody who is gone is kept");
    assert(tally.synced === this.synced.size, "the index holds the synced watchers");
    assert(tally.future === this.future.verify(published), "the future holds its watchers");
    assert(tally.lagging === this.lagging.verify(published), "buckets hold the lagging watchers");
    assert(tally.parked === parked, "streams hold the parked watchers");
    assert(this.slowCount === tally.lagging + parked, "slow watchers lag or are parked");
  }

  #become(watcher: Watcher, state: WatcherState): void {
    const { stream } = watcher;
    if (isBehind(watcher.state)) stream.behindCount -= 1;
    if (isSlow(watcher.state)) this.slowCount -= 1;
    watcher.state = state;
    if (isBehind(state)) stream.behindCount += 1;
    if (isSlow(state)) this.slowCount += 1;
  }

  #drop(stream: StreamRecord): void {
    for (const watcher of stream.watchers.values()) {
      this.withdraw(watcher);
      this.watcherCount -= 1;
    }
    stream.watchers.clear();
    stream.notified.clear();
    stream.compacted.clear();
    this.streams.delete(stream);
  }
}

function isSlow(state: WatcherState): boolean {
  return state === "lagging" || state === "parked";
}

function isBehind(state: WatcherState): boolean {
  return state === "future" || isSlow(state);
}

function verifyStream(stream: StreamRecord, published: number): void {
  assert(!stream.closed, "a closed stream is forgotten");
  let behind = 0;
  for (const [id, watcher] of stream.watchers) {
    assert(watcher.id === id && watcher.stream === stream, "a stream holds its own watchers");
    if (isBehind(watcher.state)) behind += 1;
    const isParked = stream.parked.has(watcher);
    assert(isParked === (watcher.state === "parked"), "who is parked is parked at its stream");
    assert(!isParked || watcher.next <= published, "a parked watcher lacks something published");
    assert(!stream.compacted.has(id), "a watcher that goes on is not compacted");
    const inIndex = watcher.audience !== undefined;
    assert(inIndex === (watcher.state === "synced"), "synced watchers, and only they, are indexed");
    const notified = stream.notified.has(watcher);
    assert(notified === watcher.progressNotify, "who asked for progress marks is listed");
  }
  assert(behind === stream.behindCount, "a stream counts its watchers that are behind");
}
