/**
 * RangeStream (etcd 3.7): a large range in chunks at one pinned revision. Chunks hold key values
 * only; header, more and count come with the last. The chunk size doubles while the client keeps
 * up, to at most the request limit, and nothing is read while the client does not. A stream holds
 * its revision against compaction, so a client that takes nothing for a minute loses it.
 */

import { ByteWriter } from "../base/bytes.ts";
import { AetherError } from "../base/errors.ts";
import { type Turn, TurnPhase } from "../base/turn.ts";
import { KIB, MIB } from "../base/units.ts";
import type { HeaderEncoder } from "../proto/hot/header.ts";
import { encodeRangeResponse } from "../proto/hot/responses.ts";
import type { RangeCursor } from "../state/range.ts";
import type { ServerCall } from "../wire/grpc/server-call.ts";
import { GrpcCode } from "../wire/grpc/status.ts";
import { fail, scratch, sendScratch } from "./answer.ts";

/** The first chunk's keys (etcd's 10), so that the first answer comes at once. */
const FIRST_KEYS = 10;
const KEYS_MAX = 1000;
const CHUNK_BYTES = 1 * MIB;

/** As long as any other answer may stand still (wire/http2/limits.ts). */
const STALL_MS = 60_000;

/** RangeStreamResponse.range_response, delimited. */
const RANGE_RESPONSE_TAG = 0x0a;

/** A header that is not there: chunks before the last have none. */
const noHeader = { size: 0, put: (_bytes: Uint8Array, at: number): number => at };

const inner = new ByteWriter(64 * KIB);

export class RangeStreamSender {
  readonly #call: ServerCall;
  readonly #turn: Turn;
  readonly #header: () => HeaderEncoder;
  #cursor: RangeCursor | undefined;
  #keys = FIRST_KEYS;
  #scheduled = false;
  /** What the client had not taken when we looked last, and since when that is so. */
  #unreadBytes = -1;
  #unreadSinceMs = 0;

  constructor(call: ServerCall, turn: Turn, header: () => HeaderEncoder) {
    this.#call = call;
    this.#turn = turn;
    this.#header = header;
  }

  /** Nothing more is to be sent, or nothing has begun. */
  get idle(): boolean {
    return this.#cursor === undefined;
  }

  /** Ends a stream whose client has taken nothing for STALL_MS; to be called now and then. */
  tick(nowMs: number): void {
    const { writable, queuedBytes } = this.#call;
    if (writable || queuedBytes !== this.#unreadBytes) {
      this.#unreadBytes = queuedBytes;
      this.#unreadSinceMs = nowMs;
    } else if (nowMs - this.#unreadSinceMs >= STALL_MS) {
      this.cancel();
      this.#call.fail(GrpcCode.CANCELLED, "the answer was not read for a minute");
    }
  }

  /** The store's revision when the stream began. */
  get revision(): number {
    return this.#cursor?.revision ?? 0;
  }

  begin(cursor: RangeCursor): void {
    this.#cursor = cursor;
    this.#step();
  }

  resume(): void {
    this.#schedule();
  }

  cancel(): void {
    this.#cursor?.close();
    this.#cursor = undefined;
  }

  #schedule(): void {
    if (this.#scheduled || this.#cursor === undefined) return;
    this.#scheduled = true;
    this.#turn.after(TurnPhase.READ, () => {
      this.#scheduled = false;
      this.#step();
    });
  }

  #step(): void {
    const cursor = this.#cursor;
    if (cursor === undefined || !this.#call.writable) return; // cancelled, or onDrain resumes
    try {
      const done = cursor.step(this.#keys, CHUNK_BYTES);
      this.#keys = Math.min(2 * this.#keys, KEYS_MAX);
      const kvs = cursor.take();
      if (done) this.#sendLast(cursor, kvs);
      else {
        if (kvs.length > 0) this.#send(noHeader, kvs, false, 0);
        this.#schedule();
      }
    } catch (error) {
      if (!(error instanceof AetherError)) throw error;
      this.cancel();
      fail(this.#call, error);
    }
  }

  #sendLast(cursor: RangeCursor, kvs: readonly Uint8Array[]): void {
    const { more, count } = cursor;
    const header = this.#header();
    this.cancel();
    this.#send(header, kvs, more, count);
    this.#call.finish();
  }

  #send(
    header: Pick<HeaderEncoder, "size" | "put">,
    kvs: readonly Uint8Array[],
    more: boolean,
    count: number,
  ): void {
    encodeRangeResponse(header as HeaderEncoder, kvs, more, count, inner);
    scratch.u8(RANGE_RESPONSE_TAG);
    let rest = inner.length;
    for (; rest >= 128; rest = Math.floor(rest / 128)) scratch.u8((rest % 128) + 128);
    scratch.u8(rest);
    scratch.append(inner.view());
    inner.reset();
    sendScratch(this.#call);
  }
}
