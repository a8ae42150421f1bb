/**
 * A stream that somebody besides its client and its handler may end: between the two it passes on
 * everything, and notes when the call is over, whoever ended it.
 */
import type { AetherError } from "../base/errors.ts";
import type { Metadata } from "../wire/grpc/metadata.ts";
import type { ServerCall, StreamHandler, StreamMethod } from "../wire/grpc/server-call.ts";
import type { GrpcCode } from "../wire/grpc/status.ts";
import { fail } from "./answer.ts";

export class TrackedStream implements StreamHandler {
  readonly #call: TrackedCall;
  readonly #handler: StreamHandler;

  /** Opens the stream; `onEnd` runs once, perhaps at once. What `open` throws is thrown. */
  constructor(call: ServerCall, open: StreamMethod["stream"], onEnd: () => void) {
    this.#call = new TrackedCall(call, onEnd);
    this.#handler = open(this.#call);
  }

  get ended(): boolean {
    return this.#call.ended;
  }

  /** Ends the call for a reason of ours. */
  cut(error: AetherError): void {
    this.#handler.onCancel();
    fail(this.#call, error);
  }

  onMessage(bytes: Uint8Array, start: number, end: number): void {
    this.#passed(() => this.#handler.onMessage(bytes, start, end));
  }

  onHalfClose(): void {
    this.#passed(() => this.#handler.onHalfClose());
  }

  onCancel(): void {
    this.#call.noteEnd();
    this.#handler.onCancel();
  }

  onDrain(): void {
    this.#passed(() => this.#handler.onDrain());
  }

  /** What a handler throws ends the call. */
  #passed(event: () => void): void {
    try {
      event();
    } catch (error) {
      this.#call.noteEnd();
      throw error;
    }
  }
}

/** A call that notes when its handler has ended it. */
class TrackedCall implements ServerCall {
  readonly #call: ServerCall;
  readonly #onEnd: () => void;
  ended = false;

  constructor(call: ServerCall, onEnd: () => void) {
    this.#call = call;
    this.#onEnd = onEnd;
  }

  get path(): string {
    return this.#call.path;
  }
  get metadata(): Metadata {
    return this.#call.metadata;
  }
  get deadlineMs(): number {
    return this.#call.deadlineMs;
  }
  get peer(): string {
    return this.#call.peer;
  }
  get peerName(): string | undefined {
    return this.#call.peerName;
  }
  get siblings(): number {
    return this.#call.siblings;
  }
  get cancelled(): boolean {
    return this.#call.cancelled;
  }
  get writable(): boolean {
    return this.#call.writable;
  }
  get queuedBytes(): number {
    return this.#call.queuedBytes;
  }

  reply(bytes: Uint8Array, start: number, end: number): void {
    this.noteEnd();
    this.#call.reply(bytes, start, end);
  }

  beginReply(size: number, onDrain: () => void): void {
    this.#call.beginReply(size, onDrain);
  }

  continueReply(bytes: Uint8Array, start: number, end: number): void {
    this.#call.continueReply(bytes, start, end);
  }

  send(bytes: Uint8Array, start: number, end: number): void {
    this.#call.send(bytes, start, end);
  }

  finish(): void {
    this.noteEnd();
    this.#call.finish();
  }

  fail(code: GrpcCode, message: string, trailers?: readonly string[]): void {
    this.noteEnd();
    this.#call.fail(code, message, trailers);
  }

  noteEnd(): void {
    if (this.ended) return;
    this.ended = true;
    this.#onEnd();
  }
}
