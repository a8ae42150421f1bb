/**
 * Keeps one lease alive: a renewal every third of its TTL, over whatever connection there is.
 * Two renewals may be lost before the lease is in danger. After a disconnect it tries again until
 * the TTL since the last confirmed renewal has passed; the server may then have ended the lease, so
 * whoever relies on it must stop: `ended` rejects.
 */
import {
  Lease,
  LeaseKeepAliveRequest,
  type LeaseKeepAliveResponse,
} from "../proto/gen/etcdserverpb.ts";
import { GrpcCode } from "../wire/grpc/status.ts";
import type { Channel } from "./channel.ts";
import { GrpcError } from "./grpc-error.ts";
import { retryPauseMs } from "./retry.ts";
import { sleep } from "./waiting.ts";

/** Before the first answer nothing is known of the TTL; the shortest lease has one second. */
const FIRST_TTL_MS = 1_000;

export interface LeaseKeeperOptions {
  /** Called after each confirmed renewal with the TTL in seconds. */
  readonly onRenewed?: (ttlSeconds: number) => void;
  /** The TTL that the grant said, in seconds; bounds the time without an answer at the start. */
  readonly ttlSeconds?: number;
}

export class LeaseKeeper {
  readonly id: bigint;
  /**
   * Settles when nothing is renewed any more: resolves after close(), rejects with GrpcError
   * NOT_FOUND when the lease does not exist, UNAVAILABLE when it could not be renewed in its TTL,
   * or the server's refusal.
   */
  readonly ended: Promise<void>;
  readonly #channel: Channel;
  readonly #options: LeaseKeeperOptions;
  readonly #closing = new AbortController();
  readonly #signal: AbortSignal;
  #ttlMs: number;
  #deadlineMs: number;

  /** Use EtcdClient.keepAlive(). */
  constructor(channel: Channel, id: bigint, options: LeaseKeeperOptions = {}) {
    this.id = id;
    this.#channel = channel;
    this.#options = options;
    this.#signal = AbortSignal.any([this.#closing.signal, channel.closing]);
    this.#ttlMs = options.ttlSeconds === undefined ? FIRST_TTL_MS : options.ttlSeconds * 1000;
    this.#deadlineMs = channel.nowMs() + Math.max(this.#ttlMs, FIRST_TTL_MS);
    this.ended = this.#run();
    this.ended.catch(() => undefined); // whoever cares asks; nobody must
  }

  /** Stops renewing; the lease then ends after its TTL unless it is revoked. */
  close(): void {
    this.#closing.abort();
  }

  async #run(): Promise<void> {
    for (let failures = 0; !this.#signal.aborted; failures++) {
      try {
        await this.#renewOnStream(() => {
          failures = 0;
        });
      } catch (error) {
        if (this.#signal.aborted) return;
        if (!passing(error) || this.#leftMs() <= 0) throw error;
      }
      const ms = retryPauseMs(failures + 1, 1, this.#channel.random);
      await sleep(ms, this.#signal).catch(() => undefined); // aborted: the loop sees it
    }
  }

  /** Renews on one stream until it breaks or we are closed; always throws. */
  async #renewOnStream(onAnswer: () => void): Promise<never> {
    const stream = this.#channel.open(Lease.LeaseKeepAlive, { signal: this.#signal });
    try {
      for (;;) {
        const sentMs = this.#channel.nowMs();
        stream.send(LeaseKeepAliveRequest.create({ ID: this.id }));
        const silence = setTimeout(() => stream.fail(silent()), Math.max(this.#leftMs(), 1));
        const answer = await stream.next().finally(() => clearTimeout(silence));
        if (answer.done === true) throw silent();
        this.#renewed(answer.value, sentMs);
        onAnswer();
        await sleep(this.#ttlMs / 3, this.#signal);
      }
    } finally {
      stream.cancel();
    }
  }

  /** How long the lease surely lives. */
  #leftMs(): number {
    return this.#deadlineMs - this.#channel.nowMs();
  }

  /** The server counts the TTL from some time after `sentMs`. */
  #renewed(answer: LeaseKeepAliveResponse, sentMs: number): void {
    if (answer.TTL <= 0) {
      throw new GrpcError(GrpcCode.NOT_FOUND, "etcdserver: requested lease not found");
    }
    this.#ttlMs = answer.TTL * 1000;
    this.#deadlineMs = sentMs + this.#ttlMs;
    this.#options.onRenewed?.(answer.TTL);
  }
}

/** A failure that another stream may not meet. */
function passing(error: unknown): boolean {
  if (!(error instanceof GrpcError)) return false;
  return error.code === GrpcCode.UNAVAILABLE || error.code === GrpcCode.INTERNAL;
}

function silent(): GrpcError {
  return new GrpcError(GrpcCode.UNAVAILABLE, "the server does not answer renewals");
}
