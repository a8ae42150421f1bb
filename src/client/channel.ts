/**
 * A client's view of a cluster: several endpoints that all serve the same, one of which takes each
 * call. Round robin over those that are up; the others are dialed in the background with back-off,
 * and a call waits only when none is up. What failed without having been processed, and reads that
 * met UNAVAILABLE, are tried again elsewhere until the deadline (retry.ts has the rules).
 *
 * On a cold start every endpoint is dialed at once and the first that answers serves: a black hole
 * in the list costs nothing.
 */

import { ByteWriter } from "../base/bytes.ts";
import { AetherError } from "../base/errors.ts";
import type { Random } from "../base/ports.ts";
import { Prng } from "../base/prng.ts";
import { type Address, parseAddress } from "../net/address.ts";
import { Network } from "../net/network.ts";
import type { ClientTls } from "../net/tls.ts";
import type { MethodType } from "../proto/message.ts";
import type {
  ClientConnectionOptions,
  GrpcClientConnection,
} from "../wire/grpc/client-connection.ts";
import { NO_METADATA } from "../wire/grpc/metadata.ts";
import { GrpcCode } from "../wire/grpc/status.ts";
import { Duplex } from "./duplex.ts";
import { Endpoint } from "./endpoint.ts";
import { canceled, deadlineExceeded, GrpcError } from "./grpc-error.ts";
import { isRead, leaderOf, mayRetry, RETRY_TOTAL_MS_MAX, retryPauseMs } from "./retry.ts";
import { UnaryCall } from "./unary.ts";
import { sleep, within } from "./waiting.ts";

/** etcd's client gives a dial this long before it looks elsewhere. */
const DIAL_MS = 5_000;

/** Adds credentials to calls. */
export interface Authorizer {
  /** Flat header fields for a call to `path`. */
  fields(path: string): readonly string[];
  /** A call failed: true if new credentials were got and it should be tried again. */
  renew(failure: GrpcError): Promise<boolean>;
}

export interface ChannelOptions {
  /** "host:port", "http://…", "https://…", "unix:…"; at least one. */
  readonly endpoints: readonly string[];
  /** Makes bare endpoints secure, and says how to verify; https:// alone trusts the system. */
  readonly tls?: ClientTls;
  readonly dialTimeoutMs?: number;
  /** Shared with a server in the same process; by default one of its own. */
  readonly network?: Network;
  readonly random?: Random;
  /** User agent, keepalive, largest answer, gzip; see wire. */
  readonly connection?: Pick<
    ClientConnectionOptions,
    "userAgent" | "keepaliveMs" | "keepaliveTimeoutMs" | "receiveBytesMax" | "gzip"
  >;
}

export interface CallOptions {
  /** From now; none by default, and then retries end after 10 s. */
  readonly timeoutMs?: number;
  /** Flat field list, names in lower case. */
  readonly metadata?: readonly string[];
  readonly signal?: AbortSignal;
}

const NO_FIELDS: readonly string[] = [];

export class Channel {
  readonly #network: Network;
  readonly #random: Random;
  readonly #endpoints: Endpoint[];
  readonly #scratch = new ByteWriter(1024);
  readonly #closing = new AbortController();
  #next = 0;
  /** Calls that were tried again, for metrics. */
  retries = 0;
  /** Credentials of every call; set it before the first. */
  authorizer: Authorizer | undefined;

