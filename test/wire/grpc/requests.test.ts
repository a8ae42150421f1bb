/** How a server takes requests that are odd, wrong, or not gRPC at all; by hand-made frames. */
import { describe, expect, test } from "bun:test";
import { gzipSync } from "node:zlib";
import { AssertionError, assert } from "../../../src/base/assert.ts";
import type { HttpHandler } from "../../../src/wire/http1/http.ts";
import {
  DATA,
  END_HEADERS,
  END_STREAM,
  fieldOf,
  frame,
  message,
  NONE,
  PATH,
  RawClient,
  RST_STREAM,
  requestFields,
  STREAM_PATH,
  u32,
} from "../http2/kit.ts";

/** "status code: message" of stream 1, from trailers or a trailers-only answer. */
function statusOf(client: RawClient): string {
  const { fields, ended } = client.answer(1);
  expect(ended).toBe(true);
  const list = fields.at(-1);
  const http = fieldOf(fields[0], ":status");
  return `${http} ${fieldOf(list, "grpc-status")}: ${fieldOf(list, "grpc-message") ?? ""}`;
}

function ask(fields: string[], body: Uint8Array = message("x")): string {
  const client = RawClient.open();
  client.send(client.headers(1, fields));
  if (!client.frames.some((f) => f.type === RST_STREAM)) {
    client.send(frame(DATA, END_STREAM, 1, body));
  }
  expect(client.end).toBe("open");
  return statusOf(client);
}

/** The request fields with one of them replaced, or left out. */
function without(name: string, value?: string): string[] {
  const fields = requestFields();
  const at = fields.indexOf(name);
  fields.splice(at, 2, ...(value === undefined ? [] : [name, value]));
  return fields;
}

describe("routing", () => {
  const rows: readonly (readonly [string, string])[] = [
    ["/test.Service/Nope", "200 12: unknown method Nope for service test.Service"],
    ["/other.Service/Unary", "200 12: unknown service other.Service"],
    ["/test.Service/Unary/", "200 12: unknown service test.Service/Unary"],
    ["/test.Service/Unary?x", "200 12: unknown method Unary?x for service test.Service"],
    ["//test.Service/Unary", "200 12: unknown service /test.Service"],
    ["/TEST.Service/Unary", "200 12: unknown service TEST.Service"],
    ["/nothing", '200 12: malformed method name: "/nothing"'],
  ];
  for (const [path, status] of rows) {
    test(`${path} is not ${PATH}`, () => expect(ask(requestFields(path))).toBe(status));
  }
});

describe("what a request must be", () => {
  const rows: readonly (readonly [string, string[], string])[] = [
    ["application/grpc+proto", without("content-type", "application/grpc+proto"), "200 0: "],
    ["parameters", without("content-type", "application/grpc;x=y"), "200 0: "],
    ["another codec", without("content-type", "application/grpc+json"), "415 undefined: "],
    ["grpc-web", without("content-type", "application/grpc-web"), "415 undefined: "],
    ["no content-type", without("content-type"), "415 undefined: "],
    ["JSON", without("content-type", "application/json"), "415 undefined: "],
    ["GET", without(":method", "GET"), "405 undefined: "],
    ["no te", without("te"), "200 0: "],
    ["identity", requestFields(PATH, ["grpc-encoding", "identity"]), "200 0: "],
    [
      "unknown encoding",
      requestFields(PATH, ["grpc-encoding", "snappy"]),
      '200 12: grpc: Decompressor is not installed for grpc-encoding "snappy"',
    ],
    [
      "timeout without unit",
      requestFields(PATH, ["grpc-timeout", "10"]),
      '200 13: malformed grpc-timeout: "10"',
    ],
    ["timeout", requestFields(PATH, ["grpc-timeout", "10S"]), "200 0: "],
  ];
  for (const [name, fields, status] of rows) {
    test(name, () => expect(ask(fields)).toBe(status));
  }
});

