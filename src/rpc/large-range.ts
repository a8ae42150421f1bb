/**
 * A large RangeResponse, made in pieces between turns: encoding and copying thirty megabytes in
 * one go held every other client up for forty milliseconds. The size is known before the first
 * byte goes, since key values are copied as they are stored; nothing is encoded while the client
 * does not take what was sent.
 */
import { EMPTY_BYTES } from "../base/bytes.ts";
import { AetherError } from "../base/errors.ts";
import { type Turn, TurnPhase } from "../base/turn.ts";
import { KIB } from "../base/units.ts";
import type { HeaderEncoder } from "../proto/hot/header.ts";
import { putDelimited, sizeOfDelimited } from "../proto/hot/responses.ts";
import { putNumber, sizeOfNumber } from "../proto/writer.ts";
import type { RangeResult } from "../state/results.ts";
import type { ServerCall } from "../wire/grpc/server-call.ts";
import { GrpcCode } from "../wire/grpc/status.ts";
import { continueScratch, fail, scratch } from "./answer.ts";
import type { LargeRead } from "./large-reads.ts";

/** Answers from this size on are made in pieces of this size: some 100 µs of copying. */
export const PIECE_BYTES = 256 * KIB;

/** RangeResponse.kvs, more and count, as tags. */
const KVS_TAG = 0x12;
const MORE_TAG = 0x18;
const COUNT_TAG = 0x20;

/**
 * The largest message that etcd's server sends and that its clients take (gRPC for Go: an int32);
 * twice that would not fit the prefix of a message any more.
 */
const MESSAGE_BYTES_MAX = 2 ** 31 - 1;

/** Bytes of the key values as fields of the response. */
export function sizeOfKvs({ kvs }: RangeResult): number {
  let size = 0;
  for (let i = 0; i < kvs.length; i++) size += sizeOfDelimited((kvs[i] as Uint8Array).length);
  return size;
}

/** Sends one large answer and ends its call. */
export class LargeRange {
  readonly #call: ServerCall;
  readonly #turn: Turn;
  readonly #result: RangeResult;
  readonly #kvs: Uint8Array[];
  readonly #read: LargeRead;
  readonly #step = (): void => this.#send();
  /** The encoded header: the first field of the first piece. */
  #head = EMPTY_BYTES;
  #next = 0;
  #scheduled = false;

  /** Key values are let go as they are sent, and `read` with the last of them. */
  constructor(call: ServerCall, turn: Turn, result: RangeResult, read: LargeRead) {
    this.#call = call;
    this.#turn = turn;
    this.#result = result;
    this.#kvs = [...result.kvs];
    this.#read = read;
    read.onCut = () => this.#cut();
  }

  /** `kvsBytes` is sizeOfKvs() of the result. */
  begin(header: HeaderEncoder, kvsBytes: number): void {
    const { more, count } = this.#result;
    const size = header.size + kvsBytes + (more ? 2 : 0) + 1 + sizeOfNumber(count);
    if (size > MESSAGE_BYTES_MAX) {
      const bounds = `(${size} vs. ${MESSAGE_BYTES_MAX})`;
      const message = `grpc: trying to send message larger than max ${bounds}`;
      this.#read.end();
      this.#call.fail(GrpcCode.RESOURCE_EXHAUSTED, message);
      return;
    }
    this.#head = new Uint8Array(header.size);
    header.put(this.#head, 0);
    this.#call.beginReply(size, this.#step);
    this.#send();
  }

  /** Others need the memory, and this client takes nothing. */
  #cut(): void {
    this.#next = Number.POSITIVE_INFINITY;
    this.#kvs.length = 0;
    fail(this.#call, new AetherError("too_many_requests", "an answer that nobody reads"));
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#turn.after(TurnPhase.READ, () => {
      this.#scheduled = false;
      this.#send();
    });
  }

  /** One piece; the next follows in another turn, or when the client has taken some. */
  #send(): void {
    const call = this.#call;
    const count = this.#kvs.length;
    if (call.cancelled) {
      this.#read.end();
      fail(call, new AetherError("canceled"));
      return;
    }
    if (!call.writable || this.#next > count) return;
    this.#encode();
    this.#read.release(scratch.length);
    if (this.#next > count) this.#read.end();
    continueScratch(call);
    if (this.#next <= count && call.writable) this.#schedule();
  }

  #encode(): void {
    const { more, count } = this.#result;
    const kvs = this.#kvs;
    if (this.#next === 0) scratch.append(this.#head);
    while (this.#next < kvs.length && scratch.length < PIECE_BYTES) {
      const kv = kvs[this.#next] as Uint8Array;
      kvs[this.#next++] = EMPTY_BYTES;
      const at = scratch.reserve(sizeOfDelimited(kv.length));
      putDelimited(scratch.bytes, at, KVS_TAG, kv);
    }
    if (this.#next < kvs.length) return;
    this.#next++; // past the end: the last piece is made
    if (more) {
      scratch.u8(MORE_TAG);
      scratch.u8(1);
    }
    scratch.u8(COUNT_TAG);
    putNumber(scratch.bytes, scratch.reserve(sizeOfNumber(count)), count);
  }
}
