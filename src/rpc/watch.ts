/**
 * Watch: one gRPC stream holding many watchers, etcd's and ours (the messages are the same).
 *
 * A session turns requests into calls of the watch hub and responses into messages. Events were
 * encoded once, by whoever needed them first; here they are only copied behind a header.
 *
 * Who loses the right to what he watches, or never had to say who he is before auth was enabled,
 * gets no more events from that moment on, and his watcher ends with the reason. etcd goes on.
 */
import { AetherError } from "../base/errors.ts";
import { AetherWatch } from "../proto/gen/aether.v1.ts";
import {
  FilterType,
  Watch,
  type WatchCreateRequest,
  WatchRequest,
  WatchResponse as WatchResponseType,
} from "../proto/gen/etcdserverpb.ts";
import { HeaderEncoder } from "../proto/hot/header.ts";
import { encodeEventFields, encodeWatchResponse } from "../proto/hot/watch.ts";
import type { WatchHub } from "../watch/hub.ts";
import type { WatchCreate, WatchResponse, WatchSink } from "../watch/ports.ts";
import type { WatchStream } from "../watch/stream.ts";
import type { Method, ServerCall, StreamHandler } from "../wire/grpc/server-call.ts";
import type { GrpcCode } from "../wire/grpc/status.ts";
import { decodeRequest, leavesUnread, scratch, send, sendScratch, UNREAD } from "./answer.ts";
import type { Authorizer } from "./authorize.ts";
import { failureOf, goTextOf } from "./errors.ts";
import { headerAt, type Identity } from "./headers.ts";

/** Watchers that are judged anew with a tick after rights were changed: a millisecond of them. */
const JUDGED_PER_TICK = 5000;

/** What the watch service needs of the node. */
export interface WatchBackend {
  readonly hub: WatchHub;
  readonly identity: Identity;
  readonly term: number;
  readonly auth: Authorizer;
  /** The hub has catching up to do: run its steps soon. */
  wakeHub(): void;
}

/** All open sessions, so that a stopping server can end them. */
export class WatchService {
  readonly #backend: WatchBackend;
  readonly #header: HeaderEncoder;
  readonly #sessions = new Set<WatchSession>();
  /** The rules by which all watchers were judged, or are being judged. */
  #rules = 0;
  #judging: Iterator<void> | undefined = undefined;

  constructor(backend: WatchBackend) {
    this.#backend = backend;
    const { clusterId, memberId } = backend.identity;
    this.#header = new HeaderEncoder(clusterId, memberId);
  }

