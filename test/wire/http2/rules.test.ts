/**
 * The MUSTs of RFC 9113, each as a row: what a client sends after the opening, and how the server
 * has to take it. A stream error may be a connection error (§5.4.1).
 */
import { describe, expect, test } from "bun:test";
import { SERVER_LIMITS } from "../../../src/wire/http2/limits.ts";
import { PREFACE } from "../../../src/wire/http2/protocol.ts";
import {
  ACK,
  CONTINUATION,
  DATA,
  END_HEADERS,
  END_STREAM,
  fieldOf,
  frame,
  GOAWAY,
  HEADERS,
  message,
  NONE,
  PADDED,
  PING,
  PRIORITY,
  PUSH_PROMISE,
  RawClient,
  RST_STREAM,
  requestFields,
  SETTINGS,
  STREAM_PATH,
  settings,
  u32,
  WINDOW_UPDATE,
} from "./kit.ts";

type Case = readonly [rule: string, send: (client: RawClient) => Uint8Array[], end: string];

const open = (client: RawClient, id = 1): Buffer => client.headers(id, requestFields(STREAM_PATH));

const CONNECTION_CASES: readonly Case[] = [
  ["§4.1 unknown frame types are ignored", () => [frame(0x42, 0xff, 7, u32(1, 2))], "open"],
  ["§4.1 the reserved bit is ignored", (c) => [c.request(0x80000001)], "open"],
  ["§4.2 frame over the size", () => [frame(DATA, 0, 1, Buffer.alloc(16385))], "FRAME_SIZE_ERROR"],
  ["§4.3 broken block", () => [frame(HEADERS, 5, 1, Buffer.from([0x80]))], "COMPRESSION_ERROR"],
  ["§5.1 DATA on idle", () => [frame(DATA, 0, 1, NONE)], "PROTOCOL_ERROR"],
  ["§5.1 RST_STREAM on idle", () => [frame(RST_STREAM, 0, 1, u32(8))], "PROTOCOL_ERROR"],
  ["§5.1 WINDOW_UPDATE on idle", () => [frame(WINDOW_UPDATE, 0, 1, u32(1))], "PROTOCOL_ERROR"],
  ["§5.1 CONTINUATION on idle", () => [frame(CONTINUATION, 4, 1, NONE)], "PROTOCOL_ERROR"],
  ["§5.1 PRIORITY on idle is fine", () => [frame(PRIORITY, 0, 9, Buffer.alloc(5))], "open"],
  [
    "§5.1 half-closed (remote): DATA",
    (c) => [
      c.headers(1, requestFields("/test.Service/Late")),
      frame(DATA, END_STREAM, 1, message("x")),
      frame(DATA, 0, 1, message("x")),
    ],
    "STREAM_CLOSED",
  ],
  [
    "§5.1 half-closed (remote): HEADERS",
    (c) => [c.request(1, "x", requestFields("/test.Service/Late")), c.headers(1)],
    "STREAM_CLOSED",
  ],
  [
    "§5.1 half-closed (remote): WINDOW_UPDATE and PRIORITY are fine",
    (c) => [
      c.request(1, "x", requestFields("/test.Service/Late")),
      frame(WINDOW_UPDATE, 0, 1, u32(5)),
      frame(PRIORITY, 0, 1, Buffer.alloc(5)),
    ],
    "open",
  ],
  ["§5.1 closed: DATA", (c) => [c.request(1), frame(DATA, 0, 1, NONE)], "STREAM_CLOSED"],
  ["§5.1 closed: HEADERS", (c) => [c.request(1), c.headers(1)], "STREAM_CLOSED"],
  [
    "§5.1 closed: late WINDOW_UPDATE and RST_STREAM are fine",
    (c) => [c.request(1), frame(WINDOW_UPDATE, 0, 1, u32(1)), frame(RST_STREAM, 0, 1, u32(8))],
    "open",
  ],
  [
    "§5.1 closed by the peer's RST_STREAM: DATA",
    (c) => [open(c), frame(RST_STREAM, 0, 1, u32(8)), frame(DATA, 0, 1, NONE)],
    "STREAM_CLOSED",
  ],
  ["§5.1.1 even stream", (c) => [c.headers(2)], "PROTOCOL_ERROR"],
  ["§5.1.1 stream ids go up", (c) => [c.request(5), c.headers(3)], "STREAM_CLOSED"],
  ["§6.1 DATA on stream 0", () => [frame(DATA, 0, 0, NONE)], "PROTOCOL_ERROR"],
  [
    "§6.1 padding over the payload",
    (c) => [open(c), frame(DATA, PADDED, 1, Buffer.from([4, 0, 0, 0]))],
    "PROTOCOL_ERROR",
  ],
  [
    "§6.1 padding that fills the payload",
    (c) => [open(c), frame(DATA, PADDED, 1, Buffer.from([3, 0, 0, 0]))],
    "open",
  ],
  ["§6.1 no pad length", (c) => [open(c), frame(DATA, PADDED, 1, NONE)], "FRAME_SIZE_ERROR"],
  ["§6.2 HEADERS on stream 0", (c) => [c.headers(0)], "PROTOCOL_ERROR"],
  [
    "§6.2 padding over the block",
    () => [frame(HEADERS, END_HEADERS | PADDED, 1, Buffer.from([2, 0x82]))],
    "PROTOCOL_ERROR",
  ],
  [
    "§6.2 priority cut off",
    () => [frame(HEADERS, END_HEADERS | 0x20, 1, Buffer.alloc(4))],
    "FRAME_SIZE_ERROR",
  ],
  ["§6.3 PRIORITY on stream 0", () => [frame(PRIORITY, 0, 0, Buffer.alloc(5))], "PROTOCOL_ERROR"],
  ["§6.3 PRIORITY size", () => [frame(PRIORITY, 0, 1, Buffer.alloc(4))], "FRAME_SIZE_ERROR"],
  ["§6.4 RST_STREAM on stream 0", () => [frame(RST_STREAM, 0, 0, u32(0))], "PROTOCOL_ERROR"],
  ["§6.4 RST_STREAM size", (c) => [open(c), frame(RST_STREAM, 0, 1, NONE)], "FRAME_SIZE_ERROR"],
  ["§6.5 SETTINGS ack with payload", () => [frame(SETTINGS, ACK, 0, u32(1))], "FRAME_SIZE_ERROR"],
  ["§6.5 SETTINGS on a stream", () => [frame(SETTINGS, 0, 1, NONE)], "PROTOCOL_ERROR"],
  ["§6.5 SETTINGS size", () => [frame(SETTINGS, 0, 0, u32(1))], "FRAME_SIZE_ERROR"],
  ["§6.5.2 ENABLE_PUSH 2", () => [settings([2, 2])], "PROTOCOL_ERROR"],
  ["§6.5.2 window over 2^31-1", () => [settings([4, 0x80000000])], "FLOW_CONTROL_ERROR"],
  ["§6.5.2 MAX_FRAME_SIZE 16383", () => [settings([5, 16383])], "PROTOCOL_ERROR"],
  ["§6.5.2 MAX_FRAME_SIZE 0", () => [settings([5, 0])], "PROTOCOL_ERROR"],
  ["§6.5.2 MAX_FRAME_SIZE 2^24", () => [settings([5, 1 << 24])], "PROTOCOL_ERROR"],
  ["§6.5.2 unknown settings are ignored", () => [settings([0xf0f0, 7])], "open"],
  ["§6.6 PUSH_PROMISE", (c) => [open(c), frame(PUSH_PROMISE, 4, 1, u32(2))], "PROTOCOL_ERROR"],
  ["§6.7 PING on a stream", () => [frame(PING, 0, 1, Buffer.alloc(8))], "PROTOCOL_ERROR"],
  ["§6.7 PING size", () => [frame(PING, 0, 0, Buffer.alloc(7))], "FRAME_SIZE_ERROR"],
  ["§6.8 GOAWAY on a stream", () => [frame(GOAWAY, 0, 1, u32(0, 0))], "PROTOCOL_ERROR"],
  ["§6.8 GOAWAY size", () => [frame(GOAWAY, 0, 0, u32(0))], "FRAME_SIZE_ERROR"],
  ["§6.9 WINDOW_UPDATE size", () => [frame(WINDOW_UPDATE, 0, 0, NONE)], "FRAME_SIZE_ERROR"],
  ["§6.9 increment 0", () => [frame(WINDOW_UPDATE, 0, 0, u32(0))], "PROTOCOL_ERROR"],
  [
    "§6.9 increment 0 on a stream",
    (c) => [open(c), frame(WINDOW_UPDATE, 0, 1, u32(0))],
    "PROTOCOL_ERROR",
  ],
  [
    "§6.9.1 connection window over 2^31-1",
    () => [frame(WINDOW_UPDATE, 0, 0, u32(0x7fffffff))],
    "FLOW_CONTROL_ERROR",
  ],
  [
    "§6.9.1 stream window over 2^31-1",
    (c) => [open(c), frame(WINDOW_UPDATE, 0, 1, u32(0x7fffffff))],
    "FLOW_CONTROL_ERROR",
  ],
  [
    "§6.9.2 settings push a window over 2^31-1",
    (c) => [open(c), frame(WINDOW_UPDATE, 0, 1, u32(0x7fff0000)), settings([4, 0x7fffffff])],
    "FLOW_CONTROL_ERROR",
  ],
  ["§6.10 CONTINUATION alone", (c) => [open(c), frame(CONTINUATION, 4, 1, NONE)], "PROTOCOL_ERROR"],
  [
    "§6.10 another frame inside a block",
    (c) => [frame(HEADERS, 0, 1, c.block(requestFields())), frame(PING, 0, 0, Buffer.alloc(8))],
    "PROTOCOL_ERROR",
  ],
  [
    "§6.10 CONTINUATION of another stream",
    (c) => [frame(HEADERS, 0, 1, c.block(requestFields())), frame(CONTINUATION, 4, 3, NONE)],
    "PROTOCOL_ERROR",
  ],
  [
    "§6.10 a block in three frames",
    (c) => {
      const block = c.block(requestFields(STREAM_PATH));
      return [
        frame(HEADERS, 0, 1, block.subarray(0, 3)),
        frame(CONTINUATION, 0, 1, block.subarray(3, 9)),
        frame(CONTINUATION, END_HEADERS, 1, block.subarray(9)),
      ];
    },
    "open",
  ],
];