describe("messages", () => {
  test("no message", () => {
    expect(ask(requestFields(), NONE)).toBe("200 13: the call ended without its request message");
  });
  test("a request of headers alone", () => {
    const client = RawClient.open();
    client.send(client.headers(1, requestFields(), END_HEADERS | END_STREAM));
    expect(statusOf(client)).toBe("200 13: the call ended without its request message");
  });
  test("cut off", () => {
    expect(ask(requestFields(), message("hello").subarray(0, 7))).toBe("200 13: unexpected EOF");
    expect(ask(requestFields(), Buffer.from([0, 0]))).toBe("200 13: unexpected EOF");
  });
  test("two of them", () => {
    const two = Buffer.concat([message("a"), message("b")]);
    const late = requestFields("/test.Service/Late");
    expect(ask(late, two)).toBe("200 13: more than one request message");
  });
  test("a flag that means nothing", () => {
    const text = "200 13: grpc: received unexpected payload format 2";
    expect(ask(requestFields(), message("x", 2))).toBe(text);
  });
  test("compressed without saying so", () => {
    const text = "200 13: grpc: compressed flag set with identity or empty encoding";
    expect(ask(requestFields(), message(gzipSync("x"), 1))).toBe(text);
  });
  test("a length of 4 GiB is refused by its prefix alone", () => {
    const client = RawClient.open();
    client.send(client.headers(1), frame(DATA, 0, 1, Buffer.concat([Buffer.from([0]), u32(-1)])));
    const text = "grpc: received message larger than max (4294967295 vs. 2097152)";
    expect(statusOf(client)).toBe(`200 8: ${text}`);
    expect(client.resets).toEqual(["1 NO_ERROR"]);
  });
  test("gzip that grows more than any honest one", () => {
    const zipped = requestFields(PATH, ["grpc-encoding", "gzip"]);
    const text = "200 8: grpc: failed to decompress: grows more than 100 times";
    expect(ask(zipped, message(gzipSync(Buffer.alloc(1024 * 1024)), 1))).toBe(text);
    const small = ask(zipped, message(gzipSync(Buffer.alloc(8000)), 1)); // 200 times, but little
    expect(small).toBe("200 0: ");
    const liar = gzipSync(Buffer.alloc(1024 * 1024));
    liar.writeUInt32LE(100, liar.length - 4);
    const broken = "200 13: grpc: failed to decompress: not valid gzip";
    expect(ask(zipped, message(liar, 1))).toBe(broken);
    const two = Buffer.concat([gzipSync("x"), gzipSync("hello")]); // 6 bytes, of which 5 are said
    expect(ask(zipped, message(two, 1))).toBe(broken);
  });
  test("gzip, and gzip that is none", () => {
    const zipped = requestFields(PATH, ["grpc-encoding", "gzip"]);
    const client = RawClient.open();
    const body = message(gzipSync("hello"), 1);
    client.send(client.headers(1, zipped), frame(DATA, END_STREAM, 1, body));
    const { fields, data } = client.answer(1);
    expect(data).toEqual(message("hello"));
    expect(fieldOf(fields[0], "grpc-accept-encoding")).toBe("identity,gzip");
    expect(ask(zipped, message("plain", 0))).toBe("200 0: ");
    const broken = "200 13: grpc: failed to decompress: not valid gzip";
    expect(ask(zipped, message("nonsense", 1))).toBe(broken);
  });
  test("END_STREAM in a frame of its own (as many clients do)", () => {
    const client = RawClient.open();
    client.send(client.headers(1), frame(DATA, 0, 1, message("x")));
    expect(client.server.openCalls).toBe(1); // answered; we wait for the client's end
    client.send(frame(DATA, END_STREAM, 1, NONE));
    expect(client.resets).toEqual([]);
    expect(client.server.openCalls).toBe(0);
    expect(client.answer(1).data).toEqual(message("x"));
  });
  test("a client that never ends its unary request is told to stop", () => {
    const client = RawClient.open();
    client.send(client.headers(1), frame(DATA, 0, 1, message("x"))).tick(30_000);
    expect(client.resets).toEqual(["1 NO_ERROR"]);
    expect(client.server.openCalls).toBe(0);
  });
});

describe("deadlines", () => {
  test("a stream hears of it as a cancel", () => {
    const client = RawClient.open();
    client.send(client.headers(1, requestFields(STREAM_PATH, ["grpc-timeout", "250m"])));
    client.tick(249);
    expect(client.seen.events).toEqual([]);
    client.tick(250);
    expect(client.seen.events).toEqual(["cancel"]);
    expect(statusOf(client)).toBe("200 4: context deadline exceeded");
    expect(client.resets).toEqual(["1 NO_ERROR"]);
  });
  test("of several calls each has its own", () => {
    const client = RawClient.open();
    for (const [id, ms] of [
      [1, 300],
      [3, 100],
      [5, 200],
    ] as const) {
      client.send(client.headers(id, requestFields(STREAM_PATH, ["grpc-timeout", `${ms}m`])));
    }
    for (const [now, open] of [
      [99, 3],
      [100, 2],
      [199, 2],
      [250, 1],
      [300, 0],
    ] as const) {
      expect(client.tick(now).server.openCalls).toBe(open);
    }
  });
});

