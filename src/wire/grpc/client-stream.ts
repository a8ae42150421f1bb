/** One call at a client: the engine's stream and the caller's view of it in one object. */
import type { OutputBuffer } from "../connection.ts";
import type { Fields } from "../http2/header-writer.ts";
import { type Http2Stream, StreamState } from "../http2/stream.ts";
import type { ClientCall, ClientCallHandler } from "./client-call.ts";
import type { MessageReader } from "./message-reader.ts";

/** What a call needs of its connection. */
export interface ClientCallOwner {
  send(stream: ClientStream, bytes: Uint8Array, start: number, end: number): void;
  halfClose(stream: ClientStream): void;
  cancel(stream: ClientStream): void;
  resume(stream: ClientStream): void;
}

export class ClientStream implements ClientCall, Http2Stream {
  id = 0;
  state = 0;
  startedMs = 0;
  headBytes = 0;
  sendWindow = 0;
  recvWindow = 0;
  usualWindow = 0;
  received = 0;
  expected = -1;
  held = 0;
  needed = 0;
  granted = 0;
  queue: OutputBuffer | undefined = undefined;
  trailers: Fields | undefined = undefined;

  readonly owner: ClientCallOwner;
  readonly path: string;
  readonly metadata: readonly string[];
  readonly deadlineMs: number;
  readonly handler: ClientCallHandler;
  reader: MessageReader | undefined = undefined;
  /** Messages of the answer may be compressed. */
  gzip = false;
  /** onEnd has been called. */
  ended = false;
  halfClosed = false;
  unprocessed = false;

  constructor(
    owner: ClientCallOwner,
    path: string,
    metadata: readonly string[],
    deadlineMs: number,
    handler: ClientCallHandler,
  ) {
    this.owner = owner;
    this.path = path;
    this.metadata = metadata;
    this.deadlineMs = deadlineMs;
    this.handler = handler;
  }

  get writable(): boolean {
    return (this.state & StreamState.DRAIN_OWED) === 0;
  }

  get queuedBytes(): number {
    return this.queue === undefined ? 0 : this.queue.pending;
  }

  send(bytes: Uint8Array, start: number, end: number): void {
    this.owner.send(this, bytes, start, end);
  }

  halfClose(): void {
    this.owner.halfClose(this);
  }

  cancel(): void {
    this.owner.cancel(this);
  }

  pause(): void {
    this.state |= StreamState.READ_PAUSED;
  }

  resume(): void {
    if ((this.state & StreamState.READ_PAUSED) === 0) return;
    this.state &= ~StreamState.READ_PAUSED;
    this.owner.resume(this);
  }
}
