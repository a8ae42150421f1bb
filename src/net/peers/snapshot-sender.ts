/**
 * Sends one copy of the state to one peer, over connections of its own: as many attempts as it
 * takes while they make progress. The receiver says where each begins.
 *
 *   offer ─▶ offset ─▶ chunk, chunk, … (throttled, at most CHUNKS_WAITING_MAX unanswered) ─▶ done
 */

import { assert } from "../../base/assert.ts";
import { ByteWriter } from "../../base/bytes.ts";
import { crc32 } from "../../base/crc32.ts";
import { AetherError } from "../../base/errors.ts";
import type { Random } from "../../base/ports.ts";
import { DecodeError } from "../../proto/decode-error.ts";
import { AetherPeer, SnapshotPart, SnapshotProgress, Stage } from "../../proto/gen/aether.v1.ts";
import type { SnapshotMessage } from "../../raft/message.ts";
import type { Metadata } from "../../wire/grpc/metadata.ts";
import { GrpcCode } from "../../wire/grpc/status.ts";
import { Backoff } from "./backoff.ts";
import { type ConnectionEvents, type ConnectionSettings, PeerConnection } from "./connection.ts";
import { ERROR_FIELD, errorOf } from "./error-text.ts";
import { encodeMessage } from "./message-codec.ts";
import type { SnapshotSource } from "./ports.ts";
import {
  CHUNK_BYTES,
  CHUNKS_WAITING_MAX,
  FRUITLESS_ATTEMPTS_MAX,
  STALL_MS_MAX,
} from "./snapshot-limits.ts";
import type { Throttle } from "./throttle.ts";
import { Wakeup } from "./wakeup.ts";

/** A snapshot on its way. */
export interface SnapshotTransfer {
  /**
   * Resolves when the receiver has taken the copy over. Rejects with AetherError: "canceled",
   * "unhealthy" after too many attempts, or what the receiver refused with; or with what the source
   * failed with. The source is not read after that.
   */
  readonly done: Promise<void>;
  /** Bytes that the receiver has. */
  readonly offset: number;
  /** Gives it up; the receiver keeps what it has. */
  cancel(): void;
}

export interface SnapshotSenderOptions {
  readonly group: number;
  readonly message: SnapshotMessage;
  readonly source: SnapshotSource;
  /** Of the peer, now; undefined if it is no member any more. */
  readonly urls: () => readonly string[] | undefined;
  readonly fields: readonly string[];
  readonly connection: ConnectionSettings;
  readonly throttle: Throttle;
  readonly random: Random;
}

/** How an attempt failed. `final`: another one would fail too. */
interface Failure {
  readonly error: AetherError;
  readonly final: boolean;
}

/** Answers after which another attempt may go better. */
const PASSING: readonly GrpcCode[] = [
  GrpcCode.OK,
  GrpcCode.CANCELLED,
  GrpcCode.UNKNOWN,
  GrpcCode.DEADLINE_EXCEEDED,
  GrpcCode.INTERNAL,
  GrpcCode.UNAVAILABLE,
  GrpcCode.DATA_LOSS,
];

export class SnapshotSender implements SnapshotTransfer, ConnectionEvents {
  readonly done: Promise<void>;
  readonly #options: SnapshotSenderOptions;
  readonly #wakeup = new Wakeup();
  readonly #scratch = new ByteWriter(CHUNK_BYTES + 1024);
  #connection: PeerConnection | undefined;
  #stage: Stage | undefined;
  #offset = 0;
  #failure: Failure | undefined;
  #canceled = false;

  /** Begins at once. */
  constructor(options: SnapshotSenderOptions) {
    this.#options = options;
    this.done = this.#run();
  }

  get offset(): number {
    return this.#offset;
  }

