/**
 * Sends DATA within the peer's windows (RFC 9113 §5.2, §6.9). What fits goes straight into the
 * connection's output; the rest waits in its stream's queue and is moved by pump() when a window
 * or the output opens, one frame per stream in turn, so that a large answer delays no small one.
 *
 * Invariants (verify): window >= 0; queuedBytes = the sum of the queues; a stream with READY is in
 * the list, and one with queued bytes, window and not READY does not exist.
 */
import { assert } from "../../base/assert.ts";
import { copyBytes, OutputBuffer } from "../connection.ts";
import type { MemoryAccount } from "../memory.ts";
import { putFrameHeader } from "./frames.ts";
import { OUTPUT_BULK_BYTES, OUTPUT_BYTES_MAX, STREAM_QUEUE_BYTES } from "./limits.ts";
import {
  Flag,
  FRAME_BYTES_DEFAULT,
  FRAME_HEADER_BYTES,
  FrameType,
  INT31_MAX,
  WINDOW_BYTES_DEFAULT,
} from "./protocol.ts";
import { type Http2Stream, StreamState } from "./stream.ts";

/** A gRPC message's compressed flag and length, which the sender can put before the bytes. */
export const MESSAGE_PREFIX_BYTES = 5;

/** Above the streams that honest clients use, so that a sweep nearly always finds something. */
const READY_SWEEP_MIN = 2048;

export interface SenderOwner<S> {
  /** The queue is empty and END_STREAM is due: write the trailers or the empty last frame. */
  endLocal(stream: S): void;
  /** The queue is below half its bound again. */
  onDrain(stream: S): void;
  /** A DATA frame was sent: the peer may answer with WINDOW_UPDATEs. */
  onDataSent(): void;
}

export class Sender<S extends Http2Stream> {
  readonly #output: OutputBuffer;
  readonly #owner: SenderOwner<S>;
  readonly #memory: MemoryAccount | undefined;
  /** DATA bytes that the peer lets us send on the whole connection. */
  window = WINDOW_BYTES_DEFAULT;
  /** Bytes in all streams' queues. */
  queuedBytes = 0;
  #ready: S[] = [];
  #readyHead = 0;
  #sweepAt = READY_SWEEP_MIN;
  readonly #drained: S[] = [];
  #lastFrameAt = -1; // of the last DATA frame written by send, counted from the first byte ever
  #lastFrameEnd = -1;

  constructor(output: OutputBuffer, owner: SenderOwner<S>, memory?: MemoryAccount) {
    this.#output = output;
    this.#owner = owner;
    this.#memory = memory;
  }

  /** Whether a frame of `size` payload bytes can be written now, ahead of nothing queued. */
  canSendNow(stream: S, size: number): boolean {
    return (
      size <= FRAME_BYTES_DEFAULT &&
      size <= stream.sendWindow &&
      size <= this.window &&
      stream.queue === undefined &&
      stream.id !== 0 &&
      this.#output.pending <= OUTPUT_BYTES_MAX
    );
  }

  /** Counts a DATA frame that is being written. */
  spend(stream: S, size: number): void {
    stream.sendWindow -= size;
    this.window -= size;
    this.#owner.onDataSent();
  }

