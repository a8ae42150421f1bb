/**
 * Counts what an honest peer does seldom. Each check throws ConnectionError ENHANCE_YOUR_CALM when
 * its budget is spent (RFC 9113 §10.5); limits.ts says how much and why.
 */
import type { OutputBuffer } from "../connection.ts";
import { ConnectionError } from "./errors.ts";
import {
  ACK_QUEUE_MAX,
  CONTROL_BURST,
  CONTROLS_EARNED_PER_FRAME,
  CONTROLS_PER_SECOND,
  PING_IDLE_INTERVAL_MIN_MS,
  PING_INTERVAL_MIN_MS,
  PING_STRIKES_MAX,
  RESET_BURST,
  RESETS_PER_SECOND,
  STREAMS_PER_CONTROL,
  TABLE_BYTES_PER_CONTROL,
} from "./limits.ts";
import { Http2Code } from "./protocol.ts";
import { TokenBucket } from "./token-bucket.ts";

export class FloodGuard {
  readonly #control = new TokenBucket(CONTROL_BURST, CONTROLS_PER_SECOND);
  readonly #resets = new TokenBucket(RESET_BURST, RESETS_PER_SECOND);
  readonly #output: OutputBuffer;
  #acks = 0;
  #firstAckAt = 0;
  #pingStrikes = 0;
  /** Of the bytes in onTable. */
  #paidBytes = 0;
  #lastPingMs = Number.NEGATIVE_INFINITY;
  #sentSincePing = false;

  readonly #pingIntervalMinMs: number;

  constructor(output: OutputBuffer, pingIntervalMinMs = PING_INTERVAL_MIN_MS) {
    this.#output = output;
    this.#pingIntervalMinMs = pingIntervalMinMs;
  }

  /** A frame that carries no request and no data. */
  onControl(nowMs: number): void {
    if (!this.#control.take(nowMs)) tooMuch("too many control frames");
  }

  /** A frame that makes us look at `streams` streams. */
  onSweep(streams: number, nowMs: number): void {
    for (let left = streams; left > 0; left -= STREAMS_PER_CONTROL) this.onControl(nowMs);
  }

  /** Header blocks have put so many bytes into the table until now. */
  onTable(insertedBytes: number, nowMs: number): void {
    while (insertedBytes - this.#paidBytes >= TABLE_BYTES_PER_CONTROL) {
      this.#paidBytes += TABLE_BYTES_PER_CONTROL;
      this.onControl(nowMs);
    }
  }

  /** A request came, or DATA went: control frames in proportion are honest. */
  earn(): void {
    this.#control.earn(CONTROLS_EARNED_PER_FRAME);
  }

  /** A call was reset soon after it began, by the peer or by us through the peer's fault. */
  onReset(nowMs: number): void {
    if (!this.#resets.take(nowMs)) tooMuch("too many resets");
  }

  /** An ack will be written. The count starts anew once the socket has taken the first. */
  onAck(): void {
    const output = this.#output;
    if (this.#acks > 0 && output.taken > this.#firstAckAt) this.#acks = 0;
    if (this.#acks === 0) this.#firstAckAt = output.taken + output.pending;
    this.#acks++;
    if (this.#acks > ACK_QUEUE_MAX) tooMuch("too many unread acks");
  }

  /** We sent HEADERS or DATA: a client may ping to measure (grpc-go does). */
  onSent(): void {
    this.#sentSincePing = true;
  }

  /** A client's ping. The text is the one that grpc-go's clients know and slow down for. */
  onPing(openStreams: number, nowMs: number): void {
    const sinceMs = nowMs - this.#lastPingMs;
    this.#lastPingMs = nowMs;
    if (this.#sentSincePing) {
      this.#sentSincePing = false;
      this.#pingStrikes = 0;
      return;
    }
    const minMs = openStreams === 0 ? PING_IDLE_INTERVAL_MIN_MS : this.#pingIntervalMinMs;
    if (sinceMs < minMs) this.#pingStrikes++;
    if (this.#pingStrikes > PING_STRIKES_MAX) tooMuch("too_many_pings");
  }
}

function tooMuch(what: string): never {
  throw new ConnectionError(Http2Code.ENHANCE_YOUR_CALM, what);
}
