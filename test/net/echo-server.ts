/** A gRPC server of toy methods on loopback, for our client and for strangers. */
import { parseAddress } from "../../src/net/address.ts";
import { type Listener, type ListenOptions, listen } from "../../src/net/listener.ts";
import { Network } from "../../src/net/network.ts";
import { PutRequest } from "../../src/proto/gen/etcdserverpb.ts";
import { method, service } from "../../src/proto/message.ts";
import { GrpcServer } from "../../src/wire/grpc/grpc-server.ts";
import type { Method, ServerCall, StreamHandler } from "../../src/wire/grpc/server-call.ts";
import { GrpcServerConnection } from "../../src/wire/grpc/server-connection.ts";
import { GrpcCode } from "../../src/wire/grpc/status.ts";
import { Http1Connection } from "../../src/wire/http1/server-connection.ts";

/** The toy service with types, for our client; any message with a byte string would do. */
export const Echo = service("toy.Echo", {
  /** Sends the message back. */
  Unary: method(PutRequest, PutRequest, false, false),
  /** Sends the message back ten times. */
  Repeat: method(PutRequest, PutRequest, false, true),
  /** Answers with the last message when the client is done. */
  Last: method(PutRequest, PutRequest, true, false),
  /** Sends each message back. */
  Each: method(PutRequest, PutRequest, true, true),
  /** Fails with RESOURCE_EXHAUSTED, a text beyond ASCII and a trailer. */
  Fail: method(PutRequest, PutRequest, false, false),
  /** Never answers. */
  Never: method(PutRequest, PutRequest, false, false),
  /** Answers nothing, but sends until it is told to stop. */
  Flood: method(PutRequest, PutRequest, false, true),
});

export const FAIL_TEXT = "100% zu groß";
export const REPEAT_COUNT = 10;

/** What the toys saw, for tests to look at. */
export interface Seen {
  cancels: number;
  calls: number;
  deadlines: number[];
  metadata: (string | undefined)[];
  floodBytes: number;
}

export interface EchoServer {
  readonly listener: Listener;
  readonly network: Network;
  readonly seen: Seen;
  readonly url: string;
  readonly connections: GrpcServerConnection[];
}

export async function echoServer(
  extra: Partial<ListenOptions> & { readonly methods?: readonly Method[] } = {},
): Promise<EchoServer> {
  const network = new Network();
  const seen: Seen = { cancels: 0, calls: 0, deadlines: [], metadata: [], floodBytes: 0 };
  const connections: GrpcServerConnection[] = [];
  const server = new GrpcServer({
    methods: [...toys(seen), ...(extra.methods ?? [])],
    mapError: (error) => ({ code: GrpcCode.INTERNAL, message: String(error) }),
    http: (request, response) => response.end(200, [], request.path),
  });
  const listener = await listen(network, {
    address: parseAddress("127.0.0.1:0"),
    http2: (peer, nowMs) => {
      const connection = new GrpcServerConnection(server, { peer: peer.address, nowMs });
      connections.push(connection);
      return connection;
    },
    http1: (peer, nowMs) =>
      new Http1Connection(
        { peer: peer.address, handler: (request, response) => response.end(200, [], request.path) },
        nowMs,
      ),
    ...extra,
  });
  const { address } = listener;
  const url = address.kind === "tcp" ? `${address.host}:${address.port}` : `unix:${address.path}`;
  return { listener, network, seen, url, connections };
}

const QUIET: StreamHandler = { onMessage() {}, onHalfClose() {}, onCancel() {}, onDrain() {} };

function toys(seen: Seen): Method[] {
  const unary = (path: string, answer: (call: ServerCall, bytes: Uint8Array) => void): Method => ({
    path,
    unary: (call, bytes, start, end) => {
      seen.calls++;
      seen.deadlines.push(call.deadlineMs);
      seen.metadata.push(call.metadata.get("x-toy"));
      answer(call, bytes.slice(start, end));
    },
  });
  const stream = (path: string, make: (call: ServerCall) => Partial<StreamHandler>): Method => ({
    path,
    stream: (call) => {
      seen.calls++;
      const onCancel = (): void => {
        seen.cancels++;
      };
      return { ...QUIET, onCancel, ...make(call) };
    },
  });
  return [
    unary(Echo.Unary.path, (call, bytes) => call.reply(bytes, 0, bytes.length)),
    unary(Echo.Fail.path, (call) =>
      call.fail(GrpcCode.RESOURCE_EXHAUSTED, FAIL_TEXT, ["x-toy-trailer", "yes"]),
    ),
    unary(Echo.Never.path, () => undefined),
    stream(Echo.Repeat.path, (call) => ({
      onMessage: (bytes, start, end) => {
        for (let i = 0; i < REPEAT_COUNT; i++) call.send(bytes, start, end);
        call.finish();
      },
    })),
    stream(Echo.Last.path, (call) => {
      let last = new Uint8Array(0);
      return {
        onMessage: (bytes, start, end) => {
          last = bytes.slice(start, end);
        },
        onHalfClose: () => call.reply(last, 0, last.length),
      };
    }),
    stream(Echo.Each.path, (call) => ({
      onMessage: (bytes, start, end) => call.send(bytes, start, end),
      onHalfClose: () => call.finish(),
    })),
    stream(Echo.Flood.path, (call) => {
      const bytes = floodMessage();
      const pour = (): void => {
        while (call.writable) {
          call.send(bytes, 0, bytes.length);
          seen.floodBytes += bytes.length;
        }
      };
      return { onMessage: pour, onDrain: pour };
    }),
  ];
}

function floodMessage(): Uint8Array {
  // A PutRequest with 16 KiB of value: field 2, length 0x4000 as a varint.
  return Buffer.concat([Buffer.from([0x12, 0x80, 0x80, 0x01]), Buffer.alloc(16 * 1024, 7)]);
}