describe("connection errors", () => {
  for (const [rule, send, end] of CONNECTION_CASES) {
    test(rule, () => {
      const client = RawClient.open();
      client.send(...send(client));
      expect(client.end).toBe(end === "open" ? "open" : `GOAWAY ${end}`);
      if (end === "open") expect(client.resets).toEqual([]);
    });
  }

  test("§6.9.1 DATA over the stream's window, padding counted", () => {
    const client = RawClient.open();
    // Held as one incomplete message of 65,535 bytes, so that no window is returned.
    const prefix = Buffer.concat([Buffer.from([0]), u32(65_535 - 5)]);
    client.send(open(client), frame(DATA, 0, 1, Buffer.concat([prefix, Buffer.alloc(16_379)])));
    for (let index = 0; index < 3; index++) client.send(frame(DATA, 0, 1, Buffer.alloc(16_383)));
    expect(client.end).toBe("open");
    client.send(frame(DATA, PADDED, 1, Buffer.from([2, 1, 0, 0])));
    expect(client.end).toBe("GOAWAY FLOW_CONTROL_ERROR");
  });
});

describe("§3.4 the preface", () => {
  test("anything else ends the connection", () => {
    const client = new RawClient();
    client.send(Buffer.from("GET / HTTP/1.1\r\n"));
    expect(client.end).toBe("GOAWAY PROTOCOL_ERROR");
  });
  test("SETTINGS come first", () => {
    const client = new RawClient();
    client.send(PREFACE, frame(PING, 0, 0, Buffer.alloc(8)));
    expect(client.end).toBe("GOAWAY PROTOCOL_ERROR");
  });
  test("a SETTINGS ack is not SETTINGS", () => {
    const client = new RawClient();
    client.send(PREFACE, frame(SETTINGS, ACK, 0, NONE));
    expect(client.end).toBe("GOAWAY PROTOCOL_ERROR");
  });
  test("ours are SETTINGS, then an ack", () => {
    const client = new RawClient().send(PREFACE, settings());
    const types = client.frames.map((f) => [f.type, f.flags]);
    expect(types).toEqual([
      [SETTINGS, 0],
      [WINDOW_UPDATE, 0],
      [SETTINGS, ACK],
    ]);
  });
});

