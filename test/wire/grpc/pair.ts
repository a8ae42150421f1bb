/** A client and a server of our own joined in memory; bytes travel when the test says so. */
import { Prng } from "../../../src/base/prng.ts";
import type { ProtocolConnection } from "../../../src/wire/connection.ts";
import type { ClientCall, ClientCallHandler } from "../../../src/wire/grpc/client-call.ts";
import {
  type ClientConnectionOptions,
  GrpcClientConnection,
} from "../../../src/wire/grpc/client-connection.ts";
import { GrpcServer, type GrpcServerOptions } from "../../../src/wire/grpc/grpc-server.ts";
import type { Metadata } from "../../../src/wire/grpc/metadata.ts";
import { GrpcServerConnection } from "../../../src/wire/grpc/server-connection.ts";
import { GrpcCode, grpcCodeName } from "../../../src/wire/grpc/status.ts";
import { type Seen, takeOutput, testMethods } from "../http2/kit.ts";

/** Records what a call says. */
export class Recorder implements ClientCallHandler {
  readonly events: string[] = [];
  readonly messages: Buffer[] = [];
  headers: Metadata | undefined;
  trailers: Metadata | undefined;
  /** "OK", or "NAME: message". */
  end: string | undefined;

  onHeaders(metadata: Metadata): void {
    this.headers = metadata;
  }
  onMessage(bytes: Uint8Array, start: number, end: number): void {
    this.messages.push(Buffer.from(bytes.subarray(start, end)));
  }
  onEnd(code: GrpcCode, message: string, trailers: Metadata): void {
    if (this.end !== undefined) throw new Error("onEnd twice");
    this.end = message === "" ? grpcCodeName(code) : `${grpcCodeName(code)}: ${message}`;
    this.trailers = trailers;
  }
  onDrain(): void {
    this.events.push("drain");
  }
}

export interface PairOptions {
  readonly server?: Partial<GrpcServerOptions>;
  readonly client?: Partial<ClientConnectionOptions>;
  /** Cut what travels at random. */
  readonly seed?: number;
}

export class Pair {
  readonly seen: Seen = { events: [], calls: [] };
  readonly client: GrpcClientConnection;
  readonly server: GrpcServerConnection;
  readonly #prng: Prng | undefined;
  nowMs = 0;

  constructor(options: PairOptions = {}) {
    const server = new GrpcServer({
      methods: testMethods(this.seen),
      mapError: (error) => ({ code: GrpcCode.INTERNAL, message: String(error) }),
      ...options.server,
    });
    this.server = new GrpcServerConnection(server, { peer: "pair", nowMs: 0 });
    const base = { scheme: "http", authority: "test", nowMs: 0 } as const;
    this.client = new GrpcClientConnection({ ...base, ...options.client });
    if (options.seed !== undefined) this.#prng = new Prng(options.seed);
  }

  static open(options: PairOptions = {}): Pair {
    return new Pair(options).settle();
  }

  /** Carries bytes both ways until neither has any. */
  settle(): this {
    while (this.client.output.pending + this.server.output.pending > 0) {
      this.#carry(this.client, this.server);
      this.#carry(this.server, this.client);
    }
    this.client.verify();
    this.server.verify();
    return this;
  }

  tick(nowMs: number): this {
    this.nowMs = nowMs;
    this.client.tick(nowMs);
    this.server.tick(nowMs);
    return this.settle();
  }

  call(path: string, recorder = new Recorder(), deadlineMs?: number): Started {
    const call = this.client.call(path, [], deadlineMs, recorder);
    return { call, recorder };
  }

  /** A whole unary call, as far as it goes without the test's help. */
  unary(path: string, content: Uint8Array | string, metadata: readonly string[] = []): Recorder {
    const recorder = new Recorder();
    const call = this.client.call(path, metadata, undefined, recorder);
    sendText(call, content);
    call.halfClose();
    this.settle();
    return recorder;
  }

  #carry(from: ProtocolConnection, to: ProtocolConnection): void {
    const bytes = takeOutput(from);
    from.onWritable(this.nowMs);
    let at = 0;
    while (at < bytes.length) {
      const size = this.#prng === undefined ? bytes.length : 1 + this.#prng.below(3000);
      to.receive(bytes.subarray(at, at + size), this.nowMs);
      at += size;
    }
  }
}

export interface Started {
  readonly call: ClientCall;
  readonly recorder: Recorder;
}

export function sendText(call: ClientCall, content: Uint8Array | string): void {
  const bytes = Buffer.from(content as Uint8Array);
  call.send(bytes, 0, bytes.length);
}
