/**
 * What the header block of a response, or of its trailers, means to a client (gRPC over HTTP/2,
 * "Responses"). Computed once per distinct block and shared.
 */
import { readContentLength, readStatus } from "../http2/field-rules.ts";
import { Http2Code, http2CodeName } from "../http2/protocol.ts";
import type { Http2Head } from "../http2/role.ts";
import { FieldList, type Metadata } from "./metadata.ts";
import { decodeGrpcMessage, GrpcCode, grpcCodeOf } from "./status.ts";

export interface ResponseHead extends Http2Head {
  /** The HTTP status; 0: the list has none, so it is trailers. */
  readonly httpStatus: number;
  readonly metadata: Metadata;
  /** How the call ends if nothing follows this list. */
  readonly code: GrpcCode;
  readonly message: string;
  /** An answer in gRPC's content type. */
  readonly isGrpc: boolean;
  /** Messages may be compressed. */
  readonly gzip: boolean;
}

/** Undefined if the list is malformed. */
export function readResponseHead(fields: readonly string[]): ResponseHead | undefined {
  const httpStatus = readStatus(fields);
  const contentLength = readContentLength(fields);
  if (httpStatus < 0 || contentLength === -2) return undefined;
  const metadata = new FieldList(fields);
  const isGrpc = metadata.get("content-type")?.startsWith("application/grpc") ?? false;
  const gzip = metadata.get("grpc-encoding") === "gzip";
  const status = metadata.get("grpc-status");
  const known = { httpStatus, contentLength, metadata, isGrpc, gzip };
  if (status !== undefined) {
    const message = decodeGrpcMessage(metadata.get("grpc-message") ?? "");
    return { ...known, code: grpcCodeOf(status), message };
  }
  const message = httpStatus === 0 ? "trailers without a status" : `HTTP status ${httpStatus}`;
  return { ...known, code: codeOfHttpStatus(httpStatus), message };
}

/** gRPC's table for answers of something that is not a gRPC server ("HTTP2 status mapping"). */
function codeOfHttpStatus(status: number): GrpcCode {
  switch (status) {
    case 400:
      return GrpcCode.INTERNAL;
    case 401:
      return GrpcCode.UNAUTHENTICATED;
    case 403:
      return GrpcCode.PERMISSION_DENIED;
    case 404:
      return GrpcCode.UNIMPLEMENTED;
    case 429:
    case 502:
    case 503:
    case 504:
      return GrpcCode.UNAVAILABLE;
    default:
      return GrpcCode.UNKNOWN;
  }
}

/** gRPC's table for RST_STREAM ("Errors"). */
export function codeOfReset(code: number): GrpcCode {
  switch (code) {
    case Http2Code.REFUSED_STREAM:
      return GrpcCode.UNAVAILABLE;
    case Http2Code.CANCEL:
      return GrpcCode.CANCELLED;
    case Http2Code.ENHANCE_YOUR_CALM:
      return GrpcCode.RESOURCE_EXHAUSTED;
    case Http2Code.INADEQUATE_SECURITY:
      return GrpcCode.PERMISSION_DENIED;
    case Http2Code.STREAM_CLOSED:
      return GrpcCode.UNKNOWN;
    default:
      return GrpcCode.INTERNAL;
  }
}

/** The message of a call that a reset ended. */
export function textOfReset(code: number): string {
  return `stream terminated by RST_STREAM with error code: ${http2CodeName(code)}`;
}