const MALFORMED: readonly (readonly [rule: string, fields: string[]])[] = [
  ["§8.2.1 upper-case name", [...requestFields(), "X-Big", "1"]],
  ["§8.2.1 line feed in a value", [...requestFields(), "x", "a\nb"]],
  ["§8.2.1 NUL in a value", [...requestFields(), "x", "a\0b"]],
  ["§8.2.1 space before a value", [...requestFields(), "x", " a"]],
  ["§8.2.2 connection", [...requestFields(), "connection", "close"]],
  ["§8.2.2 keep-alive", [...requestFields(), "keep-alive", "1"]],
  ["§8.2.2 proxy-connection", [...requestFields(), "proxy-connection", "1"]],
  ["§8.2.2 transfer-encoding", [...requestFields(), "transfer-encoding", "chunked"]],
  ["§8.2.2 upgrade", [...requestFields(), "upgrade", "h2c"]],
  ["§8.2.2 te other than trailers", [...requestFields(), "te", "gzip"]],
  ["§8.3 pseudo field after a regular one", [...requestFields(), ":authority", "b"]],
  ["§8.3 unknown pseudo field", [":foo", "bar", ...requestFields()]],
  ["§8.3 response pseudo field", [":status", "200", ...requestFields()]],
  ["§8.3.1 two paths", [":path", "/", ...requestFields()]],
  ["§8.3.1 no method", requestFields().slice(2)],
  ["§8.3.1 no scheme", [":method", "POST", ":path", "/a"]],
  ["§8.3.1 no path", [":method", "POST", ":scheme", "http"]],
  ["§8.3.1 empty path", [":method", "POST", ":scheme", "http", ":path", ""]],
  ["§8.3.1 path without a slash", [":method", "POST", ":scheme", "http", ":path", "a/b"]],
  ["§8.3.1 host that contradicts", [...requestFields(), "host", "other"]],
  ["§8.5 CONNECT", [":method", "CONNECT", ":authority", "a:1"]],
  ["§8.1.1 content-length is no number", [...requestFields(), "content-length", "1x"]],
  [
    "§8.1.1 two content-lengths",
    [...requestFields(), "content-length", "1", "content-length", "2"],
  ],
];

