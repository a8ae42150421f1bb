/**
 * A watch that outlives its connections. It remembers the revision after the last one it handed
 * out and asks the next server for what comes from there, so its reader sees every event once and
 * in order, whatever happens to servers in between.
 *
 * A disconnected fragmented answer would leave half a revision delivered; fragments are therefore
 * put together first and a revision is handed out whole. Events below the remembered revision are
 * dropped: a server may send more than it was asked for after it restored a snapshot.
 *
 * It ends (the iteration throws) when the server compacted what it needs, cancels it for another
 * reason, or fails it with anything but UNAVAILABLE or INTERNAL, as etcd's client does; "no leader"
 * ends it too, since it is only told to those who asked for it (`hasleader` metadata).
 */
import { assert } from "../base/assert.ts";
import type { Key } from "../base/bytes.ts";
import {
  Watch,
  WatchCreateRequest,
  WatchRequest,
  type WatchResponse,
} from "../proto/gen/etcdserverpb.ts";
import type { Event } from "../proto/gen/mvccpb.ts";
import { GrpcCode } from "../wire/grpc/status.ts";
import type { CallOptions, Channel } from "./channel.ts";
import type { Duplex } from "./duplex.ts";
import { GrpcError } from "./grpc-error.ts";
import { retryPauseMs } from "./retry.ts";
import { sleep } from "./waiting.ts";

const NO_LEADER = "etcdserver: no leader";

export interface WatchOptions extends Omit<CallOptions, "timeoutMs"> {
  readonly key: Key;
  /** As in a range: absent is one key, "\0" everything from `key` on. */
  readonly rangeEnd?: Key;
  /** The first revision wanted; absent is whatever comes after the watch was created. */
  readonly startRevision?: number;
  readonly prevKv?: boolean;
  /** The server says now and then how far it is when nothing happens. */
  readonly progressNotify?: boolean;
  /** WatchFilterType.NOPUT, NODELETE. */
  readonly filters?: readonly number[];
  /** Large answers come in pieces; the reader does not notice. */
  readonly fragment?: boolean;
}

/** What happened up to `revision`; `events` is empty for a progress notice and a creation. */
export interface WatchBatch {
  readonly kind: "created" | "events" | "progress";
  /** Everything up to here has been handed out. */
  readonly revision: number;
  readonly events: readonly Event[];
  readonly response: WatchResponse;
}

/** The events that were asked for are gone; `compactRevision` is the oldest that can be had. */
export class CompactedError extends GrpcError {
  readonly compactRevision: number;

  constructor(compactRevision: number) {
    super(GrpcCode.OUT_OF_RANGE, "etcdserver: mvcc: required revision has been compacted");
    this.compactRevision = compactRevision;
  }
}

export class Watcher implements AsyncIterable<WatchBatch> {
  readonly #channel: Channel;
  readonly #options: WatchOptions;
  readonly #cancel = new AbortController();
  #stream: Duplex<WatchRequest, WatchResponse> | undefined;
  #started = false;
  /** The first revision not handed out; 0 until the server has said where we begin. */
  #nextRevision: number;
  #fragments: Event[] = [];
  #announced = false;

  /** Use EtcdClient.watch(). */
  constructor(channel: Channel, options: WatchOptions) {
    this.#channel = channel;
    this.#options = options;
    this.#nextRevision = options.startRevision ?? 0;
  }

  /** The first revision that was not handed out; 0 while the server has not answered. */
  get nextRevision(): number {
    return this.#nextRevision;
  }

  /** Ends the watch; the reader's loop ends without an error. */
  cancel(): void {
    this.#cancel.abort();
    this.#stream?.cancel();
  }

  /** Asks the server to say how far it is; the answer is a batch of kind "progress". */
  requestProgress(): void {
    this.#stream?.send(WatchRequest.create({ progressRequest: {} }));
  }

