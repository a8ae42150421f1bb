/** How a client takes what a server should not say, or seldom says; by hand-made frames. */
import { describe, expect, test } from "bun:test";
import { gzipSync } from "node:zlib";
import { ByteWriter } from "../../../src/base/bytes.ts";
import { Prng } from "../../../src/base/prng.ts";
import { GrpcClientConnection } from "../../../src/wire/grpc/client-connection.ts";
import { HpackEncoder } from "../../../src/wire/hpack/encoder.ts";
import { http2CodeName, PREFACE } from "../../../src/wire/http2/protocol.ts";
import {
  DATA,
  END_HEADERS,
  END_STREAM,
  type Frame,
  frame,
  GOAWAY,
  HEADERS,
  message,
  PATH,
  PUSH_PROMISE,
  RST_STREAM,
  readFrames,
  settings,
  takeOutput,
  u32,
} from "../http2/kit.ts";
import { Recorder, sendText } from "./pair.ts";

const HEAD = [":status", "200", "content-type", "application/grpc"];
const OK = ["grpc-status", "0"];
const LAST = END_HEADERS | END_STREAM;

class RawServer {
  readonly client: GrpcClientConnection;
  readonly #encoder = new HpackEncoder();
  frames: Frame[] = [];

  constructor() {
    const options = { scheme: "http", authority: "test", nowMs: 0 } as const;
    this.client = new GrpcClientConnection(options);
    const first = takeOutput(this.client);
    expect(first.subarray(0, PREFACE.length).equals(PREFACE)).toBe(true);
    this.send(settings());
    this.frames = [];
  }

  send(...parts: Uint8Array[]): this {
    this.client.receive(Buffer.concat(parts), 0);
    return this.read();
  }

  read(): this {
    this.client.verify();
    this.frames.push(...readFrames(takeOutput(this.client)));
    return this;
  }

  headers(id: number, fields: readonly string[], flags = END_HEADERS): Buffer {
    const out = new ByteWriter();
    this.#encoder.encode(fields, out);
    return frame(HEADERS, flags, id, out.view());
  }

  /** A unary call whose request has been sent. */
  call(path = PATH) {
    const recorder = new Recorder();
    const call = this.client.call(path, [], undefined, recorder);
    sendText(call, "request");
    call.halfClose();
    this.read();
    return { call, recorder };
  }

  get resets(): string[] {
    return this.frames
      .filter((f) => f.type === RST_STREAM)
      .map((f) => `${f.id} ${http2CodeName(f.payload.readUInt32BE(0))}`);
  }
}

describe("what a client sends", () => {
  test("a unary call is one HEADERS and one DATA frame that ends it", () => {
    const server = new RawServer();
    server.call();
    expect(server.frames.map((f) => [f.type, f.flags, f.id])).toEqual([
      [HEADERS, END_HEADERS, 1],
      [DATA, END_STREAM, 1],
    ]);
    expect(server.frames[1]?.payload).toEqual(message("request"));
  });
  test("a half close after the socket has taken the message is a frame of its own", () => {
    const server = new RawServer();
    const call = server.client.call(PATH, [], undefined, new Recorder());
    sendText(call, "request");
    server.read();
    call.halfClose();
    server.read();
    expect(server.frames.slice(1).map((f) => [f.type, f.flags, f.payload.length])).toEqual([
      [DATA, 0, 12],
      [DATA, END_STREAM, 0],
    ]);
  });
  test("a half close ends its own stream's frame only", () => {
    const server = new RawServer();
    const one = server.client.call(PATH, [], undefined, new Recorder());
    sendText(one, "a");
    const two = server.client.call(PATH, [], undefined, new Recorder());
    sendText(two, "b");
    one.halfClose();
    two.halfClose();
    server.read();
    const data = server.frames.filter((f) => f.type === DATA);
    expect(data.map((f) => [f.id, f.flags, f.payload.length])).toEqual([
      [1, 0, 6],
      [3, 0, 6],
      [1, END_STREAM, 0],
      [3, END_STREAM, 0],
    ]);
  });
});