describe("§8.1.1 malformed requests are stream errors", () => {
  for (const [rule, fields] of MALFORMED) {
    test(rule, () => {
      const client = RawClient.open();
      client.send(client.headers(1, fields));
      expect(client.resets).toEqual(["1 PROTOCOL_ERROR"]);
      expect(client.end).toBe("open");
      // The connection goes on, and the decoder is in step.
      client.frames = [];
      client.send(client.request(3));
      expect(client.answer(3).ended).toBe(true);
    });
  }

  const withLength = (length: number): string[] =>
    requestFields(undefined, ["content-length", String(length)]);

  test("§8.1.1 content-length that DATA does not reach", () => {
    const client = RawClient.open();
    client.send(client.request(1, "12345", withLength(11)));
    expect(client.resets).toEqual(["1 PROTOCOL_ERROR"]);
  });
  test("§8.1.1 content-length that DATA exceeds", () => {
    const client = RawClient.open();
    client.send(client.headers(1, withLength(4)), frame(DATA, 0, 1, message("12345")));
    expect(client.resets).toEqual(["1 PROTOCOL_ERROR"]);
  });
  test("§8.1.1 content-length without DATA", () => {
    const client = RawClient.open();
    client.send(client.headers(1, withLength(4), END_HEADERS | END_STREAM));
    expect(client.resets).toEqual(["1 PROTOCOL_ERROR"]);
  });
  test("§8.1.1 content-length that agrees, padding not counted", () => {
    const client = RawClient.open();
    const padded = Buffer.concat([Buffer.from([2]), message("12345"), Buffer.alloc(2)]);
    client.send(client.headers(1, withLength(10)), frame(DATA, END_STREAM | PADDED, 1, padded));
    expect(client.resets).toEqual([]);
    expect(client.answer(1).data).toEqual(message("12345"));
  });

  for (const [rule, fields, flags] of [
    ["§8.1 trailers without END_STREAM", ["x", "y"], END_HEADERS],
    ["§8.1 trailers with a pseudo field", [":path", "/"], END_HEADERS | END_STREAM],
  ] as const) {
    test(rule, () => {
      const client = RawClient.open();
      client.send(open(client), client.headers(1, [...fields], flags));
      expect(client.resets).toEqual(["1 PROTOCOL_ERROR"]);
      expect(client.seen.events).toEqual(["cancel"]);
    });
  }

  test("§8.1 trailers end a request", () => {
    const client = RawClient.open();
    client.send(open(client), client.headers(1, ["x", "y"], END_HEADERS | END_STREAM));
    expect(client.seen.events).toEqual(["half close"]);
    expect(client.answer(1).ended).toBe(true);
  });
});

