/** One client's connection to a gRPC server, as net/ drives it: an HTTP/2 session and its role. */
import type { OutputBuffer, ProtocolConnection } from "../connection.ts";
import { PREFACE_TIMEOUT_MS } from "../http2/limits.ts";
import { Http2Session } from "../http2/session.ts";
import type { GrpcServer } from "./grpc-server.ts";
import type { RequestHead } from "./request-head.ts";
import { ServerRole } from "./server-role.ts";
import type { ServerStream } from "./server-stream.ts";

export interface ServerConnectionOptions {
  /** The client's address, for logs. */
  readonly peer: string;
  /** The common name of its verified certificate. */
  readonly peerName?: string | undefined;
  /** The connection is inside TLS. */
  readonly secure?: boolean;
  /** The time of accepting; timeouts count from here. */
  readonly nowMs: number;
}

export class GrpcServerConnection implements ProtocolConnection {
  readonly output: OutputBuffer;
  onOutput: () => void = nothing;
  readonly #role: ServerRole;
  readonly #session: Http2Session<ServerStream, RequestHead>;
  readonly #quietMsMax: number;
  /** When a call was last open. */
  #calledMs: number;

  constructor(server: GrpcServer, options: ServerConnectionOptions) {
    this.#quietMsMax = server.quietMsMax;
    this.#calledMs = options.nowMs;
    this.#role = new ServerRole(server, options);
    this.#session = new Http2Session(
      this.#role,
      {
        server: true,
        limits: server.limits,
        keepalive: server.keepalive,
        prefaceTimeoutMs: PREFACE_TIMEOUT_MS,
        memory: server.memory.open(options.peer),
        counts: server.counts,
        peer: options.peer,
      },
      options.nowMs,
    );
    this.#role.attach(this.#session.engine);
    this.output = this.#session.output;
    this.output.onFill = () => this.onOutput();
  }

  get closing(): boolean {
    return this.#session.closing;
  }

  get urgent(): boolean {
    return this.#role.urgent;
  }

  get paused(): boolean {
    return this.#session.paused;
  }

  /** Why the connection ended, for logs. */
  get reason(): string {
    return this.#session.reason;
  }

  /** Calls open now, cancelled ones whose handler still runs included. */
  get openCalls(): number {
    return this.#session.engine.callCount;
  }

  receive(bytes: Uint8Array, nowMs: number): void {
    this.#session.receive(bytes, nowMs);
  }

  onWritable(nowMs: number): void {
    this.#session.onWritable(nowMs);
  }

  tick(nowMs: number): void {
    this.#session.tick(nowMs);
    if (this.#session.closing) return;
    this.#role.tick(nowMs);
    if (this.openCalls > 0) this.#calledMs = nowMs;
    else if (nowMs - this.#calledMs > this.#quietMsMax) this.shutdown(nowMs);
  }

  closed(nowMs: number): void {
    this.#session.closed(nowMs);
  }

  shutdown(nowMs: number): void {
    this.#session.shutdown(nowMs);
  }

  /** Asserts every invariant of the connection, at any cost. */
  verify(): void {
    this.#session.verify([]);
  }
}

function nothing(): void {}
