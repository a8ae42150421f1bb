/** Frames of a WebSocket: RFC 6455's rules, every way of cutting, and what breaks them. */
import { describe, expect, test } from "bun:test";
import { Prng } from "../../../src/base/prng.ts";
import { HttpHeaders, type HttpRequest } from "../../../src/wire/http1/http.ts";
import { CloseCode, Opcode, putFrame } from "../../../src/wire/websocket/frames.ts";
import { acceptFields, refusalOf } from "../../../src/wire/websocket/handshake.ts";
import { WebSocketReader } from "../../../src/wire/websocket/reader.ts";

const MESSAGE_BYTES_MAX = 70_000;

/** A frame of a client: as a server's, and masked. */
function masked(opcode: number, text: string | Buffer, isLast = true, mask = [1, 2, 3, 4]): Buffer {
  const payload = Buffer.from(text);
  const plain = putFrame(opcode as Opcode, isLast, payload);
  const head = plain.subarray(0, plain.length - payload.length);
  head[1] = (head[1] as number) | 0x80;
  const hidden = payload.map((byte, at) => byte ^ (mask[at % 4] as number));
  return Buffer.concat([head, Buffer.from(mask), hidden]);
}

/** What happens when the bytes come in pieces of `step`. */
function events(bytes: Buffer, step = Number.POSITIVE_INFINITY): string[] {
  const log: string[] = [];
  const reader = new WebSocketReader(
    {
      onMessage: (message, start, end) =>
        log.push(`message ${Buffer.from(message.subarray(start, end)).toString()}`),
      onPing: (payload) => log.push(`ping ${Buffer.from(payload).toString()}`),
      onClose: (code) => log.push(`close ${code}`),
    },
    MESSAGE_BYTES_MAX,
  );
  for (let at = 0; at < bytes.length; at += step) {
    const piece = Uint8Array.from(bytes.subarray(at, Math.min(at + step, bytes.length)));
    reader.onData(piece, 0, piece.length);
    piece.fill(0x58);
  }
  return log;
}

const { TEXT, BINARY, CONTINUATION, PING, PONG, CLOSE } = Opcode;
const closing = (code: number): Buffer => Buffer.from([code >> 8, code & 255]);

test("messages, whole and in parts, with a ping between, however they are cut", () => {
  const bytes = Buffer.concat([
    masked(TEXT, "one"),
    masked(TEXT, "t", false),
    masked(PING, "?"),
    masked(CONTINUATION, "w", false),
    masked(CONTINUATION, "o"),
    masked(PONG, "ignored"),
    masked(BINARY, ""),
    masked(TEXT, "x".repeat(126)),
    masked(TEXT, "y".repeat(65_536)),
    masked(CLOSE, closing(1001)),
    masked(TEXT, "dropped"),
  ]);
  const expected = [
    ...["message one", "ping ?", "message two", "message "],
    ...[`message ${"x".repeat(126)}`, `message ${"y".repeat(65_536)}`, "close 1001"],
  ];
  for (const step of [1, 2, 3, 1000, Number.POSITIVE_INFINITY]) {
    expect(events(bytes, step)).toEqual(expected);
  }
});

describe("what ends the connection", () => {
  const half = Buffer.from([0x81, 0x85, 0, 0, 0, 0, 0x61]);
  test.each<[string, Buffer, string[]]>([
    ["a frame without a mask", putFrame(TEXT, true, Buffer.from("a")), ["close 1002"]],
    ["a reserved bit", Buffer.from([0xc1, 0x80]), ["close 1002"]],
    ["an unknown opcode", Buffer.from([0x83, 0x80]), ["close 1002"]],
    ["an unknown control opcode", Buffer.from([0x8b, 0x80]), ["close 1002"]],
    ["a control frame in parts", masked(PING, "", false), ["close 1002"]],
    ["a long control frame", masked(PING, "p".repeat(126)), ["close 1002"]],
    ["a part of nothing", masked(CONTINUATION, "a"), ["close 1002"]],
    [
      "a message inside of one",
      Buffer.concat([masked(TEXT, "a", false), masked(TEXT, "b")]),
      ["close 1002"],
    ],
    [
      "a long message, by its head alone",
      Buffer.from([0x81, 0xff, 0, 0, 0, 0, 0, 1, 17, 113]),
      ["close 1009"],
    ],
    [
      "a message that grows too long",
      Buffer.concat([
        masked(TEXT, "a".repeat(60_000), false),
        masked(CONTINUATION, "b".repeat(10_001)),
      ]),
      ["close 1009"],
    ],
    ["a close without a code", masked(CLOSE, ""), ["close 1000"]],
    ["half a code", masked(CLOSE, "a"), ["close 1002"]],
    ["a code that nobody may send", masked(CLOSE, closing(1006)), ["close 1002"]],
    ["an application's code", masked(CLOSE, closing(4000)), ["close 4000"]],
    ["nothing yet: half a frame", half, []],
  ])("%s", (_, bytes, expected) => {
    expect(events(bytes)).toEqual(expected);
    expect(events(bytes, 1)).toEqual(expected);
  });

  test("garbage never throws, and is told once", () => {
    const prng = new Prng(7);
    for (let round = 0; round < 2000; round++) {
      const bytes = Buffer.from(Array.from({ length: prng.below(40) }, () => prng.below(256)));
      expect(events(bytes).filter((each) => each.startsWith("close")).length).toBeLessThan(2);
    }
  });
});

test("our going away is told once", () => {
  const log: number[] = [];
  const sink = { onMessage() {}, onPing() {}, onClose: (code: number) => log.push(code) };
  const reader = new WebSocketReader(sink, 10);
  reader.onEnd();
  reader.onEnd();
  expect(log).toEqual([CloseCode.GOING_AWAY]);
});

describe("the handshake", () => {
  const request = (method: string, ...fields: string[]): HttpRequest => ({
    ...{ method: method as "GET", path: "/", query: "", body: new Uint8Array(0) },
    ...{ peer: "", siblings: 1, peerName: undefined, secure: false },
    headers: new HttpHeaders(fields),
  });
  const KEY = ["sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="];

  test("proves that it was understood (RFC 6455 §1.3)", () => {
    const fields = acceptFields(request("GET", ...KEY));
    expect(fields).toEqual([
      ...["upgrade", "websocket"],
      ...["sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="],
    ]);
    expect(refusalOf(request("GET", ...KEY, "sec-websocket-version", "13"))).toBeUndefined();
  });

  test("is refused without what it needs", () => {
    const status = (given: HttpRequest): number | undefined => refusalOf(given)?.status;
    expect(status(request("POST", ...KEY, "sec-websocket-version", "13"))).toBe(405);
    expect(status(request("GET", ...KEY))).toBe(400);
    expect(refusalOf(request("GET", ...KEY, "sec-websocket-version", "8"))?.fields).toContain("13");
    const short = ["sec-websocket-key", "abc", "sec-websocket-version", "13"];
    expect(status(request("GET", ...short))).toBe(400);
  });
});