  cancel(): void {
    if (this.#canceled) return;
    this.#canceled = true;
    this.#failed(new AetherError("canceled"), true);
  }

  onMessage(bytes: Uint8Array, start: number, end: number): boolean {
    let progress: SnapshotProgress;
    try {
      progress = SnapshotProgress.decode(bytes, start, end);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      return false;
    }
    if (progress.offset > this.#options.source.size) return false;
    this.#stage = progress.stage as Stage;
    if (progress.stage !== Stage.GREETING) this.#offset = progress.offset;
    this.#wakeup.notify();
    return true;
  }

  onDrain(): void {
    this.#wakeup.notify();
  }

  onOver(reason: string, code: GrpcCode, trailers: Metadata): void {
    const error = errorOf(trailers.get(ERROR_FIELD) ?? "unhealthy", reason);
    this.#failed(error, !PASSING.includes(code));
  }

  async #run(): Promise<void> {
    const backoff = new Backoff(this.#options.random);
    let fruitless = 0;
    for (let attempt = 0; ; attempt++) {
      const before = this.#offset;
      try {
        if (await this.#attempt(attempt)) return;
      } finally {
        this.#connection?.close();
      }
      const failure = this.#failure as Failure;
      fruitless = this.#offset > before ? 0 : fruitless + 1;
      if (failure.final || fruitless >= FRUITLESS_ATTEMPTS_MAX) throw failure.error;
      this.#failure = undefined;
      await this.#pause(backoff.nextMs());
    }
  }

  /** One connection; false with #failure set if it did not bring the copy over. */
  async #attempt(attempt: number): Promise<boolean> {
    if (!this.#connect(attempt)) return false;
    while (this.#stage !== Stage.GREETING && this.#failure === undefined) await this.#wait();
    if (this.#failure !== undefined) return false;
    this.#sendOffer();
    while (this.#stage === Stage.GREETING && this.#failure === undefined) await this.#wait();
    await this.#sendChunks();
    this.#connection?.halfClose();
    // What follows is the receiver's work on a state of any size; keepalive sees whether it lives.
    while (this.#stage !== Stage.INSTALLED && this.#failure === undefined) {
      await this.#wakeup.wait();
    }
    return this.#stage === Stage.INSTALLED;
  }

  #connect(attempt: number): boolean {
    if (this.#failure !== undefined) return false; // canceled meanwhile
    const { urls, fields, connection } = this.#options;
    const known = urls();
    if (known === undefined) {
      this.#failed(new AetherError("member_not_found", "the peer is no member any more"), true);
      return false;
    }
    const url = known[attempt % known.length] as string;
    this.#stage = undefined;
    this.#connection = new PeerConnection(connection, url, AetherPeer.Snapshot.path, fields, this);
    this.#connection.start();
    return true;
  }

  #sendOffer(): void {
    const { group, message, source } = this.#options;
    const out = new ByteWriter(256);
    encodeMessage(message, out);
    const { size, sha256 } = source;
    this.#send({ offer: { group, message: out.copy(), size, sha256 }, chunk: undefined });
  }

  async #sendChunks(): Promise<void> {
    const { source, throttle, connection } = this.#options;
    let sent = this.#offset;
    while (sent < source.size && this.#failure === undefined) {
      const waiting = sent - this.#offset > (CHUNKS_WAITING_MAX - 1) * CHUNK_BYTES;
      if (waiting || this.#connection?.writable !== true) {
        await this.#wait();
        continue;
      }
      const length = Math.min(CHUNK_BYTES, source.size - sent);
      await this.#pause(throttle.take(length, connection.timers.nowMs()));
      const data = await source.read(sent, length);
      assert(data.length === length, "a source gives what it is asked for");
      if (this.#failure !== undefined) return;
      this.#send({ offer: undefined, chunk: { offset: sent, data, crc: crc32(data) } });
      sent += length;
    }
  }

  #send(part: SnapshotPart): void {
    const scratch = this.#scratch;
    scratch.reset();
    SnapshotPart.encode(part, scratch);
    this.#connection?.send(scratch);
  }

  /** Waits for news of the connection, or gives the attempt up. */
  async #wait(): Promise<void> {
    const cancel = this.#options.connection.timers.after(STALL_MS_MAX, () => {
      this.#failed(new AetherError("unhealthy", "the receiver makes no progress"), false);
    });
    await this.#wakeup.wait();
    cancel();
  }

  /** Waits for `ms`, or for the end of the attempt. */
  async #pause(ms: number): Promise<void> {
    if (ms <= 0) return;
    let over = false;
    const cancel = this.#options.connection.timers.after(ms, () => {
      over = true;
      this.#wakeup.notify();
    });
    while (!over && this.#failure === undefined) await this.#wakeup.wait();
    cancel();
  }

  /** The first failure of an attempt counts, but a cancellation always does. */
  #failed(error: AetherError, final: boolean): void {
    if (this.#failure !== undefined && !this.#canceled) return;
    this.#failure = { error, final };
    this.#wakeup.notify();
  }
}