  /** Sends bytes[start, end), after a gRPC message prefix if `message`. Copies what must wait. */
  send(stream: S, bytes: Uint8Array, start: number, end: number, message: boolean): void {
    const size = end - start + (message ? MESSAGE_PREFIX_BYTES : 0);
    if (this.canSendNow(stream, size)) {
      this.spend(stream, size);
      const at = this.#output.reserve(FRAME_HEADER_BYTES + size);
      const out = this.#output.bytes;
      let to = putFrameHeader(out, at, size, FrameType.DATA, 0, stream.id);
      if (message) to = putMessagePrefix(out, to, end - start);
      copyBytes(bytes, start, end, out, to);
      this.#lastFrameEnd = this.#output.taken + this.#output.pending;
      this.#lastFrameAt = this.#lastFrameEnd - FRAME_HEADER_BYTES - size;
      return;
    }
    stream.queue ??= new OutputBuffer(size, this.#memory);
    const queue = stream.queue;
    if (message) {
      const at = queue.reserve(MESSAGE_PREFIX_BYTES);
      putMessagePrefix(queue.bytes, at, end - start);
    }
    queue.append(bytes, start, end);
    this.queuedBytes += size;
    this.wake(stream);
    this.move();
    if (queue.pending > STREAM_QUEUE_BYTES) stream.state |= StreamState.DRAIN_OWED;
  }

  /**
   * Puts END_STREAM on the frame that send wrote last, if it is this stream's, stands at the end
   * of the output, and no byte of it has been taken. Saves an empty frame per unary call.
   */
  endLastFrame(stream: S): boolean {
    const output = this.#output;
    if (this.#lastFrameAt < output.taken) return false;
    if (this.#lastFrameEnd !== output.taken + output.pending) return false;
    const at = output.start + this.#lastFrameAt - output.taken;
    if (output.bytes.readUInt32BE(at + 5) !== stream.id) return false;
    output.bytes[at + 4] = Flag.END_STREAM;
    return true;
  }

  /** The stream may have become able to send: its window grew, or it got an id. */
  wake(stream: S): void {
    if (stream.queue === undefined || stream.sendWindow <= 0 || stream.id === 0) return;
    if ((stream.state & StreamState.READY) !== 0) return;
    stream.state |= StreamState.READY;
    if (this.#ready.length >= this.#sweepAt) this.#sweepReady();
    this.#ready.push(stream);
  }

  /** move(), and then tells the streams that have room again. Not from within what they do. */
  pump(): void {
    this.move();
    while (this.#drained.length > 0) {
      const stream = this.#drained.pop() as S;
      const isBusy = (stream.state & (StreamState.CLOSED | StreamState.DRAIN_OWED)) !== 0;
      if (!isBusy) this.#owner.onDrain(stream); // one that is full again is told another time
    }
  }

  /**
   * Moves queued DATA to the output as far as windows and the output's bound allow. Who has room
   * again hears of it with the next pump(), which comes once the output has been written: a handler
   * that is sending must not be called, nor another that would use the same buffers.
   */
  move(): void {
    while (this.#readyHead < this.#ready.length) {
      if (this.window <= 0 || this.#output.pending >= OUTPUT_BULK_BYTES) break;
      const stream = this.#ready[this.#readyHead++] as S;
      stream.state &= ~StreamState.READY;
      this.#sendQueued(stream);
    }
    this.#compactReady();
  }

  /** Forgets what the stream had queued. */
  drop(stream: S): void {
    if (stream.queue === undefined) return;
    this.queuedBytes -= stream.queue.pending;
    forgetQueue(stream);
    stream.trailers = undefined;
  }

  verify(streams: readonly S[]): void {
    assert(this.window >= 0 && this.window <= INT31_MAX, "connection send window out of range");
    let queued = 0;
    for (const stream of streams) {
      const pending = stream.queue?.pending ?? 0;
      queued += pending;
      const ready = (stream.state & StreamState.READY) !== 0;
      const waits = pending === 0 || stream.sendWindow <= 0 || stream.id === 0;
      assert(ready || waits, "a stream with something to send is forgotten");
    }
    assert(this.#ready.length <= this.#sweepAt, "the list of ready streams is over its bound");
    assert(queued === this.queuedBytes, "queued bytes do not add up");
  }

  #sendQueued(stream: S): void {
    const queue = stream.queue;
    if (queue === undefined) return;
    const size = Math.min(queue.pending, FRAME_BYTES_DEFAULT, stream.sendWindow, this.window);
    if (size <= 0) return;
    const ends = size === queue.pending && (stream.state & StreamState.END_QUEUED) !== 0;
    const flags = ends && stream.trailers === undefined ? Flag.END_STREAM : 0;
    this.spend(stream, size);
    const at = this.#output.reserve(FRAME_HEADER_BYTES + size);
    const out = this.#output.bytes;
    const to = putFrameHeader(out, at, size, FrameType.DATA, flags, stream.id);
    queue.bytes.copy(out, to, queue.start, queue.start + size);
    queue.advance(size);
    this.queuedBytes -= size;
    if (queue.pending === 0) forgetQueue(stream);
    else this.wake(stream);
    if (ends) this.#owner.endLocal(stream);
    else this.#noteDrain(stream, queue.pending);
  }

  #noteDrain(stream: S, pending: number): void {
    if ((stream.state & StreamState.DRAIN_OWED) === 0 || pending > STREAM_QUEUE_BYTES / 2) return;
    stream.state &= ~StreamState.DRAIN_OWED;
    this.#drained.push(stream);
  }

  /** Lets go of streams that were reset while the connection's window was closed. */
  #sweepReady(): void {
    const waits = (stream: S): boolean => (stream.state & StreamState.CLOSED) === 0;
    this.#ready = this.#ready.slice(this.#readyHead).filter(waits);
    this.#readyHead = 0;
    this.#sweepAt = Math.max(READY_SWEEP_MIN, this.#ready.length * 2);
  }

  #compactReady(): void {
    if (this.#readyHead === this.#ready.length) {
      this.#ready.length = 0;
      this.#readyHead = 0;
    } else if (this.#readyHead > 1024) {
      this.#ready.splice(0, this.#readyHead);
      this.#readyHead = 0;
    }
  }
}

function forgetQueue(stream: Http2Stream): void {
  stream.queue?.discard(); // the account has its memory back
  stream.queue = undefined;
}

/** Writes the prefix of an uncompressed message and returns the position after it. */
export function putMessagePrefix(bytes: Buffer, at: number, length: number): number {
  bytes[at] = 0;
  bytes[at + 1] = length >>> 24;
  bytes[at + 2] = length >>> 16;
  bytes[at + 3] = length >>> 8;
  bytes[at + 4] = length;
  return at + MESSAGE_PREFIX_BYTES;
}
