/**
 * The JSON gateway: etcd's paths under /v3/, each the door to a gRPC method of this server.
 * Requests come with their bodies whole (HTTP/1.1, and unary calls over HTTP/2), with a body that
 * is still coming (streams over HTTP/2), or as the messages of a WebSocket.
 */

import type { AetherError } from "../../base/errors.ts";
import type { Clock } from "../../base/ports.ts";
import type { Turn } from "../../base/turn.ts";
import type { MethodType } from "../../proto/message.ts";
import { LargeReads } from "../../rpc/large-reads.ts";
import type { CallMeter } from "../../wire/grpc/call-meter.ts";
import type { Metadata } from "../../wire/grpc/metadata.ts";
import type { Failure, Method } from "../../wire/grpc/server-call.ts";
import { GrpcCode } from "../../wire/grpc/status.ts";
import type { BodyReader, HttpRequest, HttpResponse } from "../../wire/http1/http.ts";
import { isWebSocketRequest } from "../../wire/websocket/handshake.ts";
import { type CallOwner, JsonCall } from "./call.ts";
import { metadataOf, timeoutMsOf } from "./metadata.ts";
import { Pace } from "./pace.ts";
import { HELD_BYTES_MAX, HELD_CUT_BYTES_MIN } from "./paced-answer.ts";
import { typesByPath } from "./paths.ts";
import { endWithStatus } from "./status.ts";
import { openWebSocket } from "./websocket.ts";

export interface GatewayOptions {
  /** What this server serves; a path whose method is not among them is answered as gRPC would. */
  readonly methods: readonly Method[];
  readonly mapError: (error: unknown) => Failure;
  readonly meter: (path: string, metadata: Metadata) => CallMeter;
  readonly clock: Pick<Clock, "monotonicMs">;
  readonly turn: Turn;
  /** Bytes of a request message. */
  readonly receiveBytesMax: number;
}

/** Every path of the gateway begins so. */
export const GATEWAY_PREFIX = "/v3/";

export class JsonGateway {
  readonly #options: GatewayOptions;
  readonly #types = typesByPath();
  readonly #methods: ReadonlyMap<string, Method>;
  /** Open calls that have a deadline. */
  readonly #timed = new Set<JsonCall>();
  readonly #owner: CallOwner;
  /** Large answers that wait to become JSON. */
  readonly held = new LargeReads(HELD_BYTES_MAX, HELD_CUT_BYTES_MIN);

  constructor(options: GatewayOptions) {
    this.#options = options;
    this.#methods = new Map(options.methods.map((method) => [method.path, method]));
    this.#owner = {
      mapError: options.mapError,
      nowMs: () => options.clock.monotonicMs(),
      receiveBytesMax: options.receiveBytesMax,
      held: this.held,
      pace: new Pace(options.turn, () => options.clock.monotonicMs()),
      onEnd: (call) => this.#timed.delete(call),
    };
  }

  /** Answers a request whose body has come whole, or one that wants to be a WebSocket. */
  handle(request: HttpRequest, response: HttpResponse): void {
    if (isWebSocketRequest(request)) {
      const open = this.open.bind(this);
      openWebSocket(request, response, { open, receiveBytesMax: this.#options.receiveBytesMax });
      return;
    }
    const reader = this.open(request, response);
    reader?.onData(request.body, 0, request.body.length);
    reader?.onEnd();
  }

  /** Whether the body of such a request is taken as it comes: its method takes a stream. */
  isStream({ method, path }: HttpRequest): boolean {
    return method === "POST" && this.#types.get(path)?.clientStream === true;
  }

  /** Begins a call; undefined: the request is answered already. */
  open(request: HttpRequest, response: HttpResponse): BodyReader | undefined {
    const type = this.#types.get(request.path);
    const method = type === undefined ? undefined : this.#methods.get(type.path);
    if (type === undefined) endWithStatus(response, GrpcCode.NOT_FOUND, "Not Found");
    else if (request.method !== "POST") {
      endWithStatus(response, GrpcCode.UNIMPLEMENTED, "Method Not Allowed");
    } else if (method === undefined) {
      endWithStatus(response, GrpcCode.UNIMPLEMENTED, this.#unknown(type));
    } else return this.#begin(type, method, request, response);
    return undefined;
  }

  /** Ends the calls whose deadline has passed; call it about every 100 ms. */
  tick(nowMs: number): void {
    this.held.tick(nowMs);
    for (const call of this.#timed) if (call.deadlineMs <= nowMs) call.onDeadline();
  }

  #begin(
    type: MethodType<unknown, unknown>,
    method: Method,
    request: HttpRequest,
    response: HttpResponse,
  ): BodyReader | undefined {
    let metadata: Metadata;
    let timeoutMs: number;
    try {
      timeoutMs = timeoutMsOf(request);
      metadata = metadataOf(request);
    } catch (error) {
      const { code, message } = this.#options.mapError(error as AetherError);
      endWithStatus(response, code, message);
      return undefined;
    }
    const deadlineMs = this.#owner.nowMs() + timeoutMs;
    const { peer, siblings } = request;
    const meter = this.#options.meter(type.path, metadata);
    const options = { type, method, metadata, meter, deadlineMs, peer, siblings };
    const call = new JsonCall(this.#owner, options, response);
    if (deadlineMs !== Number.POSITIVE_INFINITY) this.#timed.add(call);
    call.begin();
    if (timeoutMs < 0) call.onDeadline();
    return call;
  }

  /** grpc-go's text. */
  #unknown({ path }: MethodType<unknown, unknown>): string {
    const [, service, method] = path.split("/");
    const known = [...this.#methods.keys()].some((each) => each.startsWith(`/${service}/`));
    return known ? `unknown method ${method} for service ${service}` : `unknown service ${service}`;
  }
}
