/** How a call fails, seen by the caller. */
import type { Metadata } from "../wire/grpc/metadata.ts";
import { NO_METADATA } from "../wire/grpc/metadata.ts";
import { GrpcCode, grpcCodeName } from "../wire/grpc/status.ts";

export interface GrpcErrorDetail {
  /** The server's trailing fields; empty when the call failed on our side. */
  readonly trailers?: Metadata;
  /** The server certainly did not process the call: it may be tried again, whatever it is. */
  readonly unprocessed?: boolean;
  readonly cause?: unknown;
}

/** A call that did not end with OK. `message` is the server's text as it came (etcd's clients
 * compare it), or ours when no server answered. */
export class GrpcError extends Error {
  override readonly name = "GrpcError";
  readonly code: GrpcCode;
  readonly trailers: Metadata;
  readonly unprocessed: boolean;

  constructor(code: GrpcCode, message: string, detail: GrpcErrorDetail = {}) {
    super(message, detail.cause === undefined ? undefined : { cause: detail.cause });
    this.code = code;
    this.trailers = detail.trailers ?? NO_METADATA;
    this.unprocessed = detail.unprocessed === true;
  }

  /** "UNAVAILABLE", for people. */
  get codeName(): string {
    return grpcCodeName(this.code);
  }
}

/** The error of a deadline that passed; `cause` is the failure that was met before, if any. */
export function deadlineExceeded(cause?: unknown): GrpcError {
  return new GrpcError(GrpcCode.DEADLINE_EXCEEDED, "context deadline exceeded", { cause });
}

/** The error of a call that its caller gave up. */
export function canceled(): GrpcError {
  return new GrpcError(GrpcCode.CANCELLED, "context canceled");
}
