/**
 * The receiving end of a snapshot. What arrives is written chunk by chunk and kept when the stream
 * breaks, under the hash of the whole: the next offer of the same hash begins where this one ended.
 *
 *   greeting ─▶ offer ─▶ (hash what is kept) ─▶ offset ─▶ chunks ─▶ hash fits ─▶ install ─▶ done
 *                              └── broken off: keep ──┘      └── does not: discard
 *
 * Invariants
 *   S1  nothing is installed whose hash is not the one that was offered
 *   S2  of a group at most one sink is open: a newer offer waits until the older one's is closed
 *   S3  a copy whose last answer was lost is not installed again when it is offered again
 *   S4  at most CHUNKS_WAITING_MAX chunks wait for the sink; a sender that sends more is cut off
 */

import { AssertionError } from "../../base/assert.ts";
import type { ByteWriter } from "../../base/bytes.ts";
import { crc32 } from "../../base/crc32.ts";
import { AetherError } from "../../base/errors.ts";
import type { Log } from "../../base/ports.ts";
import { DecodeError } from "../../proto/decode-error.ts";
import {
  type PeerHello,
  type SnapshotChunk,
  type SnapshotOffer,
  SnapshotPart,
  SnapshotProgress,
  Stage,
} from "../../proto/gen/aether.v1.ts";
import type { MemberId } from "../../raft/types.ts";
import type { ServerCall, StreamHandler } from "../../wire/grpc/server-call.ts";
import { GrpcCode } from "../../wire/grpc/status.ts";
import { type Admitted, openSeal } from "./admission.ts";
import { failCall } from "./calls.ts";
import { decodeMessages } from "./message-codec.ts";
import type { SnapshotNews, SnapshotSink, SnapshotStore } from "./ports.ts";
import { PeerRefusal, type RefusalReason } from "./refusal.ts";
import type { CallSeals } from "./seal.ts";
import {
  CHUNK_BYTES,
  CHUNK_BYTES_MAX,
  CHUNKS_WAITING_MAX,
  SNAPSHOT_ROOM,
} from "./snapshot-limits.ts";
import { Wakeup } from "./wakeup.ts";

export interface SnapshotReceiverOptions {
  readonly store: SnapshotStore;
  readonly log: Log;
  /** For answers; shared. */
  readonly scratch: ByteWriter;
  readonly onRefused: (reason: RefusalReason, detail: string) => void;
  /** The offer came: ends the receiver of the same group, if there is one, and names it. */
  readonly onOffer: (receiver: SnapshotReceiver, group: number) => SnapshotReceiver | undefined;
  /** This copy is the last that was installed for its group, in this process. */
  readonly isInstalled: (news: SnapshotNews) => boolean;
  readonly onInstalled: (news: SnapshotNews) => void;
  readonly onEnd: (receiver: SnapshotReceiver) => void;
}

export class SnapshotReceiver implements StreamHandler {
  readonly room = SNAPSHOT_ROOM;
  readonly hello: PeerHello;
  /** Resolves when the sink is closed (or handed over) and nothing is done any more. */
  readonly closed: Promise<void>;
  readonly #resolveClosed: () => void;
  readonly #call: ServerCall;
  /** Of the call; undefined where there is no secret. */
  readonly seals: CallSeals | undefined;
  readonly #options: SnapshotReceiverOptions;
  readonly #wakeup = new Wakeup();
  readonly #chunks: SnapshotChunk[] = [];
  #news: SnapshotNews | undefined;
  /** The offset of the next chunk; -1 before it was told. */
  #expected = -1;
  #over = false;

  /** Greets the caller. */
  constructor(call: ServerCall, { hello, seals }: Admitted, options: SnapshotReceiverOptions) {
    this.#call = call;
    this.hello = hello;
    this.seals = seals;
    this.#options = options;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.closed = promise;
    this.#resolveClosed = resolve;
    this.#answer(Stage.GREETING, 0);
  }

  get group(): number {
    return this.#news?.group ?? -1;
  }