  /** The events, for one reader; throws GrpcError or CompactedError when the watch cannot go on. */
  async *[Symbol.asyncIterator](): AsyncGenerator<WatchBatch, void, undefined> {
    assert(!this.#started, "a watch has one reader");
    this.#started = true;
    const { signal } = this.#options;
    const cancel = (): void => this.cancel();
    signal?.addEventListener("abort", cancel, { once: true });
    if (signal?.aborted) this.cancel();
    try {
      for (let failures = 0; !this.#ended(); ) {
        try {
          for await (const response of this.#open()) {
            // A server that creates watches only to drop them is asked less and less often.
            if (!response.created) failures = 0;
            const batch = this.#take(response);
            if (batch !== undefined) yield batch;
          }
        } catch (error) {
          if (this.#ended()) return;
          if (!resumable(error)) throw error;
        }
        failures++;
        await this.#pause(failures);
      }
    } finally {
      signal?.removeEventListener("abort", cancel);
      this.#stream?.cancel();
    }
  }

  #ended(): boolean {
    return this.#cancel.signal.aborted || this.#channel.closing.aborted;
  }

  async #pause(failures: number): Promise<void> {
    const ms = retryPauseMs(failures, 1, this.#channel.random);
    const signal = AbortSignal.any([this.#cancel.signal, this.#channel.closing]);
    await sleep(ms, signal).catch(() => undefined); // aborted: the loop sees it
  }

  #open(): Duplex<WatchRequest, WatchResponse> {
    const { key, rangeEnd = "", prevKv, progressNotify, filters, fragment } = this.#options;
    const createRequest = WatchCreateRequest.create({
      key,
      rangeEnd,
      startRevision: this.#nextRevision,
      prevKv: prevKv === true,
      progressNotify: progressNotify === true,
      filters: [...(filters ?? [])],
      fragment: fragment === true,
    });
    this.#fragments = [];
    const { metadata } = this.#options;
    const stream = this.#channel.open(Watch.Watch, metadata === undefined ? {} : { metadata });
    this.#stream = stream;
    stream.send(WatchRequest.create({ createRequest }));
    return stream;
  }

  /** What a response means to the reader; undefined: nothing yet. */
  #take(response: WatchResponse): WatchBatch | undefined {
    const revision = response.header?.revision ?? 0;
    if (response.canceled) throw cancelReason(response);
    if (response.created) return this.#created(response, revision);
    if (response.events.length === 0 && !response.fragment && this.#fragments.length === 0) {
      this.#nextRevision = Math.max(this.#nextRevision, revision + 1);
      return { kind: "progress", revision: this.#nextRevision - 1, events: [], response };
    }
    for (const event of response.events) {
      if ((event.kv?.modRevision ?? 0) >= this.#nextRevision) this.#fragments.push(event);
    }
    if (response.fragment) return undefined;
    const events = this.#fragments;
    this.#fragments = [];
    const last = events.at(-1)?.kv?.modRevision;
    if (last === undefined) return undefined;
    this.#nextRevision = last + 1;
    return { kind: "events", revision: last, events, response };
  }

  /** Only the first creation is news. One from "now" fixes where we go on after a disconnect. */
  #created(response: WatchResponse, revision: number): WatchBatch | undefined {
    if (this.#nextRevision === 0) this.#nextRevision = revision + 1;
    if (this.#announced) return undefined;
    this.#announced = true;
    return { kind: "created", revision: this.#nextRevision - 1, events: [], response };
  }
}

function cancelReason(response: WatchResponse): GrpcError {
  if (response.compactRevision !== 0) return new CompactedError(response.compactRevision);
  const reason = response.cancelReason === "" ? "watch canceled" : response.cancelReason;
  return new GrpcError(GrpcCode.CANCELLED, reason);
}

function resumable(error: unknown): boolean {
  if (!(error instanceof GrpcError) || error.message === NO_LEADER) return false;
  return error.code === GrpcCode.UNAVAILABLE || error.code === GrpcCode.INTERNAL;
}
