/** What all connections of one gRPC server share: its methods, limits and hooks. Immutable. */
import { KIB, MIB } from "../../base/units.ts";
import type { HttpHandler } from "../http1/http.ts";
import { type Http2Limits, SERVER_LIMITS } from "../http2/limits.ts";
import { Router } from "./request-head.ts";
import type { Failure, Method } from "./server-call.ts";
import type { GrpcCode } from "./status.ts";

/** etcd: max-request-bytes 1.5 MiB and 512 KiB for what surrounds the request. */
export const RECEIVE_BYTES_DEFAULT = 1.5 * MIB + 512 * KIB;

export interface GrpcServerOptions {
  readonly methods: readonly Method[];
  /**
   * How a call ends whose handler threw. May throw again: an assertion that does not hold must
   * not be answered but stop the process.
   */
  readonly mapError: (error: unknown) => Failure;
  /** Serves what is not gRPC; without it the answer is 415. */
  readonly http?: HttpHandler;
  /** Bytes of a request message, unpacked. */
  readonly receiveBytesMax?: number;
  /** A call of a known method has begun. Cheap: on the way of every request. */
  readonly onStart?: (path: string) => void;
  /** The same call has ended, by whom ever. */
  readonly onEnd?: (path: string, code: GrpcCode) => void;
  readonly limits?: Http2Limits;
}

export class GrpcServer {
  readonly router: Router;
  readonly mapError: (error: unknown) => Failure;
  readonly http: HttpHandler | undefined;
  readonly receiveBytesMax: number;
  readonly onStart: (path: string) => void;
  readonly onEnd: (path: string, code: GrpcCode) => void;
  readonly limits: Http2Limits;

  constructor(options: GrpcServerOptions) {
    this.router = new Router(options.methods, options.http !== undefined);
    this.mapError = options.mapError;
    this.http = options.http;
    this.receiveBytesMax = options.receiveBytesMax ?? RECEIVE_BYTES_DEFAULT;
    this.onStart = options.onStart ?? nothing;
    this.onEnd = options.onEnd ?? nothing;
    this.limits = options.limits ?? SERVER_LIMITS;
  }
}

function nothing(): void {}
