/**
 * Watch: one gRPC stream holding many watchers, etcd's and ours (the messages are the same).
 *
 * A session turns requests into calls of the watch hub and responses into messages. Events were
 * encoded once, by whoever needed them first; here they are only copied behind a header.
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
import type { EventBatch } from "../watch/event-batch.ts";
import type { WatchHub } from "../watch/hub.ts";
import type { WatchCreate, WatchResponse, WatchSink } from "../watch/ports.ts";
import type { WatchStream } from "../watch/stream.ts";
import type { Method, ServerCall, StreamHandler } from "../wire/grpc/server-call.ts";
import { GrpcCode } from "../wire/grpc/status.ts";
import { decodeRequest, scratch, send, sendScratch } from "./answer.ts";
import { textOf } from "./errors.ts";
import { headerAt, type Identity } from "./headers.ts";

/** What the watch service needs of the node. */
export interface WatchBackend {
  readonly hub: WatchHub;
  readonly identity: Identity;
  readonly term: number;
  /** The hub has catching up to do: run its steps soon. */
  wakeHub(): void;
}

/** All open sessions, so that a stopping server can end them. */
export class WatchService {
  readonly #backend: WatchBackend;
  readonly #sessions = new Set<WatchSession>();

  constructor(backend: WatchBackend) {
    this.#backend = backend;
  }

  methods(): Method[] {
    const stream = (call: ServerCall): StreamHandler => {
      const session = new WatchSession(this.#backend, call, () => this.#sessions.delete(session));
      this.#sessions.add(session);
      return session;
    };
    return [
      { path: Watch.Watch.path, stream },
      { path: AetherWatch.Watch.path, stream },
    ];
  }

  /** Ends every stream; clients resume elsewhere from the last revision they saw. */
  close(): void {
    const text = textOf(new AetherError("stopped"));
    for (const session of this.#sessions) session.end(GrpcCode.UNAVAILABLE, text);
    this.#sessions.clear();
  }
}

class WatchSession implements StreamHandler, WatchSink {
  readonly #backend: WatchBackend;
  readonly #call: ServerCall;
  readonly #onEnd: () => void;
  readonly #stream: WatchStream;

  constructor(backend: WatchBackend, call: ServerCall, onEnd: () => void) {
    this.#backend = backend;
    this.#call = call;
    this.#onEnd = onEnd;
    this.#stream = backend.hub.openStream(this);
  }

  get writable(): boolean {
    return this.#call.writable;
  }

  onMessage(bytes: Uint8Array, start: number, end: number): void {
    const request = decodeRequest(WatchRequest, bytes, start, end);
    if (request.createRequest !== undefined) {
      this.#stream.create(createOf(request.createRequest));
    } else if (request.cancelRequest !== undefined) {
      this.#stream.cancel(request.cancelRequest.watchId);
    } else if (request.progressRequest !== undefined) {
      this.#stream.requestProgress();
    }
    if (this.#backend.hub.hasWork) this.#backend.wakeHub();
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
    this.#call.fail(code, message);
  }

  send(response: WatchResponse): void {
    if (response.kind === "events") this.#sendEvents(response);
    else send(this.#call, WatchResponseType, this.#message(response));
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
    }
    return message;
  }

  #sendEvents(response: Extract<WatchResponse, { kind: "events" }>): void {
    const { batch, revision, watchId, fragment } = response;
    const header = headerAt(this.#backend.identity, revision, this.#backend.term);
    WatchResponseType.encode(WatchResponseType.create({ header, watchId, fragment }), scratch);
    batch.encoded ??= encodeEvents(batch);
    scratch.append(batch.encoded);
    sendScratch(this.#call);
  }
}

/** WatchResponse.events, field 11, wire type 2. */
const EVENTS_TAG = 0x5a;

/** The events as they stand at the end of a response: the field with the highest number. */
function encodeEvents(batch: EventBatch): Uint8Array {
  const out = Buffer.allocUnsafeSlow(batch.eventBytes);
  let at = 0;
  for (const event of batch.events) {
    out[at++] = EVENTS_TAG;
    let rest = event.length;
    for (; rest >= 128; rest = Math.floor(rest / 128)) out[at++] = (rest % 128) + 128;
    out[at++] = rest;
    out.set(event, at);
    at += event.length;
  }
  return out;
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
