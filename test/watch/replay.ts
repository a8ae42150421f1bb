/**
 * What every watcher must see, computed from the whole history in the plainest way, and a sink
 * that holds each response against it. The names of the rules are those of etcd's robustness
 * suite: Ordered, Unique, Reliable, Atomic, Resumable, Bookmarkable, Filter, PrevKv, IsCreate.
 */
import { assert } from "../../src/base/assert.ts";
import type { WatchCreate, WatchResponse, WatchSink } from "../../src/watch/ports.ts";
import { type DecodedEvent, type DecodedKv, decodeEvent } from "./messages.ts";

/** The history since the beginning, which no compaction shortens. */
export class Replay {
  readonly events: DecodedEvent[] = [];
  readonly #state = new Map<string, DecodedKv>();
  revision = 1;
  compactRevision = -1;

  /** Applies one revision's changes. */
  apply(changes: readonly { key: string; value?: string }[]): void {
    const before = new Map(this.#state);
    const effective = changes.filter((one) => one.value !== undefined || before.has(one.key));
    if (effective.length > 0) this.revision += 1;
    for (const { key, value } of effective) this.#applyOne(key, value, before.get(key));
  }

  #applyOne(key: string, value: string | undefined, prevKv: DecodedKv | undefined): void {
    const modRevision = this.revision;
    if (value === undefined) {
      const kv = { key, value: "", createRevision: 0, modRevision, version: 0 };
      this.events.push({ isDelete: true, kv, prevKv });
      this.#state.delete(key);
      return;
    }
    const createRevision = prevKv?.createRevision ?? modRevision;
    const version = (prevKv?.version ?? 0) + 1;
    const kv = { key, value, createRevision, modRevision, version };
    this.events.push({ isDelete: false, kv, prevKv });
    this.#state.set(key, kv);
  }
}

function sees(request: WatchCreate, event: DecodedEvent): boolean {
  const start = request.key === "" ? "\0" : request.key;
  const end = request.rangeEnd;
  const { key } = event.kv;
  if (end === "" ? key !== start : key < start || (end !== "\0" && key >= end)) return false;
  return event.isDelete ? !request.noDelete : !request.noPut;
}

interface Expectation {
  readonly request: WatchCreate;
  /** The first revision it is to see. */
  readonly from: number;
  /** Place in the history up to which everything it sees was delivered. */
  at: number;
  lastRevision: number;
  inFragment: boolean;
}

/** Holds what one stream is sent against the replay; throws at the first broken promise. */
export class CheckingSink implements WatchSink {
  /** Responses it still takes before it stops being writable. */
  room = Number.POSITIVE_INFINITY;
  readonly watchers = new Map<number, Expectation>();
  readonly counts = { events: 0, marks: 0, compacted: 0, fragments: 0 };
  readonly #replay: Replay;
  readonly #fragmentBytes: number;
  /** The create request that is being answered. */
  asked: WatchCreate | undefined = undefined;

  constructor(replay: Replay, fragmentBytes: number) {
    this.#replay = replay;
    this.#fragmentBytes = fragmentBytes;
  }

  get writable(): boolean {
    return this.room > 0;
  }

  send(response: WatchResponse): void {
    if (response.kind === "created") this.#onCreated(response.watchId, response.revision);
    else if (response.kind === "canceled") this.#onCanceled(response);
    else if (response.kind === "progress") this.#onProgress(response.watchId, response.revision);
    else this.#onEvents(response);
    this.room -= 1;
  }

