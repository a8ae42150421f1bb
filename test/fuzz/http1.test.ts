/** HTTP/1.1 requests and WebSocket frames, right and wrong, in any chunking. */
import { expect } from "bun:test";
import fc from "fast-check";
import type { BodyReader } from "../../src/wire/http1/http.ts";
import { HTTP_LIMITS } from "../../src/wire/http1/limits.ts";
import { WebSocketReader } from "../../src/wire/websocket/reader.ts";
import { Driver } from "../wire/http1/driver.ts";
import { fuzz } from "./fuzz.ts";

const LIMITS = { ...HTTP_LIMITS, lineBytesMax: 60, fieldBytesMax: 120, bodyBytesMax: 64 };
/** What the parser may answer with; 200 is the handler's. */
const STATUSES = [100, 200, 400, 413, 414, 417, 431, 501, 505];

const method = fc.constantFrom("GET", "POST", "PUT", "OPTIONS", "HEAD", "TRACE", "get", "");
const target = fc.constantFrom(
  "/",
  "/a?b",
  "*",
  "http://h/a",
  "//x",
  "/a#b",
  "/\0",
  "/".repeat(70),
);
const version = fc.constantFrom("HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "http/1.1", "HTTP/1.1 ", "");
const eol = fc.oneof(
  { weight: 20, arbitrary: fc.constant("\r\n") },
  { weight: 1, arbitrary: fc.constantFrom("\n", "\r", "\r\r\n", "\n\r") },
);
const field = fc.oneof(
  { weight: 6, arbitrary: fc.constant("Host: h") },
  fc.constantFrom("Content-Length: 3", "Content-Length: 0", "Content-Length: 65"),
  fc.constantFrom("Content-Length: +3", "Content-Length: 3, 3", "content-length:3", "X: y"),
  fc.constantFrom("Transfer-Encoding: chunked", "Transfer-Encoding: CHUNKED, gzip"),
  fc.constantFrom("Transfer-Encoding : chunked", " folded", "Expect: 100-continue", "Expect: x"),
  fc.constantFrom("Connection: close", "Connection: keep-alive", `Long: ${"x".repeat(130)}`),
  fc.string({ maxLength: 12, unit: "binary-ascii" }),
);
const body = fc.oneof(
  fc.constantFrom("", "abc", "3\r\nabc\r\n0\r\n\r\n", "0\r\n\r\n", "0\r\nt: r\r\n\r\n"),
  fc.constantFrom("ffffffff\r\n", "-1\r\n", "3;x=y\r\nabc\r\n0\r\n\r\n", "0x3\r\nabc\r\n"),
  fc.string({ maxLength: 10, unit: "binary-ascii" }),
);
const request = fc
  .tuple(method, target, version, fc.array(field, { maxLength: 5 }), body, fc.array(eol))
  .map(([verb, path, protocol, fields, content, ends]) => {
    let next = 0;
    const end = (): string => ends[next++] ?? "\r\n";
    const lines = [`${verb} ${path} ${protocol}`, ...fields, ""];
    return lines.map((text) => text + end()).join("") + content;
  });
const plain = fc.constantFrom("GET / HTTP/1.1\r\nHost: h\r\n\r\n", "");

/** Sizes of pieces; used in turn. */
const cuts = fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 6 });

function inPieces(bytes: Buffer, sizes: readonly number[], take: (piece: Buffer) => void): void {
  for (let at = 0, turn = 0; at < bytes.length; turn++) {
    const size = sizes[turn % sizes.length] as number;
    take(bytes.subarray(at, at + size));
    at += size;
  }
}