  /** Throws AetherError invalid_argument for an endpoint that is no address. */
  constructor(options: ChannelOptions) {
    this.#network = options.network ?? new Network();
    this.#random = options.random ?? new Prng(crypto.getRandomValues(new Uint32Array(1))[0] ?? 1);
    const shared = {
      network: this.#network,
      random: this.#random,
      connection: options.connection ?? {},
      tls: options.tls,
      dialTimeoutMs: options.dialTimeoutMs ?? DIAL_MS,
    };
    this.#endpoints = options.endpoints.map((text) => {
      const address: Address = parseAddress(text, options.tls !== undefined);
      return new Endpoint(address, shared);
    });
    if (this.#endpoints.length === 0) {
      throw new AetherError("invalid_argument", "a channel needs an endpoint");
    }
  }

  get endpoints(): readonly string[] {
    return this.#endpoints.map((endpoint) => endpoint.text);
  }

  /** Monotonic milliseconds, for whoever keeps time beside the channel. */
  nowMs(): number {
    return this.#network.nowMs();
  }

  get random(): Random {
    return this.#random;
  }

  /** Aborted by close(). */
  get closing(): AbortSignal {
    return this.#closing.signal;
  }

  /** One request, one answer. Rejects with GrpcError after the tries that retry.ts allows. */
  async call<Request, Response>(
    method: MethodType<Request, Response>,
    request: Request,
    options: CallOptions = {},
  ): Promise<Response> {
    const startMs = this.nowMs();
    const deadlineMs = startMs + (options.timeoutMs ?? Number.POSITIVE_INFINITY);
    const retryUntilMs = Math.min(deadlineMs, startMs + RETRY_TOTAL_MS_MAX);
    let earlier: GrpcError | undefined;
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#try(method, request, deadlineMs, options);
      } catch (error) {
        if (!(error instanceof GrpcError)) throw error;
        // Time was up while it was dialing again: what it met before says more.
        if (earlier !== undefined && isLate(error)) throw deadlineExceeded(earlier);
        earlier = error;
        if (options.signal?.aborted || this.#closing.signal.aborted) throw canceled();
        const renewed = attempt === 1 && (await this.authorizer?.renew(error)) === true;
        const read = isRead(method.path, request);
        if (!renewed && !mayRetry(error, read, this.#endpoints.length)) throw error;
        this.retries++;
        this.#turnTo(leaderOf(error));
        await this.#pause(attempt, error, deadlineMs, retryUntilMs, options.signal);
      }
    }
  }

  /**
   * Opens a call with streams at once; it connects meanwhile and is not tried again. The reader
   * gets UNAVAILABLE when no endpoint can be reached.
   */
  open<Request, Response>(
    method: MethodType<Request, Response>,
    options: CallOptions = {},
  ): Duplex<Request, Response> {
    const duplex = new Duplex(method);
    const deadlineMs = this.nowMs() + (options.timeoutMs ?? Number.POSITIVE_INFINITY);
    const { signal } = options;
    const cancel = (): void => duplex.cancel();
    if (signal !== undefined) {
      if (signal.aborted) duplex.cancel();
      signal.addEventListener("abort", cancel, { once: true });
      void duplex.closed.then(() => signal.removeEventListener("abort", cancel));
    }
    this.#connection(deadlineMs, signal).then(
      (connection) => {
        if (duplex.ended) return;
        const metadata = this.#metadata(method.path, options);
        duplex.attach(connection.call(method.path, metadata, deadlineMs, duplex));
      },
      (error: unknown) => duplex.fail(asGrpcError(error)),
    );
    return duplex;
  }

  /** Ends all connections; calls that run fail with CANCELLED or UNAVAILABLE, new ones too. */
  close(): void {
    this.#closing.abort();
    for (const endpoint of this.#endpoints) endpoint.close();
  }

  async #try<Request, Response>(
    method: MethodType<Request, Response>,
    request: Request,
    deadlineMs: number,
    options: CallOptions,
  ): Promise<Response> {
    const { signal } = options;
    if (signal?.aborted) throw canceled();
    const connection = this.#pick() ?? (await this.#connection(deadlineMs, signal));
    const metadata = this.#metadata(method.path, options);
    const { promise, resolve, reject } = Promise.withResolvers<Response>();
    const handler = new UnaryCall(method.response, resolve, reject);
    const call = connection.call(method.path, metadata, deadlineMs, handler);
    handler.call = call;
    const scratch = this.#scratch;
    scratch.reset();
    method.request.encode(request, scratch);
    call.send(scratch.bytes, 0, scratch.length);
    call.halfClose();
    if (signal === undefined) return promise;
    const cancel = (): void => call.cancel();
    signal.addEventListener("abort", cancel, { once: true });
    return promise.finally(() => signal.removeEventListener("abort", cancel));
  }

  #metadata(path: string, options: CallOptions): readonly string[] {
    const own = options.metadata ?? NO_FIELDS;
    const added = this.authorizer?.fields(path) ?? NO_FIELDS;
    return added.length === 0 ? own : [...added, ...own];
  }

  /** The next call goes to this endpoint, if it is one of ours and up. */
  #turnTo(address: string | undefined): void {
    const at = this.#endpoints.findIndex(({ text }) => text === address);
    if (at >= 0) this.#next = at;
  }

  /** The next endpoint that is up, in turn; those passed over are dialed meanwhile. */
  #pick(): GrpcClientConnection | undefined {
    const count = this.#endpoints.length;
    for (let i = 0; i < count; i++) {
      const at = (this.#next + i) % count;
      const endpoint = this.#endpoints[at] as Endpoint;
      const connection = endpoint.ready;
      if (connection !== undefined) {
        this.#next = at + 1;
        return connection;
      }
      if (count > 1 && endpoint.retryAtMs <= this.nowMs()) endpoint.connect().catch(ignore);
    }
    return undefined;
  }

  /** A connection, when none is up: the first of all dials that succeeds, within the deadline. */
  async #connection(
    deadlineMs: number,
    signal: AbortSignal | undefined,
  ): Promise<GrpcClientConnection> {
    const picked = this.#pick();
    if (picked !== undefined) return picked;
    if (this.#closing.signal.aborted || signal?.aborted) throw canceled();
    const nowMs = this.nowMs();
    const dials = this.#endpoints
      .filter((endpoint) => endpoint.retryAtMs <= nowMs)
      .map((endpoint) => endpoint.connect());
    if (dials.length === 0) throw this.#unreachable();
    const first = Promise.any(dials).catch((error: unknown) => {
      throw error instanceof AggregateError ? error.errors.at(-1) : error;
    });
    return within(first, deadlineMs - nowMs, this.#signals(signal));
  }

  /** All endpoints wait after failures. */
  #unreachable(): GrpcError {
    const failures = this.#endpoints.map((endpoint) => endpoint.failure);
    const known = failures.find((failure) => failure !== undefined);
    const nobody = "no endpoint available";
    return known ?? new GrpcError(GrpcCode.UNAVAILABLE, nobody, { unprocessed: true });
  }

  /** Waits before the next try; throws when there is no time left for one. */
  async #pause(
    attempt: number,
    failure: GrpcError,
    deadlineMs: number,
    retryUntilMs: number,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const nowMs = this.nowMs();
    let pauseMs = retryPauseMs(attempt, this.#endpoints.length, this.#random);
    const up = this.#endpoints.some((endpoint) => endpoint.ready !== undefined);
    if (!up) {
      const earliestMs = Math.min(...this.#endpoints.map((endpoint) => endpoint.retryAtMs));
      pauseMs = Math.max(pauseMs, earliestMs - nowMs);
    }
    if (nowMs + pauseMs >= retryUntilMs) {
      if (retryUntilMs < deadlineMs) throw failure;
      await sleep(deadlineMs - nowMs, this.#signals(signal));
      throw deadlineExceeded(failure);
    }
    if (pauseMs > 0) await sleep(pauseMs, this.#signals(signal));
  }

  #signals(signal: AbortSignal | undefined): AbortSignal {
    const closing = this.#closing.signal;
    return signal === undefined ? closing : AbortSignal.any([closing, signal]);
  }
}

/** Our own clock said so, not a server. */
function isLate({ code, cause, trailers }: GrpcError): boolean {
  const isOurs = cause === undefined && trailers === NO_METADATA;
  return code === GrpcCode.DEADLINE_EXCEEDED && isOurs;
}

function asGrpcError(error: unknown): GrpcError {
  if (error instanceof GrpcError) return error;
  return new GrpcError(GrpcCode.INTERNAL, String(error), { cause: error });
}

function ignore(): void {
  // the endpoint remembers why, and the caller who needs it asks
}