describe("handlers that break", () => {
  const thrower = (): never => {
    throw new Error("broken");
  };
  const stream = { onMessage: thrower, onHalfClose: thrower, onCancel: thrower, onDrain: thrower };

  test("in starting, in a message, at the half close, in onCancel", () => {
    const path = "/a.B/C";
    const starts = RawClient.open({ methods: [{ path, stream: thrower }] });
    starts.send(starts.headers(1, requestFields(path)));
    expect(statusOf(starts)).toBe("200 13: Error: broken");
    for (const body of [message("x"), NONE]) {
      const client = RawClient.open({ methods: [{ path, stream: () => stream }] });
      client.send(client.headers(1, requestFields(path)), frame(DATA, END_STREAM, 1, body));
      expect(statusOf(client)).toBe("200 13: Error: broken");
    }
    const client = RawClient.open({ methods: [{ path, stream: () => stream }] });
    client.send(client.headers(1, requestFields(path)), frame(RST_STREAM, 0, 1, u32(8)));
    expect(client.end).toBe("open");
    expect(client.server.openCalls).toBe(0);
  });

  test("by an assertion: mapError lets it through, and nothing hides it", () => {
    const path = "/a.B/C";
    const mapError = (error: unknown): never => {
      throw error;
    };
    const unary = (): void => assert(false, "our own mistake");
    const client = RawClient.open({ methods: [{ path, unary }], mapError });
    expect(() => client.send(client.request(1, "x", requestFields(path)))).toThrow(AssertionError);
  });
});

describe("requests that are not gRPC", () => {
  const plain = (method: string, path: string, extra: string[] = []): string[] => [
    ...[":method", method, ":scheme", "http", ":path", path, ":authority", "host:1", ...extra],
  ];
  const echo: HttpHandler = (request, response) => {
    const { method, path, query, peer } = request;
    const text = `${method} ${path} ${query} ${peer} ${request.headers.get("host")} `;
    response.end(200, ["x-kind", "echo"], Buffer.concat([Buffer.from(text), request.body]));
  };

  test("are answered whole", () => {
    const client = RawClient.open({ http: echo });
    const headers = client.headers(1, plain("GET", "/health?a=b"), END_HEADERS | END_STREAM);
    client.send(headers);
    const { fields, data, ended } = client.answer(1);
    expect(fields).toEqual([[":status", "200", "x-kind", "echo", "content-length", "27"]]);
    expect(String(data)).toBe("GET /health a=b raw host:1 ".padEnd(27));
    expect(ended).toBe(true);
    expect(client.server.openCalls).toBe(0);
  });
  test("with a body in pieces, larger than the window", () => {
    const client = RawClient.open({ http: echo });
    client.send(client.headers(1, plain("POST", "/p", ["content-type", "application/json"])));
    for (let count = 0; count < 8; count++)
      client.send(frame(DATA, 0, 1, Buffer.alloc(10_000, 65)));
    client.send(frame(DATA, END_STREAM, 1, NONE));
    expect(client.end).toBe("open");
    client.send(frame(8, 0, 1, u32(100_000)), frame(8, 0, 0, u32(100_000)));
    expect(String(client.answer(1).data)).toBe(`POST /p  raw host:1 ${"A".repeat(80_000)}`);
  });
  test("a body over the limit: 413", () => {
    const client = RawClient.open({ http: echo, receiveBytesMax: 100 });
    client.send(client.headers(1, plain("POST", "/p")), frame(DATA, 0, 1, Buffer.alloc(101)));
    expect(fieldOf(client.answer(1).fields[0], ":status")).toBe("413");
    expect(client.resets).toEqual(["1 NO_ERROR"]);
  });
  test("HEAD has no body, an unknown method is 501, a handler that throws is 500", () => {
    const broken: HttpHandler = (request, response) => {
      if (request.path === "/throw") throw new Error("broken");
      echo(request, response);
    };
    for (const [method, path, status, size] of [
      ["HEAD", "/a", "200", 0],
      ["BREW", "/a", "501", 0],
      ["GET", "/throw", "500", 0],
    ] as const) {
      const client = RawClient.open({ http: broken });
      client.send(client.headers(1, plain(method, path), END_HEADERS | END_STREAM));
      const { fields, data, ended } = client.answer(1);
      expect([fieldOf(fields[0], ":status"), data.length, ended]).toEqual([status, size, true]);
    }
  });
  test("streamed answers, and a client that goes", () => {
    const log: string[] = [];
    const http: HttpHandler = (_, response) => {
      response.onCancel = () => log.push("cancel");
      response.start(200, []);
      response.write("one ");
      response.write(Buffer.from("two"));
      if (_.path === "/end") response.finish();
      else log.push(`cancelled ${response.cancelled}`);
    };
    const client = RawClient.open({ http });
    client.send(client.headers(1, plain("GET", "/end"), END_HEADERS | END_STREAM));
    client.send(client.headers(3, plain("GET", "/stay"), END_HEADERS | END_STREAM));
    client.send(frame(RST_STREAM, 0, 3, u32(8)));
    expect(log).toEqual(["cancelled false", "cancel"]);
    const { data, ended } = client.answer(1);
    expect([String(data), ended]).toEqual(["one two", true]);
  });
  test("a gRPC path without gRPC's content type stays refused", () => {
    const client = RawClient.open({ http: echo });
    client.send(client.headers(1, plain("POST", PATH), END_HEADERS | END_STREAM));
    expect(fieldOf(client.answer(1).fields[0], ":status")).toBe("415");
  });
});
