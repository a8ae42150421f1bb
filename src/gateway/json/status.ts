/**
 * How failures look in HTTP: grpc-gateway's table of codes (runtime/errors.go) and a
 * google.rpc.Status as protobuf's JSON has it, without the fields that are zero.
 */
import { GrpcCode } from "../../wire/grpc/status.ts";
import type { HttpResponse } from "../../wire/http1/http.ts";

export const JSON_TYPE: readonly string[] = ["content-type", "application/json"];

const STATUS_OF: Readonly<Record<GrpcCode, number>> = {
  [GrpcCode.OK]: 200,
  [GrpcCode.CANCELLED]: 499,
  [GrpcCode.UNKNOWN]: 500,
  [GrpcCode.INVALID_ARGUMENT]: 400,
  [GrpcCode.DEADLINE_EXCEEDED]: 504,
  [GrpcCode.NOT_FOUND]: 404,
  [GrpcCode.ALREADY_EXISTS]: 409,
  [GrpcCode.PERMISSION_DENIED]: 403,
  [GrpcCode.RESOURCE_EXHAUSTED]: 429,
  [GrpcCode.FAILED_PRECONDITION]: 400, // not 412: that is about conditions in the request's fields
  [GrpcCode.ABORTED]: 409,
  [GrpcCode.OUT_OF_RANGE]: 400,
  [GrpcCode.UNIMPLEMENTED]: 501,
  [GrpcCode.INTERNAL]: 500,
  [GrpcCode.UNAVAILABLE]: 503,
  [GrpcCode.DATA_LOSS]: 500,
  [GrpcCode.UNAUTHENTICATED]: 401,
};

export function httpStatusOf(code: GrpcCode): number {
  return STATUS_OF[code];
}

/** A google.rpc.Status as JSON; it has no details, since we send none. */
export function statusJson(code: GrpcCode, message: string): string {
  return JSON.stringify(message === "" ? { code } : { code, message });
}

/** The whole answer to a call that failed before anything of its answer was sent. */
export function endWithStatus(response: HttpResponse, code: GrpcCode, message: string): void {
  const fields = [...JSON_TYPE];
  if (code === GrpcCode.UNAUTHENTICATED) fields.push("www-authenticate", headerText(message));
  response.end(httpStatusOf(code), fields, statusJson(code, message));
}

/** What a header field may hold of a text. */
function headerText(text: string): string {
  return text.replaceAll(/[^\t\x20-\x7e]/g, "?");
}

/** What Go's encoder of a map escapes, and protobuf's does not: messages of streams have it. */
const HTML = /[<>&\u2028\u2029]/g;

/** JSON that nobody takes for markup, as messages of streams are written. */
export function escapeHtml(json: string): string {
  return json.replace(HTML, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
