/**
 * What the header block of a request means to a server: which method, with which bounds, or why
 * not (gRPC over HTTP/2, "Requests"). Computed once per distinct block and shared by its requests.
 */
import { readContentLength, readRequestLine } from "../http2/field-rules.ts";
import type { Http2Head } from "../http2/role.ts";
import { FieldList, type Metadata } from "./metadata.ts";
import type { Failure, Method, StreamMethod, UnaryMethod } from "./server-call.ts";
import { GrpcCode } from "./status.ts";
import { parseGrpcTimeout } from "./timeout.ts";

/** Exactly one of unary, stream, failure, httpStatus and http says how the request is served. */
export interface RequestHead extends Http2Head {
  readonly method: string;
  readonly path: string;
  readonly metadata: Metadata;
  /** Infinity if the client set no deadline. */
  readonly timeoutMs: number;
  /** Messages may be compressed. */
  readonly gzip: boolean;
  readonly unary: UnaryMethod["unary"] | undefined;
  readonly stream: StreamMethod["stream"] | undefined;
  /** A gRPC request that cannot be served. */
  readonly failure: Failure | undefined;
  /** A refusal in terms of HTTP; 0 if there is none. */
  readonly httpStatus: number;
  /** Not gRPC: for the HTTP handler. */
  readonly http: boolean;
}

/** The methods of a server by path. The path is compared once, exactly, as it came. */
export class Router {
  readonly #methods = new Map<string, Method>();
  readonly #services = new Set<string>();
  readonly #hasHttp: boolean;

  /** Later methods replace earlier ones of the same path. */
  constructor(methods: readonly Method[], hasHttp: boolean) {
    this.#hasHttp = hasHttp;
    for (const method of methods) {
      this.#methods.set(method.path, method);
      this.#services.add(serviceOf(method.path));
    }
  }

  /** Undefined if the request is malformed (RFC 9113 §8.1.1). */
  readHead(fields: readonly string[]): RequestHead | undefined {
    const line = readRequestLine(fields);
    const contentLength = readContentLength(fields);
    if (line === undefined || contentLength === -2) return undefined;
    const metadata = new FieldList(fields);
    const { method, path } = line;
    const plain = {
      ...{ method, path, metadata, contentLength, timeoutMs: Number.POSITIVE_INFINITY },
      ...{ gzip: false, unary: undefined, stream: undefined, failure: undefined },
      ...{ httpStatus: 0, http: false },
    };
    if (!isGrpc(metadata.get("content-type"))) {
      if (this.#hasHttp && !this.#methods.has(path)) return { ...plain, http: true };
      return { ...plain, httpStatus: 415 };
    }
    if (method !== "POST") return { ...plain, httpStatus: 405 };
    return { ...plain, ...this.#route(path, metadata) };
  }

  #route(path: string, metadata: Metadata): Partial<RequestHead> {
    const encoding = metadata.get("grpc-encoding") ?? "identity";
    if (encoding !== "identity" && encoding !== "gzip") {
      const message = `grpc: Decompressor is not installed for grpc-encoding "${encoding}"`;
      return { failure: { code: GrpcCode.UNIMPLEMENTED, message } };
    }
    const timeout = metadata.get("grpc-timeout");
    const timeoutMs = timeout === undefined ? Number.POSITIVE_INFINITY : parseGrpcTimeout(timeout);
    if (timeoutMs === undefined) {
      const message = `malformed grpc-timeout: "${timeout}"`;
      return { failure: { code: GrpcCode.INTERNAL, message } };
    }
    const found = this.#methods.get(path);
    if (found === undefined) return { failure: this.#unknown(path) };
    const gzip = encoding === "gzip";
    if ("unary" in found) return { timeoutMs, gzip, unary: found.unary };
    return { timeoutMs, gzip, stream: found.stream };
  }

  /** grpc-go's texts: clients use them to tell an older server. */
  #unknown(path: string): Failure {
    const service = serviceOf(path);
    const method = path.slice(service.length + 2);
    const message =
      path.lastIndexOf("/") < 1
        ? `malformed method name: "${path}"`
        : this.#services.has(service)
          ? `unknown method ${method} for service ${service}`
          : `unknown service ${service}`;
    return { code: GrpcCode.UNIMPLEMENTED, message };
  }
}

/** "/package.Service/Method" -> "package.Service". */
function serviceOf(path: string): string {
  return path.slice(1, Math.max(1, path.lastIndexOf("/")));
}

/** application/grpc with the default codec; other codecs and grpc-web are not spoken. */
function isGrpc(contentType: string | undefined): boolean {
  if (contentType === undefined || !contentType.startsWith("application/grpc")) return false;
  return /^(\+proto)?\s*(;.*)?$/.test(contentType.slice("application/grpc".length));
}
