/**
 * Snapshot: the whole state as etcd's database, in chunks of 32 KiB, then its SHA-256 in a message
 * of its own (etcd server/etcdserver/api/v3rpc/maintenance.go). No chunk has a header; each says
 * how much is left. The file is made first, then sent at the client's pace: nothing is held in
 * memory but a block of it, and nothing is read while the client does not take what there is.
 */
import { AetherError } from "../base/errors.ts";
import { KIB, MIB } from "../base/units.ts";
import { AetherMaintenance } from "../proto/gen/aether.v1.ts";
import { Maintenance, SnapshotRequest, SnapshotResponse } from "../proto/gen/etcdserverpb.ts";
import type { Method, ServerCall, StreamHandler } from "../wire/grpc/server-call.ts";
import { decodeRequest, fail, send } from "./answer.ts";
import { oneRequest } from "./one-request.ts";

/** etcd's snapshotSendBufferSize. */
const CHUNK_BYTES = 32 * KIB;

/** Read at once: a wait for the disk is worth many chunks. */
const BLOCK_BYTES = MIB;

/** As long as any other answer may stand still (wire/http2/limits.ts). */
const STALL_MS = 60_000;

/** A finished snapshot in a file of its own, which is gone after close(). */
export interface SnapshotSpool {
  readonly bytes: number;
  /** The storage version that it says of itself, as in "3.7.0". */
  readonly version: string;
  /** The bytes [at, at + length), less at the end; the caller's. Rejects with AetherError. */
  read(at: number, length: number): Promise<Uint8Array>;
  close(): void;
}

export interface SnapshotSpools {
  /**
   * Makes a snapshot of what is applied now, or later. `done` runs once, unless the function that
   * is returned was called before: that gives it up.
   */
  take(done: (made: SnapshotSpool | AetherError) => void): () => void;
}

export class SnapshotService {
  readonly #spools: SnapshotSpools;
  readonly #sending = new Set<SnapshotSender>();

  constructor(spools: SnapshotSpools) {
    this.#spools = spools;
  }

  methods(): Method[] {
    const stream = (call: ServerCall): StreamHandler => {
      let sender: SnapshotSender | undefined;
      return oneRequest(call, {
        onRequest: (...request) => {
          decodeRequest(SnapshotRequest, ...request);
          sender = this.#begin(call);
        },
        onEnd: () => sender?.release(),
        onDrain: () => sender?.pump(),
      });
    };
    return [
      { path: Maintenance.Snapshot.path, stream },
      { path: AetherMaintenance.Snapshot.path, stream }, // the same messages
    ];
  }

  #begin(call: ServerCall): SnapshotSender {
    const sender = new SnapshotSender(call, () => this.#sending.delete(sender));
    this.#sending.add(sender);
    sender.begin(this.#spools);
    return sender;
  }

  /** Snapshots that are made or sent. */
  get underWay(): number {
    return this.#sending.size;
  }

  /** Ends streams whose clients take nothing. */
  tick(nowMs: number): void {
    for (const sender of this.#sending) sender.tick(nowMs);
  }

  /** The server ends. */
  close(reason: AetherError): void {
    for (const sender of this.#sending) sender.end(reason);
  }
}

class SnapshotSender {
  readonly #call: ServerCall;
  readonly #onEnd: () => void;
  readonly #hasher = new Bun.CryptoHasher("sha256");
  #giveUp: (() => void) | undefined;
  #spool: SnapshotSpool | undefined;
  #block: Uint8Array = new Uint8Array(0);
  /** Of the block, what was sent; and of the file. */
  #taken = 0;
  #sent = 0;
  #reading = false;
  #ended = false;
  /** What the client had not taken when we looked last, and since when that is so. */
  #unreadBytes = -1;
  #unreadSinceMs = 0;

  constructor(call: ServerCall, onEnd: () => void) {
    this.#call = call;
    this.#onEnd = onEnd;
  }

  begin(spools: SnapshotSpools): void {
    this.#giveUp = spools.take((made) => {
      this.#giveUp = undefined;
      if (made instanceof AetherError) this.end(made);
      else {
        this.#spool = made;
        this.pump();
      }
    });
  }

  /** Ends a stream whose client has taken nothing for STALL_MS; to be called now and then. */
  tick(nowMs: number): void {
    const { writable, queuedBytes } = this.#call;
    if (this.#spool === undefined || writable || queuedBytes !== this.#unreadBytes) {
      this.#unreadBytes = queuedBytes;
      this.#unreadSinceMs = nowMs;
    } else if (nowMs - this.#unreadSinceMs >= STALL_MS) {
      this.end(new AetherError("canceled", "the snapshot was not read for a minute"));
    }
  }

  end(reason: AetherError): void {
    if (this.#ended) return;
    this.release();
    fail(this.#call, reason);
  }

  /** Sends what the client takes; goes on with onDrain, or when the next block is read. */
  pump(): void {
    const spool = this.#spool;
    if (spool === undefined || this.#reading) return;
    while (this.#taken < this.#block.length) {
      if (!this.#call.writable) return;
      this.#sendChunk(spool);
    }
    if (this.#sent < spool.bytes) void this.#readOn(spool);
    else this.#finish(spool);
  }

  #sendChunk(spool: SnapshotSpool): void {
    const blob = this.#block.subarray(this.#taken, this.#taken + CHUNK_BYTES);
    this.#taken += blob.length;
    this.#sent += blob.length;
    this.#hasher.update(blob);
    this.#send(spool, blob, spool.bytes - this.#sent);
  }

  #send({ version }: SnapshotSpool, blob: Uint8Array, remainingBytes: number): void {
    send(this.#call, SnapshotResponse, { header: undefined, remainingBytes, blob, version });
  }

  async #readOn(spool: SnapshotSpool): Promise<void> {
    this.#reading = true;
    try {
      this.#block = await spool.read(this.#sent, BLOCK_BYTES);
      this.#taken = 0;
      this.#reading = false;
      this.pump();
    } catch (error) {
      if (!(error instanceof AetherError)) throw error;
      this.end(error);
    }
  }

  #finish(spool: SnapshotSpool): void {
    this.#send(spool, this.#hasher.digest(), 0);
    this.release();
    this.#call.finish();
  }

  /** The call is over: nothing is made or kept for it any more. */
  release(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#giveUp?.();
    this.#giveUp = undefined;
    this.#spool?.close();
    this.#spool = undefined;
    this.#onEnd();
  }
}
