/** A client's connection to a gRPC server, as net/ drives it and client/ calls on it. */
import { MIB } from "../../base/units.ts";
import type { OutputBuffer, ProtocolConnection } from "../connection.ts";
import { CLIENT_LIMITS, type Http2Limits, KEEPALIVE_TIMEOUT_MS } from "../http2/limits.ts";
import { Http2Session } from "../http2/session.ts";
import type { ClientCall, ClientCallHandler } from "./client-call.ts";
import { ClientRole } from "./client-role.ts";
import type { ClientStream } from "./client-stream.ts";
import type { ResponseHead } from "./response-head.ts";

export interface ClientConnectionOptions {
  readonly scheme: "http" | "https";
  /** The :authority of requests: host and port, or the name that the server goes by. */
  readonly authority: string;
  /** The time of connecting. */
  readonly nowMs: number;
  readonly userAgent?: string;
  /** Bytes of a message of an answer, unpacked. */
  readonly receiveBytesMax?: number;
  /** Ping after this time without a byte; never by default. At least 5 s, or etcd objects. */
  readonly keepaliveMs?: number;
  readonly keepaliveTimeoutMs?: number;
  /** Told the way there and back each `keepaliveMs`; pings then go to busy servers as well. */
  readonly onRoundTrip?: (ms: number) => void;
  /** Compress requests. */
  readonly gzip?: boolean;
  readonly limits?: Http2Limits;
}

/** Large enough for any range that fits memory twice; etcd's own client sets no bound. */
const RECEIVE_BYTES_DEFAULT = 512 * MIB;

/** Time for the server's SETTINGS: as grpc-go's clients give a connection to become ready. */
const READY_TIMEOUT_MS = 20_000;

/** Calls may be made at once; `output` holds our preface from the start. */
export class GrpcClientConnection implements ProtocolConnection {
  readonly output: OutputBuffer;
  onOutput: () => void = nothing;
  readonly #role: ClientRole;
  readonly #session: Http2Session<ClientStream, ResponseHead>;

  constructor(options: ClientConnectionOptions) {
    this.#role = new ClientRole({
      scheme: options.scheme,
      authority: options.authority,
      userAgent: options.userAgent ?? "aether",
      receiveBytesMax: options.receiveBytesMax ?? RECEIVE_BYTES_DEFAULT,
      gzip: options.gzip ?? false,
    });
    const { onRoundTrip } = options;
    const keepalive = {
      idleMs: options.keepaliveMs ?? Number.POSITIVE_INFINITY,
      timeoutMs: options.keepaliveTimeoutMs ?? KEEPALIVE_TIMEOUT_MS,
      ...(onRoundTrip === undefined ? {} : { onRoundTrip }),
    };
    this.#session = new Http2Session(
      this.#role,
      {
        server: false,
        limits: options.limits ?? CLIENT_LIMITS,
        keepalive,
        prefaceTimeoutMs: READY_TIMEOUT_MS,
      },
      options.nowMs,
    );
    this.#role.attach(this.#session);
    this.output = this.#session.output;
    this.output.onFill = () => this.onOutput();
  }

  /** The server's SETTINGS have come: it is there and speaks HTTP/2. */
  get ready(): boolean {
    return this.#session.ready;
  }

  /** False: new calls fail; use another connection. */
  get accepting(): boolean {
    return this.#role.accepting && !this.#session.closing;
  }

  /** Calls that have not ended, those which wait for a stream included. */
  get openCalls(): number {
    return this.#role.openCalls;
  }

  /** Set by the pool: `ready` or `accepting` has changed. */
  set onChange(listener: () => void) {
    this.#role.onChange = listener;
  }

  get closing(): boolean {
    return this.#session.closing;
  }

  get paused(): boolean {
    return this.#session.paused;
  }

  /** Why the connection ended, for logs. */
  get reason(): string {
    return this.#session.reason;
  }

  /**
   * Starts a call. `metadata` is a flat field list with names in lower case (-bin values already
   * base64); `deadlineMs` is absolute, on the clock of nowMs, kept by tick() to about 100 ms.
   * On a connection that is not `accepting` the call ends, unprocessed, with the next tick().
   */
  call(
    path: string,
    metadata: readonly string[],
    deadlineMs: number | undefined,
    handler: ClientCallHandler,
  ): ClientCall {
    return this.#role.call(path, metadata, deadlineMs ?? Number.POSITIVE_INFINITY, handler);
  }

  receive(bytes: Uint8Array, nowMs: number): void {
    this.#session.receive(bytes, nowMs);
    if (this.#session.closing) this.#role.stop(this.#session.reason);
  }

  onWritable(nowMs: number): void {
    this.#session.onWritable(nowMs);
  }

  tick(nowMs: number): void {
    this.#session.tick(nowMs);
    if (this.#session.closing) this.#role.stop(this.#session.reason);
    this.#role.tick(nowMs);
  }

  closed(nowMs: number): void {
    this.#session.closed(nowMs);
    this.#role.stop(this.#session.reason);
    this.#role.tick(nowMs);
  }

  /** No new calls; open ones finish, those without a stream end as UNAVAILABLE. */
  shutdown(nowMs: number): void {
    this.#session.shutdown(nowMs);
    this.#role.stop(this.#session.reason);
  }

  /** Asserts every invariant of the connection, at any cost. */
  verify(): void {
    this.#session.verify(this.#role.waiting);
  }
}

function nothing(): void {}
