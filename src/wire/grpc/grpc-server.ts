/** What all connections of one gRPC server share: its methods, limits and hooks. Immutable. */
import { KIB, MIB } from "../../base/units.ts";
import type { HttpHandler, HttpStreamHandler } from "../http1/http.ts";
import { Http2Counts } from "../http2/counts.ts";
import type { KeepaliveOptions } from "../http2/keepalive.ts";
import {
  type Http2Limits,
  KEEPALIVE_IDLE_MS,
  KEEPALIVE_TIMEOUT_MS,
  SERVER_LIMITS,
} from "../http2/limits.ts";
import { MemoryBudget } from "../memory.ts";
import { type CallMeter, NO_METER } from "./call-meter.ts";
import type { Metadata } from "./metadata.ts";
import { Router } from "./request-head.ts";
import type { Failure, Method } from "./server-call.ts";

/** etcd: max-request-bytes 1.5 MiB and 512 KiB for what surrounds the request. */
export const RECEIVE_BYTES_DEFAULT = 1.5 * MIB + 512 * KIB;

/** What answers requests that are not gRPC. */
export interface HttpService {
  readonly handler: HttpHandler;
  /** Bytes of a body that is collected for the handler; beyond them the answer is 413. */
  readonly bodyBytesMax: number;
  /** Asked first: takes the bodies that it wants as they come. */
  readonly streams?: HttpStreamHandler | undefined;
}

const KEEPALIVE_DEFAULT: KeepaliveOptions = {
  idleMs: KEEPALIVE_IDLE_MS,
  timeoutMs: KEEPALIVE_TIMEOUT_MS,
};

export interface GrpcServerOptions {
  readonly methods: readonly Method[];
  /**
   * How a call ends whose handler threw. May throw again: an assertion that does not hold must
   * not be answered but stop the process.
   */
  readonly mapError: (error: unknown) => Failure;
  /** Serves what is not gRPC; without it the answer is 415. */
  readonly http?: HttpHandler | HttpService | undefined;
  /** Bytes of a request message, unpacked. */
  readonly receiveBytesMax?: number;
  /** Who counts the calls of a known method that come with these fields; asked once a head. */
  readonly meter?: (path: string, metadata: Metadata) => CallMeter;
  readonly limits?: Http2Limits;
  /** When a silent client is pinged, and given up. */
  readonly keepalive?: KeepaliveOptions;
  /** A connection on which no call is open for so long is ended; never by default. */
  readonly quietMsMax?: number;
  /** Shared by all that hold memory for callers; one of its own otherwise. */
  readonly memory?: MemoryBudget;
}

export class GrpcServer {
  readonly router: Router;
  readonly mapError: (error: unknown) => Failure;
  readonly http: HttpService | undefined;
  readonly receiveBytesMax: number;
  readonly limits: Http2Limits;
  readonly keepalive: KeepaliveOptions;
  readonly quietMsMax: number;
  readonly memory: MemoryBudget;
  /** Limits met by all its connections. */
  readonly counts = new Http2Counts();

  constructor(options: GrpcServerOptions) {
    const meter = options.meter ?? ((): CallMeter => NO_METER);
    this.router = new Router(options.methods, options.http !== undefined, meter);
    this.mapError = options.mapError;
    this.receiveBytesMax = options.receiveBytesMax ?? RECEIVE_BYTES_DEFAULT;
    const { http } = options;
    const bodyBytesMax = this.receiveBytesMax;
    this.http = typeof http === "function" ? { handler: http, bodyBytesMax } : http;
    this.limits = options.limits ?? SERVER_LIMITS;
    this.keepalive = options.keepalive ?? KEEPALIVE_DEFAULT;
    this.quietMsMax = options.quietMsMax ?? Number.POSITIVE_INFINITY;
    this.memory = options.memory ?? new MemoryBudget();
  }
}