  onMessage(bytes: Uint8Array, start: number, end: number): void {
    if (this.#over) return;
    try {
      const partEnd = openSeal(this.seals, bytes, start, end);
      const { offer, chunk } = SnapshotPart.decode(bytes, start, partEnd);
      if (offer !== undefined) this.#onOffer(offer);
      if (chunk !== undefined) this.#onChunk(chunk);
    } catch (error) {
      if (error instanceof PeerRefusal) this.refuse(error);
      else if (error instanceof DecodeError) {
        this.refuse(new PeerRefusal("malformed", error.message));
      } else throw error;
    }
  }

  onHalfClose(): void {
    // the sender has said all, and waits for the end of our work
  }

  onCancel(): void {
    this.#end();
  }

  onDrain(): void {
    // answers are few and small
  }

  /** Another offer of the same group takes its place; what is kept stays. */
  giveWay(): void {
    if (this.#end()) this.#call.fail(GrpcCode.ABORTED, "another snapshot of the group came");
  }

  /** We stop; what is kept stays, and the sender may try again. */
  stop(): void {
    if (this.#end()) this.#call.fail(GrpcCode.UNAVAILABLE, "the member stops");
  }

  /** Ends it with blame. */
  refuse(refusal: PeerRefusal): void {
    if (!this.#end()) return;
    this.#options.onRefused(refusal.reason, refusal.message);
    this.#call.fail(refusal.code, refusal.message, refusal.trailers);
  }

  #onOffer(offer: SnapshotOffer): void {
    if (this.#news !== undefined) throw new DecodeError("a second offer");
    const from = this.hello.fromMemberId as MemberId;
    const to = this.hello.toMemberId as MemberId;
    const [message, more] = decodeMessages(offer.message, 0, offer.message.length, from, to);
    if (message?.type !== "snapshot" || more !== undefined) {
      throw new DecodeError("an offer holds one snapshot message");
    }
    const { group, size, sha256 } = offer;
    if (sha256.length !== 32) throw new DecodeError("a hash has 32 bytes");
    if (!Number.isSafeInteger(group) || group < 0 || size < 0) {
      throw new DecodeError("a group or a size is out of range");
    }
    this.#news = { group, message, size, sha256 };
    const older = this.#options.onOffer(this, group);
    void this.#run(this.#news, older);
  }

  #onChunk(chunk: SnapshotChunk): void {
    const { offset, data, crc } = chunk;
    if (this.#news === undefined || offset !== this.#expected) {
      throw new DecodeError("a chunk out of its order");
    }
    if (data.length === 0 || data.length > CHUNK_BYTES_MAX) {
      throw new DecodeError("a chunk of no or too many bytes");
    }
    if (offset + data.length > this.#news.size) throw new DecodeError("more than was offered");
    if (crc32(data) !== crc) throw new PeerRefusal("corrupt", "a chunk's checksum does not fit");
    if (this.#chunks.length >= CHUNKS_WAITING_MAX) throw new DecodeError("too many chunks at once");
    this.#expected = offset + data.length;
    this.#chunks.push(chunk);
    this.#wakeup.notify();
  }

  /** From the offer to the end; owns the sink. Rejects with AssertionError only. */
  async #run(news: SnapshotNews, older: SnapshotReceiver | undefined): Promise<void> {
    let sink: SnapshotSink | undefined;
    try {
      await older?.closed; // S2
      if (this.#over) return;
      if (this.#options.isInstalled(news)) {
        this.#installed(news); // S3
        return;
      }
      sink = await this.#options.store.open(news);
      const fits = await this.#fill(news, sink);
      if (fits === undefined) return;
      if (!fits) {
        const spoilt = sink;
        sink = undefined;
        await spoilt.discard();
        const text = "the copy's hash is not the one offered: it begins anew";
        this.refuse(new PeerRefusal("corrupt", text));
        return;
      }
      const whole = sink;
      sink = undefined; // the callee's from here on
      await this.#options.store.install(news, whole);
      this.#options.onInstalled(news);
      this.#installed(news);
    } catch (error) {
      this.#fail(error);
    } finally {
      await this.#release(sink);
    }
  }

  #installed(news: SnapshotNews): void {
    this.#answer(Stage.INSTALLED, news.size);
    if (this.#end()) this.#call.finish();
  }

  /** Takes chunks until the copy is whole: whether its hash fits, or undefined if broken off. */
  async #fill(news: SnapshotNews, sink: SnapshotSink): Promise<boolean | undefined> {
    if (sink.length > news.size) return false;
    const hasher = new Bun.CryptoHasher("sha256");
    for (let at = 0; at < sink.length; at += CHUNK_BYTES) {
      hasher.update(await sink.read(at, Math.min(CHUNK_BYTES, sink.length - at)));
      if (this.#over) return undefined;
    }
    this.#expected = sink.length;
    this.#answer(Stage.RECEIVING, sink.length);
    while (sink.length < news.size) {
      const chunk = this.#chunks[0];
      if (chunk === undefined) {
        if (this.#over) return undefined;
        await this.#wakeup.wait();
        continue;
      }
      hasher.update(chunk.data);
      await sink.write(chunk.data);
      this.#chunks.shift(); // not before it is written: it counts as waiting until then
      this.#answer(Stage.RECEIVING, sink.length);
    }
    return Buffer.compare(hasher.digest(), news.sha256) === 0;
  }

  #fail(error: unknown): void {
    if (error instanceof AssertionError) throw error; // our own mistake: the process stops
    const failure = error instanceof AetherError ? error : new AetherError("unhealthy", "failed");
    const text = error instanceof Error ? error.message : String(error);
    if (failure.code === "corrupt") this.#options.onRefused("corrupt", text);
    else this.#options.log.warn("snapshot not taken", { group: this.group, reason: text });
    if (this.#end()) failCall(this.#call, failure);
  }

  async #release(sink: SnapshotSink | undefined): Promise<void> {
    try {
      await sink?.close();
    } catch (error) {
      this.#options.log.warn("snapshot copy not closed", { reason: String(error) });
    }
    this.#resolveClosed();
  }

  #answer(stage: Stage, offset: number): void {
    if (this.#over) return;
    const { scratch } = this.#options;
    scratch.reset();
    SnapshotProgress.encode({ stage, offset }, scratch);
    this.seals?.seal(scratch);
    this.#call.send(scratch.bytes, 0, scratch.length);
  }

  /** False if it was over already. The copy stays until #run sees it. */
  #end(): boolean {
    if (this.#over) return false;
    this.#over = true;
    this.#wakeup.notify();
    if (this.#news === undefined) this.#resolveClosed();
    this.#options.onEnd(this);
    return true;
  }
}
