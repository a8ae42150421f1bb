/**
 * Cuts a stream's DATA into gRPC messages (gRPC over HTTP/2, "Length-Prefixed-Message": one byte
 * compressed flag, four bytes length). A message that lies whole in one DATA frame is handed over
 * where it lies; others are put together in a buffer that grows with what has come, not with what
 * was announced, so an announcement alone costs nothing. The announced length is judged first.
 */

import { freeLarge } from "../connection.ts";
import { MESSAGE_PREFIX_BYTES } from "../http2/sender.ts";
import type { MemoryAccount } from "../memory.ts";
import { GunzipError, gunzip } from "./gzip.ts";
import type { Failure } from "./server-call.ts";
import { GrpcCode } from "./status.ts";

/** Receives whole messages, borrowed. */
export interface MessageSink {
  onMessage(bytes: Uint8Array, start: number, end: number): void;
  /** True: wants no more messages. */
  readonly done: boolean;
}

export class MessageReader {
  readonly #bytesMax: number;
  readonly #gzip: boolean;
  readonly #memory: MemoryAccount | undefined;
  /** The prefix and content of the incomplete message. */
  #buffer: Buffer = Buffer.alloc(0);
  #length = 0;
  #announced = -1;

  /**
   * `gzip`: the peer declared grpc-encoding gzip, so messages may be compressed. `memory` is told
   * what is kept; whoever drops a reader clears it.
   */
  constructor(bytesMax: number, gzip: boolean, memory?: MemoryAccount) {
    this.#bytesMax = bytesMax;
    this.#gzip = gzip;
    this.#memory = memory;
  }

  /** Bytes kept of an incomplete message. */
  get held(): number {
    return this.#length;
  }

  /** Bytes that the incomplete message lacks, as far as known. */
  get needed(): number {
    if (this.#length === 0) return 0;
    if (this.#announced < 0) return MESSAGE_PREFIX_BYTES - this.#length;
    return MESSAGE_PREFIX_BYTES + this.#announced - this.#length;
  }

  /** Takes bytes[start, end), hands whole messages to `sink`; a failure ends the call. */
  take(bytes: Buffer, start: number, end: number, sink: MessageSink): Failure | undefined {
    let at = start;
    while (at < end && !sink.done) {
      const whole = this.#length === 0 && end - at >= MESSAGE_PREFIX_BYTES;
      if (whole) {
        const length = bytes.readUInt32BE(at + 1);
        const failure = this.#checkPrefix(bytes[at] as number, length);
        if (failure !== undefined) return failure;
        const next = at + MESSAGE_PREFIX_BYTES + length;
        if (next <= end) {
          const broken = this.#deliver(bytes, at, next, sink);
          if (broken !== undefined) return broken;
          at = next;
          continue;
        }
        this.#announced = length;
      }
      const taken = this.#collect(bytes, at, end, sink);
      if (typeof taken !== "number") return taken;
      at = taken;
    }
    return undefined;
  }

  /** Drops the incomplete message. */
  clear(): void {
    freeLarge(this.#forget());
  }

  /** The message is no longer this reader's. */
  #forget(): Buffer {
    const buffer = this.#buffer;
    this.#memory?.add(-buffer.length);
    this.#buffer = Buffer.alloc(0);
    this.#length = 0;
    this.#announced = -1;
    return buffer;
  }

  /** Adds to the incomplete message; returns where the next one starts. */
  #collect(bytes: Buffer, from: number, end: number, sink: MessageSink): number | Failure {
    let at = from;
    if (this.#announced < 0) {
      at = this.#keep(bytes, at, end, MESSAGE_PREFIX_BYTES);
      if (this.#length < MESSAGE_PREFIX_BYTES) return at;
      this.#announced = this.#buffer.readUInt32BE(1);
      const failure = this.#checkPrefix(this.#buffer[0] as number, this.#announced);
      if (failure !== undefined) return failure;
    }
    const size = MESSAGE_PREFIX_BYTES + this.#announced;
    at = this.#keep(bytes, at, end, size);
    if (this.#length < size) return at;
    const whole = this.#forget();
    return this.#deliver(whole, 0, size, sink) ?? at;
  }

  /** Copies from bytes[from, end) until the buffer holds `size`; returns what follows. */
  #keep(bytes: Buffer, from: number, end: number, size: number): number {
    const to = Math.min(end, from + size - this.#length);
    const length = this.#length + to - from;
    if (length > this.#buffer.length) {
      const room = Math.min(size, Math.max(64, length * 2));
      const grown = Buffer.allocUnsafeSlow(Math.max(room, length));
      this.#buffer.copy(grown, 0, 0, this.#length);
      this.#memory?.add(grown.length - this.#buffer.length);
      freeLarge(this.#buffer);
      this.#buffer = grown;
    }
    bytes.copy(this.#buffer, this.#length, from, to);
    this.#length = length;
    return to;
  }

  #checkPrefix(flag: number, length: number): Failure | undefined {
    if (flag > 1) {
      const message = `grpc: received unexpected payload format ${flag}`;
      return { code: GrpcCode.INTERNAL, message };
    }
    if (flag === 1 && !this.#gzip) {
      const message = "grpc: compressed flag set with identity or empty encoding";
      return { code: GrpcCode.INTERNAL, message };
    }
    return length > this.#bytesMax ? tooLarge(length, this.#bytesMax) : undefined;
  }

  #deliver(bytes: Buffer, at: number, next: number, sink: MessageSink): Failure | undefined {
    const start = at + MESSAGE_PREFIX_BYTES;
    if (bytes[at] === 0) {
      sink.onMessage(bytes, start, next);
      return undefined;
    }
    const plain = this.#unpack(bytes, start, next);
    if (!(plain instanceof Uint8Array)) return plain;
    sink.onMessage(plain, 0, plain.length);
    return undefined;
  }

  #unpack(bytes: Buffer, start: number, end: number): Uint8Array | Failure {
    try {
      return gunzip(bytes, start, end, this.#bytesMax);
    } catch (error) {
      if (!(error instanceof GunzipError)) throw error;
      if (error.fault === "large") return tooLarge(this.#bytesMax + 1, this.#bytesMax);
      const code = error.fault === "bomb" ? GrpcCode.RESOURCE_EXHAUSTED : GrpcCode.INTERNAL;
      return { code, message: `grpc: failed to decompress: ${error.message}` };
    }
  }
}

/** grpc-go's text; etcd's clients compare it. */
export function tooLarge(bytes: number, bytesMax: number): Failure {
  const message = `grpc: received message larger than max (${bytes} vs. ${bytesMax})`;
  return { code: GrpcCode.RESOURCE_EXHAUSTED, message };
}