describe("what is answered", () => {
  test("§6.7 PING with the same bytes", () => {
    const client = RawClient.open();
    client.send(frame(PING, 0, 0, u32(1, 2)));
    expect(client.frames).toEqual([{ type: PING, flags: ACK, id: 0, payload: u32(1, 2) }]);
  });
  test("§6.7 a PING ack is not answered", () => {
    const client = RawClient.open().send(frame(PING, ACK, 0, u32(1, 2)));
    expect(client.frames).toEqual([]);
  });
  test("§6.5.3 SETTINGS with an ack", () => {
    const client = RawClient.open().send(settings([3, 5]));
    expect(client.frames).toEqual([{ type: SETTINGS, flags: ACK, id: 0, payload: NONE }]);
  });
  test("§5.1.2 a stream over the limit is refused", () => {
    const client = RawClient.open();
    const fields = requestFields("/test.Service/Late");
    const last = SERVER_LIMITS.concurrentStreamsMax * 2 - 1;
    const requests: Buffer[] = [];
    for (let id = 1; id <= last; id += 2) requests.push(client.request(id, "x", fields));
    client.send(...requests);
    expect(client.resets).toEqual([]);
    client.send(client.request(last + 2, "x", fields));
    expect(client.resets).toEqual([`${last + 2} REFUSED_STREAM`]);
    client.frames = [];
    client.seen.calls[0]?.reply(NONE, 0, 0);
    client.read().send(client.request(last + 4));
    expect(client.resets).toEqual([]);
  });
  test("§5.1 frames that crossed our RST_STREAM are ignored", () => {
    const client = RawClient.open();
    client.send(client.headers(1, requestFields("/no.Such/Method")));
    expect(client.resets).toEqual(["1 NO_ERROR"]);
    client.send(frame(DATA, 0, 1, message("x")), client.headers(1, ["a", "b"], 5));
    expect(client.end).toBe("open");
    client.send(client.request(3));
    expect(client.answer(3).ended).toBe(true);
  });
  test("§6.8 requests above the last stream of our GOAWAY are not served", () => {
    const client = RawClient.open();
    client.send(client.headers(1, requestFields(STREAM_PATH)));
    client.server.shutdown(0);
    const ping = client.read().frames.find((f) => f.type === PING);
    client.send(frame(PING, ACK, 0, ping?.payload ?? NONE)); // the second GOAWAY follows
    client.send(client.headers(3, requestFields(STREAM_PATH)), frame(DATA, 0, 3, message("x")));
    expect(client.seen.calls).toHaveLength(1);
    expect(client.server.closing).toBe(false);
    const goaways = client.frames.filter((f) => f.type === GOAWAY);
    expect(goaways.map((f) => f.payload.readUInt32BE(0))).toEqual([0x7fffffff, 1]);
    client.send(client.headers(1, ["end", "1"], END_HEADERS | END_STREAM)); // decodes in step
    expect(client.answer(1).ended).toBe(true);
    expect(client.server.closing).toBe(true);
  });
  test("RFC 7541 §4.2 the peer's table size is obeyed between answers", () => {
    const client = RawClient.open();
    client.send(client.request(1), client.request(3), settings([1, 0]), client.request(5));
    client.send(settings([1, 100]), client.request(7), settings([1, 4096]), client.request(9));
    for (const id of [1, 3, 5, 7, 9]) client.send(client.request(id + 20));
    const lists = client.frames.filter((f) => f.type === HEADERS).map((f) => client.fieldsOf(f));
    expect(lists).toHaveLength(20);
    lists.forEach((list, index) => {
      const name = index % 2 === 0 ? ":status" : "grpc-status";
      expect(fieldOf(list, name)).toBe(index % 2 === 0 ? "200" : "0");
    });
  });
  test("§4.3 a list over our limit is refused, and the connection goes on", () => {
    const client = RawClient.open();
    const extra = Array.from({ length: 60 }, (_, index) => [`x-${index}`, "a".repeat(300)]).flat();
    client.send(client.headers(1, requestFields(undefined, extra)));
    expect(client.resets).toEqual(["1 ENHANCE_YOUR_CALM"]);
    client.frames = [];
    client.send(client.request(3));
    const { fields } = client.answer(3);
    expect(fieldOf(fields[1], "grpc-status")).toBe("0");
  });
});