  methods(): Method[] {
    const stream = (call: ServerCall): StreamHandler => {
      const onEnd = (): boolean => this.#sessions.delete(session);
      const session = new WatchSession(this.#backend, this.#header, call, onEnd);
      this.#sessions.add(session);
      return session;
    };
    return [
      { path: Watch.Watch.path, stream },
      { path: AetherWatch.Watch.path, stream },
    ];
  }

  /** Ends watchers whose users may not see them any more; to be called with each tick. */
  tick(): void {
    const { rules } = this.#backend.auth;
    if (rules !== this.#rules) {
      this.#rules = rules;
      this.#judging = rules === 0 ? undefined : this.#judgeAll();
    }
    for (let count = 0; count < JUDGED_PER_TICK && this.#judging !== undefined; count++) {
      if (this.#judging.next().done === true) this.#judging = undefined;
    }
  }

  *#judgeAll(): Iterator<void> {
    for (const session of this.#sessions) {
      for (const id of session.watchIds()) {
        session.judge(id);
        yield;
      }
    }
  }

  /** Ends every stream; clients resume elsewhere from the last revision they saw. */
  close(reason: AetherError): void {
    const { code, message } = failureOf(reason);
    for (const session of this.#sessions) session.end(code, message);
    this.#sessions.clear();
  }
}

class WatchSession implements StreamHandler, WatchSink {
  readonly #backend: WatchBackend;
  readonly #header: HeaderEncoder;
  readonly #call: ServerCall;
  readonly #onEnd: () => void;
  readonly #stream: WatchStream;
  /** By which rules each watcher was judged last; empty while auth is off. */
  readonly #judged = new Map<number, number>();
  /** Who watches, as far as he had to say so. */
  #user: string | undefined = undefined;

  constructor(backend: WatchBackend, header: HeaderEncoder, call: ServerCall, onEnd: () => void) {
    this.#backend = backend;
    this.#header = header;
    this.#call = call;
    this.#onEnd = onEnd;
    this.#stream = backend.hub.openStream(this);
  }

  get writable(): boolean {
    return this.#call.writable;
  }

  onMessage(bytes: Uint8Array, start: number, end: number): void {
    if (leavesUnread(this.#call)) {
      this.end(UNREAD.code, UNREAD.message);
      return;
    }
    const request = this.#decode(bytes, start, end);
    if (request === undefined) return;
    if (request.createRequest !== undefined) this.#create(request.createRequest);
    else if (request.cancelRequest !== undefined) {
      this.#stream.cancel(request.cancelRequest.watchId);
    } else if (request.progressRequest !== undefined) this.#stream.requestProgress();
    if (this.#backend.hub.hasWork) this.#backend.wakeHub();
  }

  /**
   * A watcher is judged by the range as it was asked for: an end of "\0" is everything from the key
   * on (GHSA-xg4h-6gfc-h4m8). The rest is the hub's to refuse.
   */
  #create(request: WatchCreateRequest): void {
    const { auth } = this.#backend;
    const key = request.key === "" ? "\0" : request.key;
    const refusal = auth.refusalOf(() => {
      if (request.startRevision < 0) return; // compacted, whoever asks
      auth.checkRead(this.#call, { ...request, key });
      this.#user = auth.callerOf(this.#call)?.user;
    });
    if (refusal === undefined) this.#stream.create(createOf(request));
    else this.#stream.refuse(goTextOf(refusal));
  }

  #decode(bytes: Uint8Array, start: number, end: number): WatchRequest | undefined {
    try {
      return decodeRequest(WatchRequest, bytes, start, end);
    } catch (error) {
      if (!(error instanceof AetherError)) throw error;
      const { code, message } = failureOf(error);
      this.end(code, message);
      return undefined;
    }
  }

  /** A client that sends no more requests still wants its events (etcd's JSON gateway does so). */
  onHalfClose(): void {}

  onCancel(): void {
    this.#stream.close();
    this.#onEnd();
  }

  onDrain(): void {
    this.#stream.onWritable();
    if (this.#backend.hub.hasWork) this.#backend.wakeHub();
  }

  end(code: GrpcCode, message: string): void {
    this.#stream.close();
    this.#onEnd();
    this.#call.fail(code, message);
  }

  watchIds(): Iterable<number> {
    return this.#stream.ids();
  }

  /** Ends a watcher whose user may not see it by the rules of now. Not while the hub is sending. */
  judge(watchId: number): void {
    const refusal = this.#refusalOf(watchId);
    if (refusal !== undefined) this.#stream.revoke(watchId, goTextOf(refusal));
  }

  #refusalOf(watchId: number): AetherError | undefined {
    const { auth } = this.#backend;
    const { rules } = auth;
    if (this.#judged.get(watchId) === rules) return undefined;
    const range = this.#stream.rangeOf(watchId);
    if (range === undefined) return undefined;
    const refusal = auth.refusalToRead(this.#user, range);
    if (refusal === undefined) this.#judged.set(watchId, rules);
    return refusal;
  }

  /** What may not be seen any more is not sent; the next tick ends its watcher. */
  send(response: WatchResponse): void {
    const { watchId, kind } = response;
    if (kind === "events") {
      const isHidden = this.#backend.auth.enabled && this.#refusalOf(watchId) !== undefined;
      if (!isHidden) this.#sendEvents(response);
      return;
    }
    if (kind === "canceled") this.#judged.delete(watchId);
    send(this.#call, WatchResponseType, this.#message(response));
  }

  #message(response: Exclude<WatchResponse, { kind: "events" }>): WatchResponseType {
    const message = WatchResponseType.create({
      header: headerAt(this.#backend.identity, response.revision, this.#backend.term),
      watchId: response.watchId,
    });
    if (response.kind === "created") {
      message.created = true;
      if (response.reason !== undefined) {
        message.canceled = true;
        message.cancelReason = response.reason;
      }
    } else if (response.kind === "canceled") {
      message.canceled = true;
      message.compactRevision = response.compactRevision;
      if (response.reason !== undefined) message.cancelReason = response.reason;
    }
    return message;
  }

  #sendEvents(response: Extract<WatchResponse, { kind: "events" }>): void {
    const { batch, revision, watchId, fragment } = response;
    const header = this.#header.at(revision, this.#backend.term);
    batch.encoded ??= encodeEventFields(batch.events);
    encodeWatchResponse(header, watchId, fragment, batch.encoded, scratch);
    sendScratch(this.#call);
  }
}

function createOf(request: WatchCreateRequest): WatchCreate {
  return {
    key: request.key,
    rangeEnd: request.rangeEnd,
    startRevision: request.startRevision,
    progressNotify: request.progressNotify,
    noPut: request.filters.includes(FilterType.NOPUT),
    noDelete: request.filters.includes(FilterType.NODELETE),
    prevKv: request.prevKv,
    watchId: request.watchId,
    fragment: request.fragment,
  };
}