  /** Reliable: once nothing is behind, every watcher was sent all that it is to see. */
  assertComplete(): void {
    for (const watcher of this.watchers.values()) {
      assert(this.#nextOf(watcher) === undefined, "Reliable: nothing is left out");
      assert(!watcher.inFragment, "a last fragment follows");
    }
  }

  #onCreated(watchId: number, revision: number): void {
    const request = this.asked;
    assert(request !== undefined, "created answers a request");
    assert(revision === this.#replay.revision, "created carries the current revision");
    if (watchId === -1) return;
    const from = request.startRevision === 0 ? revision + 1 : request.startRevision;
    const at = 0;
    this.watchers.set(watchId, { request, from, at, lastRevision: 0, inFragment: false });
  }

  #onCanceled(response: WatchResponse & { kind: "canceled" }): void {
    const watcher = this.watchers.get(response.watchId);
    assert(watcher !== undefined, "canceled names a watcher");
    this.watchers.delete(response.watchId);
    if (response.compactRevision === 0) return;
    this.counts.compacted += 1;
    assert(response.revision === 0, "a compacted watcher's header has no revision");
    assert(response.compactRevision === this.#replay.compactRevision, "it names the compaction");
    const next = Math.max(watcher.from, watcher.lastRevision + 1);
    assert(next < response.compactRevision, "only who was overtaken is canceled");
  }

  #onProgress(watchId: number, revision: number): void {
    assert(this.writable, "a mark waits while the stream is full");
    assert(revision === this.#replay.revision, "a mark carries the current revision");
    this.counts.marks += 1;
    const marked = watchId === -1 ? [...this.watchers.values()] : [this.watchers.get(watchId)];
    assert(marked.length > 0, "a mark is for somebody");
    for (const watcher of marked) {
      assert(watcher !== undefined, "a mark names a watcher");
      assert(revision >= watcher.request.startRevision, "muted until the start is reached");
      assert(this.#nextOf(watcher) === undefined, "Bookmarkable: all up to the mark was sent");
    }
  }

  #onEvents(response: WatchResponse & { kind: "events" }): void {
    const watcher = this.watchers.get(response.watchId);
    assert(watcher !== undefined, "events name a watcher");
    const { batch, fragment } = response;
    assert(this.writable || watcher.inFragment, "a full stream is sent no events");
    assert(batch.events.length > 0, "a response holds events");
    assert(response.revision <= this.#replay.revision, "the header is not of the future");
    for (const bytes of batch.events) this.#onEvent(watcher, decodeEvent(bytes));
    assert(response.revision >= watcher.lastRevision, "the header covers the events");
    if (fragment) {
      assert(watcher.request.fragment, "only who asked gets fragments");
      this.counts.fragments += 1;
    } else this.#assertAtomic(watcher);
    const bytes = batch.events.reduce((sum, event) => sum + event.length, 0);
    if (watcher.request.fragment && batch.events.length > 1) {
      assert(bytes < this.#fragmentBytes, "a fragment is small");
    }
    watcher.inFragment = fragment;
  }

  #onEvent(watcher: Expectation, event: DecodedEvent): void {
    const expected = this.#nextOf(watcher);
    assert(expected !== undefined, "Unique: nothing comes that is not expected");
    const order = `${event.kv.key}@${event.kv.modRevision}`;
    const due = `${expected.kv.key}@${expected.kv.modRevision}`;
    assert(order === due, `Ordered, Reliable, Filter: ${order} came, ${due} was due`);
    assert(
      Bun.deepEquals({ ...event, prevKv: 0 }, { ...expected, prevKv: 0 }),
      "the event is true",
    );
    this.#assertPrevKv(watcher, event, expected.prevKv);
    watcher.at += 1;
    watcher.lastRevision = event.kv.modRevision;
    this.counts.events += 1;
  }

  #assertPrevKv(watcher: Expectation, event: DecodedEvent, prevKv: DecodedKv | undefined): void {
    if (event.prevKv !== undefined) {
      assert(watcher.request.prevKv, "PrevKv: only who asked gets it");
      assert(Bun.deepEquals(event.prevKv, prevKv), "PrevKv: what the key was before");
      return;
    }
    const hidden = event.kv.modRevision - 1 < this.#replay.compactRevision;
    const needed = watcher.request.prevKv && prevKv !== undefined && !hidden;
    assert(!needed, "PrevKv: it is there unless compaction hides it");
  }

  /** Atomic: a response ends where a revision ends, as far as the watcher sees it. */
  #assertAtomic(watcher: Expectation): void {
    const next = this.#nextOf(watcher);
    assert(next?.kv.modRevision !== watcher.lastRevision, "Atomic: a revision comes whole");
  }

  /** The next event the watcher is to see; skips those it is not. */
  #nextOf(watcher: Expectation): DecodedEvent | undefined {
    const { events } = this.#replay;
    for (; watcher.at < events.length; watcher.at += 1) {
      const event = events[watcher.at] as DecodedEvent;
      if (event.kv.modRevision >= watcher.from && sees(watcher.request, event)) return event;
    }
    return undefined;
  }
}
