/**
 * What the header block of a request means to a server: which method, with which bounds, or why
 * not (gRPC over HTTP/2, "Requests"). Computed once per distinct block and shared by its requests.
 */
import { type RequestLine, readContentLength, readRequestLine } from "../http2/field-rules.ts";
import type { Http2Head } from "../http2/role.ts";
import { type CallMeter, NO_METER } from "./call-meter.ts";
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
  /** NO_METER unless its method is known. */
  readonly meter: CallMeter;
  /** A gRPC request that cannot be served. */
  readonly failure: Failure | undefined;
  /** A refusal in terms of HTTP; 0 if there is none. */
  readonly httpStatus: number;
  /** Not gRPC: for the HTTP handler. */
  readonly http: boolean;
}

/** A head while it is being understood; nobody writes it afterwards. */
class Head implements RequestHead {
  readonly method: string;
  readonly path: string;
  readonly metadata: Metadata;
  readonly contentLength: number;
  timeoutMs = Number.POSITIVE_INFINITY;
  gzip = false;
  unary: UnaryMethod["unary"] | undefined = undefined;
  stream: StreamMethod["stream"] | undefined = undefined;
  meter: CallMeter = NO_METER;
  failure: Failure | undefined = undefined;
  httpStatus = 0;
  http = false;

  constructor(line: RequestLine, metadata: Metadata, contentLength: number) {
    this.method = line.method;
    this.path = line.path;
    this.metadata = metadata;
    this.contentLength = contentLength;
  }
}

/** The methods of a server by path. The path is compared once, exactly, as it came. */
export class Router {
  readonly #methods = new Map<string, Method>();
  readonly #services = new Set<string>();
  readonly #hasHttp: boolean;
  readonly #meter: (path: string, metadata: Metadata) => CallMeter;

  /** Later methods replace earlier ones of the same path. */
  constructor(
    methods: readonly Method[],
    hasHttp: boolean,
    meter: (path: string, metadata: Metadata) => CallMeter,
  ) {
    this.#hasHttp = hasHttp;
    this.#meter = meter;
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
    const head = new Head(line, new FieldList(fields), contentLength);
    if (!isGrpc(head.metadata.get("content-type"))) {
      if (this.#hasHttp && !this.#methods.has(head.path)) head.http = true;
      else head.httpStatus = 415;
    } else if (head.method !== "POST") head.httpStatus = 405;
    else this.#route(head);
    return head;
  }

  #route(head: Head): void {
    const encoding = head.metadata.get("grpc-encoding");
    const timeout = head.metadata.get("grpc-timeout");
    const timeoutMs = timeout === undefined ? head.timeoutMs : parseGrpcTimeout(timeout);
    const method = this.#methods.get(head.path);
    if (encoding !== undefined && encoding !== "identity" && encoding !== "gzip") {
      const message = `grpc: Decompressor is not installed for grpc-encoding "${encoding}"`;
      head.failure = { code: GrpcCode.UNIMPLEMENTED, message };
    } else if (timeoutMs === undefined) {
      const message = `malformed grpc-timeout: "${timeout}"`;
      head.failure = { code: GrpcCode.INTERNAL, message };
    } else if (method === undefined) head.failure = this.#unknown(head.path);
    else {
      head.timeoutMs = timeoutMs;
      head.meter = this.#meter(head.path, head.metadata);
      head.gzip = encoding === "gzip";
      if ("unary" in method) head.unary = method.unary;
      else head.stream = method.stream;
    }
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
  if (contentType.length === "application/grpc".length) return true;
  return /^(\+proto)?\s*(;.*)?$/.test(contentType.slice("application/grpc".length));
}