describe("answers", () => {
  const rows: readonly (readonly [string, (s: RawServer) => Uint8Array[], string])[] = [
    ["trailers only", (s) => [s.headers(1, [...HEAD, "grpc-status", "5"], LAST)], "NOT_FOUND"],
    [
      "1xx before the answer",
      (s) => [
        s.headers(1, [":status", "103"]),
        s.headers(1, HEAD),
        frame(DATA, 0, 1, message("x")),
        s.headers(1, OK, LAST),
      ],
      "OK",
    ],
    [
      "status out of the table",
      (s) => [s.headers(1, [...HEAD, "grpc-status", "77"], LAST)],
      "UNKN",
    ],
    ["404 of something else", (s) => [s.headers(1, [":status", "404"], LAST)], "UNIMPLEMENTED"],
    ["503 of a proxy", (s) => [s.headers(1, [":status", "503"])], "UNAVAILABLE: not a gRPC answer"],
    [
      "200 of a web server",
      (s) => [s.headers(1, [":status", "200", "content-type", "text/html"])],
      "UNKNOWN: not a gRPC answer",
    ],
    [
      "END_STREAM without trailers",
      (s) => [s.headers(1, HEAD), frame(DATA, END_STREAM, 1, message("x"))],
      "INTERNAL: server closed the stream without sending trailers",
    ],
    [
      "trailers without a status",
      (s) => [s.headers(1, HEAD), s.headers(1, ["x", "y"], LAST)],
      "UNKNOWN: trailers without a status",
    ],
    [
      "a message cut off by trailers",
      (s) => [s.headers(1, HEAD), frame(DATA, 0, 1, u32(0)), s.headers(1, OK, LAST)],
      "INTERNAL: unexpected EOF",
    ],
    ["DATA before HEADERS", () => [frame(DATA, 0, 1, message("x"))], "INTERNAL"],
    ["trailers first", (s) => [s.headers(1, OK, LAST)], "INTERNAL"],
    ["two heads", (s) => [s.headers(1, HEAD), s.headers(1, HEAD)], "INTERNAL"],
    ["head as trailers", (s) => [s.headers(1, HEAD), s.headers(1, HEAD, LAST)], "INTERNAL"],
    ["no :status", (s) => [s.headers(1, ["content-type", "application/grpc"])], "INTERNAL"],
    ["request field", (s) => [s.headers(1, [":path", "/", ...HEAD])], "INTERNAL"],
    ["bad status", (s) => [s.headers(1, [":status", "2xx"])], "INTERNAL"],
    ["REFUSED_STREAM", () => [frame(RST_STREAM, 0, 1, u32(7))], "UNAVAILABLE"],
    ["CANCEL", () => [frame(RST_STREAM, 0, 1, u32(8))], "CANCELLED"],
    ["ENHANCE_YOUR_CALM", () => [frame(RST_STREAM, 0, 1, u32(11))], "RESOURCE_EXHAUSTED"],
    ["PROTOCOL_ERROR", () => [frame(RST_STREAM, 0, 1, u32(1))], "INTERNAL"],
    ["a code of the future", () => [frame(RST_STREAM, 0, 1, u32(99))], "INTERNAL"],
    ["PUSH_PROMISE", () => [frame(PUSH_PROMISE, 4, 1, u32(2))], "UNAVAILABLE: PUSH_PROMISE"],
    ["a stream we did not open", (s) => [s.headers(3, HEAD)], "UNAVAILABLE: HEADERS on idle"],
    ["a pushed stream", (s) => [s.headers(2, HEAD)], "UNAVAILABLE: HEADERS on idle"],
    ["push turned on (§6.5.2)", () => [settings([2, 1])], "UNAVAILABLE: SETTINGS_ENABLE_PUSH"],
  ];
  for (const [name, send, end] of rows) {
    test(name, () => {
      const server = new RawServer();
      const { recorder } = server.call();
      server.send(...send(server));
      expect(recorder.end).toStartWith(end);
      expect(server.client.openCalls).toBe(0);
    });
  }

  test("compressed messages are unpacked", () => {
    const server = new RawServer();
    const { recorder } = server.call();
    server.send(
      server.headers(1, [...HEAD, "grpc-encoding", "gzip"]),
      frame(DATA, 0, 1, message(gzipSync("zipped"), 1)),
      server.headers(1, OK, LAST),
    );
    expect(recorder.messages.map(String)).toEqual(["zipped"]);
    expect(recorder.end).toBe("OK");
  });

  test("what crossed our RST_STREAM is ignored", () => {
    const server = new RawServer();
    const { call, recorder } = server.call();
    call.cancel();
    server.send(server.headers(1, HEAD), frame(DATA, 0, 1, message("x")));
    server.send(server.headers(1, OK, LAST), frame(RST_STREAM, 0, 1, u32(0)));
    expect(server.resets).toEqual(["1 CANCEL"]);
    expect(recorder.end).toBe("CANCELLED: context canceled");
    expect(server.client.accepting).toBe(true);
  });

  test("RST_STREAM NO_ERROR after the answer is fine (§8.1)", () => {
    const server = new RawServer();
    const { recorder } = server.call();
    server.send(server.headers(1, [...HEAD, ...OK], LAST), frame(RST_STREAM, 0, 1, u32(0)));
    expect(recorder.end).toBe("OK");
    expect(server.client.accepting).toBe(true);
  });

  test("§6.8 GOAWAY: what is above the last stream was not processed", () => {
    const server = new RawServer();
    const [one, two, three] = [server.call(), server.call(), server.call()];
    server.send(frame(GOAWAY, 0, 0, Buffer.concat([u32(3, 0), Buffer.from("bye")])));
    expect(three.recorder.end).toBe("UNAVAILABLE: connection going away: bye");
    expect([one, two, three].map(({ call }) => call.unprocessed)).toEqual([false, false, true]);
    server.send(server.headers(1, [...HEAD, ...OK], LAST));
    expect(one.recorder.end).toBe("OK");
    expect(server.client.closing).toBe(false);
    server.send(frame(GOAWAY, 0, 0, u32(1, 0))); // the second of two: lower
    expect(two.call.unprocessed).toBe(true);
    expect(server.client.closing).toBe(true);
    expect(server.frames.filter((f) => f.type === RST_STREAM)).toEqual([]);
  });

  test("calls that wait go when the server takes more streams", () => {
    const server = new RawServer();
    server.send(settings([3, 1]));
    server.call();
    server.call();
    expect(server.frames.filter((f) => f.type === HEADERS).map((f) => f.id)).toEqual([1]);
    server.send(settings([3, 2]));
    expect(server.frames.filter((f) => f.type === HEADERS).map((f) => f.id)).toEqual([1, 3]);
    server.send(settings([3, 0]));
    expect(server.client.openCalls).toBe(2);
  });

  test("handlers may start and cancel calls from within their events", () => {
    const server = new RawServer();
    const second = new Recorder();
    const first = new Recorder();
    first.onMessage = () => {
      const call = server.client.call(PATH, [], undefined, second);
      sendText(call, "nested");
      started.cancel();
    };
    const started = server.client.call(PATH, [], undefined, first);
    started.halfClose();
    const two = Buffer.concat([message("x"), message("y")]);
    server.read().send(server.headers(1, HEAD), frame(DATA, 0, 1, two));
    expect(first.end).toBe("CANCELLED: context canceled");
    expect(server.resets).toEqual(["1 CANCEL"]);
    server.send(server.headers(3, [...HEAD, ...OK], LAST));
    expect(second.end).toBe("OK");
  });
});

describe("random answers", () => {
  test("never throw, and every call ends once", () => {
    for (let seed = 1; seed <= 300; seed++) {
      const prng = new Prng(seed);
      const server = new RawServer();
      const calls = Array.from({ length: 5 }, () => server.call());
      for (let step = 0; step < 40 && !server.client.closing; step++) {
        const id = prng.pick([1, 3, 5, 7, 9, 0, 2, 11]);
        const payload = Buffer.from(Array.from({ length: prng.below(20) }, () => prng.below(256)));
        const lawful = [
          server.headers(1 + 2 * prng.below(5), prng.pick([HEAD, OK]), prng.pick([4, 5])),
          frame(DATA, prng.below(2), 1 + 2 * prng.below(5), message(payload)),
        ];
        const wild = frame(prng.below(11), prng.pick([0, 1, 4, 5]), id, payload);
        server.send(prng.chance(80) ? (prng.pick(lawful) as Buffer) : wild);
      }
      server.client.closed(0);
      for (const { recorder } of calls) expect(recorder.end).toBeDefined();
      expect(server.client.openCalls).toBe(0);
    }
  });
});