/** Everything that is answered to these bytes, and what the handler saw. */
function answersTo(bytes: Buffer, sizes: readonly number[]): { out: string; seen: string[] } {
  const driver = new Driver(undefined, { limits: LIMITS });
  inPieces(bytes, sizes, (piece) => driver.send(piece));
  const seen = driver.seen.map(({ request: { method: verb, path, headers, body: content } }) => {
    const length = headers.get("content-length");
    const coding = headers.get("transfer-encoding");
    expect(length === undefined || coding === undefined).toBe(true); // two ends: smuggling
    expect(coding?.toLowerCase() ?? "chunked").toBe("chunked");
    expect(length ?? `${content.length}`).toBe(`${content.length}`);
    expect(headers.get("host") ?? "h").not.toContain(",");
    expect(content.length).toBeLessThanOrEqual(LIMITS.bodyBytesMax);
    return `${verb} ${path} ${Buffer.from(content).toString("latin1")}`;
  });
  const out = driver.take();
  const statuses = [...out.matchAll(/(?:^|\n|\}|[a-z|])HTTP\/1\.1 (\d{3}) /g)].map(([, code]) =>
    Number(code),
  );
  for (const status of statuses) expect(STATUSES).toContain(status);
  const isFault = statuses.some((status) => status >= 400);
  if (isFault) expect(driver.connection.closing).toBe(true); // nothing behind a fault is read
  return { out, seen };
}

fuzz({
  name: "http1-requests",
  inputs: [fc.array(fc.oneof(request, plain), { minLength: 1, maxLength: 4 }), cuts],
  check: (requests, sizes) => {
    const bytes = Buffer.from(requests.join(""), "latin1");
    const whole = answersTo(bytes, [bytes.length + 1]);
    const cut = answersTo(bytes, sizes);
    expect(cut.seen).toEqual(whole.seen);
    // Whether 100 Continue is said depends on whether the body is there already.
    const continued = /HTTP\/1\.1 100 Continue\r\n\r\n/g;
    expect(cut.out.replaceAll(continued, "")).toBe(whole.out.replaceAll(continued, ""));
  },
  runs: 1500,
});

const frame = fc
  .record({
    first: fc.oneof(fc.constantFrom(0x81, 0x82, 0x80, 0x01, 0x00, 0x88, 0x89, 0x8a), fc.nat(255)),
    isMasked: fc.nat(9).map((chance) => chance > 0),
    payload: fc.uint8Array({ maxLength: 140 }),
    mask: fc.uint8Array({ minLength: 4, maxLength: 4 }),
  })
  .map(({ first, isMasked, payload, mask }) => {
    const flag = isMasked ? 0x80 : 0;
    const length = payload.length < 126 ? [flag | payload.length] : [flag | 126, 0, payload.length];
    const covered = payload.map((byte, at) => (isMasked ? byte ^ (mask[at % 4] as number) : byte));
    return Buffer.concat([Buffer.from([first, ...length]), isMasked ? mask : NONE, covered]);
  });
const NONE = new Uint8Array(0);
const MESSAGE_BYTES_MAX = 200;

function eventsOf(bytes: Buffer, sizes: readonly number[]): string[] {
  const events: string[] = [];
  const text = (part: Uint8Array): string => Buffer.from(part).toString("hex");
  const reader: BodyReader = new WebSocketReader(
    {
      onMessage: (part, start, end) => events.push(`message ${text(part.subarray(start, end))}`),
      onPing: (payload) => events.push(`ping ${text(payload)}`),
      onClose: (code) => events.push(`close ${code}`),
    },
    MESSAGE_BYTES_MAX,
  );
  inPieces(bytes, sizes, (piece) => {
    const lent = Uint8Array.from(piece);
    reader.onData(lent, 0, lent.length);
    lent.fill(0x58);
    expect(reader.held).toBeLessThan(2 * MESSAGE_BYTES_MAX + 200);
  });
  return events;
}

fuzz({
  name: "websocket-frames",
  inputs: [fc.oneof(fc.array(frame, { maxLength: 8 }), fc.array(fc.uint8Array())), cuts],
  check: (frames, sizes) => {
    const bytes = Buffer.concat(frames);
    const whole = eventsOf(bytes, [bytes.length + 1]);
    expect(eventsOf(bytes, sizes)).toEqual(whole);
    const closes = whole.filter((event) => event.startsWith("close"));
    expect(closes.length).toBeLessThanOrEqual(1);
    if (closes.length === 1) expect(whole.at(-1)).toBe(closes[0] as string);
    for (const event of whole) {
      if (event.startsWith("message")) {
        expect(event.length).toBeLessThanOrEqual("message ".length + 2 * MESSAGE_BYTES_MAX);
      }
    }
  },
  runs: 1500,
});
