/** Requests, sound and hostile, whole and in every pair of pieces. */
import { describe, expect, test } from "bun:test";
import { Prng } from "../../../src/base/prng.ts";
import { HTTP_LIMITS } from "../../../src/wire/http1/limits.ts";
import { Driver, statuses } from "./driver.ts";

const GET = "GET / HTTP/1.1\r\nHost: a\r\n";

/** [what, bytes, path, query, header list, body] */
const SOUND: readonly (readonly [string, string, string])[] = [
  ["plain", `${GET}\r\n`, "GET|/||host,a|"],
  ["query", "GET /x?a=b?c HTTP/1.1\r\nHost: a\r\n\r\n", "GET|/x|a=b?c|host,a|"],
  ["empty query", "GET /x? HTTP/1.1\r\nHost: a\r\n\r\n", "GET|/x||host,a|"],
  ["blanks around a value", `${GET}X-Y:\t a b \t\r\n\r\n`, "GET|/||host,a,x-y,a b|"],
  ["empty value", `${GET}X:\r\n\r\n`, "GET|/||host,a,x,|"],
  ["bytes above 0x7f in a value", `${GET}X: \xa0\xff\r\n\r\n`, "GET|/||host,a,x,\xa0\xff|"],
  ["one blank line before", `\r\n${GET}\r\n`, "GET|/||host,a|"],
  ["empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", "GET|/||host,|"],
  ["IPv6 Host", "GET / HTTP/1.1\r\nHost: [::1]:2379\r\n\r\n", "GET|/||host,[::1]:2379|"],
  ["HTTP/1.0 without Host", "GET / HTTP/1.0\r\n\r\n", "GET|/|||"],
  ["HTTP/1.2 is read as 1.1", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", "GET|/||host,a|"],
  ["absolute target", "GET http://h:1/p?q HTTP/1.1\r\nHost: a\r\n\r\n", "GET|/p|q|host,h:1|"],
  ["absolute target alone", "GET HTTPS://h HTTP/1.1\r\nHost: a\r\n\r\n", "GET|/||host,h|"],
  ["absolute target, query", "GET http://h?q HTTP/1.1\r\nHost: a\r\n\r\n", "GET|/|q|host,h|"],
  ["OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS|*||host,a|"],
  [
    "length",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n\r\n\0ab",
    "POST|/||host,a,content-length,5|\r\n\0ab",
  ],
  [
    "length of zero",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
    "POST|/||host,a,content-length,0|",
  ],
  [
    "chunks, extension, trailer",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n" +
      '3\r\nabc\r\n00A;x="y"\r\n0123456789\r\n0\r\nX-T: 1\r\n\r\n',
    "POST|/||host,a,transfer-encoding,Chunked|abc0123456789",
  ],
  [
    "no chunk but the last",
    "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "PUT|/||host,a,transfer-encoding,chunked|",
  ],
];

function bodyOf(answer: string): string {
  return answer.slice(answer.indexOf("\r\n\r\n") + 4);
}

describe("sound requests", () => {
  for (const [what, bytes, expected] of SOUND) {
    test(what, () => {
      expect(bodyOf(new Driver().send(bytes).take())).toBe(expected);
      expect(bodyOf(new Driver().send(bytes, 1).take())).toBe(expected);
      for (let at = 1; at < bytes.length; at++) {
        const driver = new Driver().send(bytes.slice(0, at));
        expect(driver.seen).toHaveLength(0);
        expect(bodyOf(driver.send(bytes.slice(at)).take())).toBe(expected);
      }
    });
  }

  test("all of them in one connection, cut anywhere, are answered in order", () => {
    const lasting = SOUND.filter(([what]) => !what.startsWith("HTTP/1.0"));
    const bytes = lasting.map(([, each]) => each).join("");
    const whole = new Driver().send(bytes).take();
    expect(statuses(whole)).toEqual(lasting.map(() => 200));
    const random = new Prng(3);
    for (let round = 0; round < 200; round++) {
      const driver = new Driver();
      for (let at = 0; at < bytes.length; ) {
        const count = 1 + random.below(40);
        driver.send(bytes.slice(at, at + count));
        at += count;
      }
      expect(driver.take()).toBe(whole);
    }
  });

  test("methods", () => {
    for (const method of ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]) {
      const driver = new Driver().send(`${method} /m HTTP/1.1\r\nHost: a\r\n\r\n`);
      expect(driver.seen[0]?.request.method).toBe(method as "GET");
    }
  });

  test("fields of one name are joined, and looked up in lower case", () => {
    const driver = new Driver().send(`${GET}X-A: 1\r\nx-b: 2\r\nx-a: 3\r\n\r\n`);
    const headers = driver.seen[0]?.request.headers;
    expect(headers?.get("x-a")).toBe("1, 3");
    expect(headers?.get("x-b")).toBe("2");
    expect(headers?.get("x-c")).toBeUndefined();
    expect(driver.seen[0]?.request.peer).toBe("tester");
  });
});

const POST = "POST / HTTP/1.1\r\nHost: a\r\n";
const CHUNKED = `${POST}Transfer-Encoding: chunked\r\n\r\n`;
const LAST = "\r\n\r\n0\r\n\r\n"; // ends the head, and a body without chunks
const KIB_8 = "x".repeat(8192);

/** Each must be refused with the status, close the connection and reach no handler. */
const HOSTILE: readonly (readonly [string, string, number])[] = [
  // the request line
  ["bare LF after the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n", 400],
  ["the greeting of TLS, without a line's end", "\x16\x03\x01\x02\x00\x01", 400],
  ["no target", "GET HTTP/1.1\r\nHost: a\r\n\r\n", 400],
  ["no version (HTTP/0.9)", "GET /\r\n\r\n", 400],
  ["two spaces", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400],
  ["space behind", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400],
  ["space in the target", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400],
  ["tab for a space", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400],
  ["NUL in the target", "GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", 400],
  ["CR in the target", "GET /\r HTTP/1.1\r\nHost: a\r\n\r\n", 400],
  ["byte above 0x7f in the target", "GET /\xe9 HTTP/1.1\r\nHost: a\r\n\r\n", 400],
  ["fragment", "GET /#a HTTP/1.1\r\nHost: a\r\n\r\n", 400],
  ["relative target", "GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400],
  ["* with GET", "GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400],
  ["other scheme", "GET ftp://h/ HTTP/1.1\r\nHost: a\r\n\r\n", 400],
  ["user in an absolute target", "GET http://u@h/ HTTP/1.1\r\nHost: a\r\n\r\n", 400],
  ["odd host in an absolute target", "GET http://h{/ HTTP/1.1\r\nHost: a\r\n\r\n", 400],
  ["odd host in an absolute target of HTTP/1.0", "GET http://h{/ HTTP/1.0\r\n\r\n", 400],
  ["method with a colon", "GE:T / HTTP/1.1\r\nHost: a\r\n\r\n", 400],
  ["lower-case version", "GET / http/1.1\r\nHost: a\r\n\r\n", 400],
  ["version of two digits", "GET / HTTP/1.10\r\nHost: a\r\n\r\n", 400],
  ["two blank lines before", `\r\n\r\n${GET}\r\n`, 400],
  ["unknown method", "BREW / HTTP/1.1\r\nHost: a\r\n\r\n", 501],
  ["lower-case method", "get / HTTP/1.1\r\nHost: a\r\n\r\n", 501],
  ["CONNECT", "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 501],
  ["TRACE", "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 501],
  ["HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505],
  ["HTTP/0.9 with a version", "GET / HTTP/0.9\r\nHost: a\r\n\r\n", 505],
  ["request line over its bound", `GET /${KIB_8} HTTP/1.1\r\n`, 414],
  ["request line without end", `GET /${KIB_8}${KIB_8}`, 414],
  // fields
  ["bare LF after a field", `${GET}X: y\n\r\n`, 400],
  ["bare LF as the last line", `${GET}\n`, 400],
  ["CR in a value", `${GET}X: a\rb\r\n\r\n`, 400],
  ["CR before CRLF", `${GET}X: a\r\r\n\r\n`, 400],
  ["NUL in a value", `${GET}X: a\0b\r\n\r\n`, 400],
  ["control byte in a value", `${GET}X: a\x01\r\n\r\n`, 400],
  ["DEL in a value", `${GET}X: a\x7f\r\n\r\n`, 400],
  ["space before the colon", `${GET}Content-Length : 5\r\n\r\nhello`, 400],
  ["tab before the colon", `${GET}X\t: 5\r\n\r\n`, 400],
  ["space in a name", `${GET}X Y: 5\r\n\r\n`, 400],
  ["empty name", `${GET}: 5\r\n\r\n`, 400],
  ["no colon", `${GET}X\r\n\r\n`, 400],
  ["byte above 0x7f in a name", `${GET}X\xe9: 5\r\n\r\n`, 400],
  ["folded field", `${GET}X: a\r\n b\r\n\r\n`, 400],
  ["folded with a tab", `${GET}X: a\r\n\tb\r\n\r\n`, 400],
  ["fold before the first field", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400],
  ["no Host", "GET / HTTP/1.1\r\n\r\n", 400],
  ["two Hosts", `${GET}Host: a\r\n\r\n`, 400],
  ["path in Host", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400],
  ["two values in Host", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400],
  ["user in Host", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400],
  ["two authorizations", `${GET}Authorization: a\r\nauthorization: b\r\n\r\n`, 400],
  ["two content-types", `${GET}Content-Type: a\r\ncontent-type: b\r\n\r\n`, 400],
  ["two expectations", `${GET}Expect: 100-continue\r\nExpect: 100-continue\r\n\r\n`, 400],
  ["101 fields", `${GET}${"X: y\r\n".repeat(100)}\r\n`, 431],
  ["fields over their bound", `${GET}X: ${KIB_8}\r\nY: ${KIB_8}\r\n\r\n`, 431],
  ["field without end", `${GET}X: ${KIB_8}${KIB_8}`, 431],
  // where the body ends
  ["two lengths", `${POST}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello`, 400],
  ["the same length twice", `${POST}Content-Length: 5\r\ncontent-length: 5\r\n\r\nhello`, 400],
  ["a list of lengths", `${POST}Content-Length: 5, 5\r\n\r\nhello`, 400],
  ["signed length", `${POST}Content-Length: +5\r\n\r\nhello`, 400],
  ["negative length", `${POST}Content-Length: -5\r\n\r\nhello`, 400],
  ["hexadecimal length", `${POST}Content-Length: 0x5\r\n\r\nhello`, 400],
  ["empty length", `${POST}Content-Length:\r\n\r\n`, 400],
  ["length with a blank inside", `${POST}Content-Length: 1 0\r\n\r\n0123456789`, 400],
  ["length with an exponent", `${POST}Content-Length: 1e1\r\n\r\n0123456789`, 400],
  ["length over the bound", `${POST}Content-Length: 2097153\r\n\r\n`, 413],
  ["length beyond all numbers", `${POST}Content-Length: ${"9".repeat(400)}\r\n\r\n`, 413],
  ["length and coding", `${POST}Content-Length: 5\r\nTransfer-Encoding: chunked${LAST}`, 400],
  ["coding and length", `${POST}Transfer-Encoding: chunked\r\nContent-Length: 5${LAST}`, 400],
  ["coding twice", `${POST}Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n`, 400],
  ["coding in HTTP/1.0", `POST / HTTP/1.0\r\nTransfer-Encoding: chunked${LAST}`, 400],
  ["other coding", `${POST}Transfer-Encoding: gzip\r\n\r\n`, 501],
  ["chunked in a list", `${POST}Transfer-Encoding: gzip, chunked\r\n\r\n`, 501],
  ["chunked twice", `${POST}Transfer-Encoding: chunked, chunked\r\n\r\n`, 501],
  ["chunked with a vertical tab", `${POST}Transfer-Encoding: \x0bchunked\r\n\r\n`, 400],
  ["chunked with a no-break space", `${POST}Transfer-Encoding: \xa0chunked\r\n\r\n`, 501],
  ["empty coding", `${POST}Transfer-Encoding:\r\n\r\n`, 501],
  ["unknown expectation", `${POST}Expect: tea\r\nContent-Length: 5\r\n\r\n`, 417],
  // chunks
  ["chunk size with a sign", `${CHUNKED}+5\r\nhello\r\n0\r\n\r\n`, 400],
  ["chunk size with 0x", `${CHUNKED}0x5\r\nhello\r\n0\r\n\r\n`, 400],
  ["chunk size with a blank", `${CHUNKED}5 \r\nhello\r\n0\r\n\r\n`, 400],
  ["empty chunk size", `${CHUNKED}\r\nhello\r\n0\r\n\r\n`, 400],
  ["chunk size of nine digits", `${CHUNKED}000000005\r\nhello\r\n0\r\n\r\n`, 400],
  ["chunk size with bare LF", `${CHUNKED}5\nhello\r\n0\r\n\r\n`, 400],
  ["LF in an extension", `${CHUNKED}5;a\nb\r\nhello\r\n0\r\n\r\n`, 400],
  ["CR in an extension", `${CHUNKED}5;a\rb\r\nhello\r\n0\r\n\r\n`, 400],
  ["chunk longer than told", `${CHUNKED}5\r\nhello!\r\n0\r\n\r\n`, 400],
  ["bare LF after a chunk", `${CHUNKED}5\r\nhello\n0\r\n\r\n`, 400],
  ["size line without end", `${CHUNKED}5;${"x".repeat(300)}`, 400],
  ["chunk over the bound", `${CHUNKED}200001\r\n`, 413],
  ["chunk of 4 GiB", `${CHUNKED}ffffffff\r\n`, 413],
  ["extensions without end", `${CHUNKED}${`1;${"x".repeat(250)}\r\na\r\n`.repeat(80)}`, 413],
  ["malformed trailer", `${CHUNKED}0\r\nX y: z\r\n\r\n`, 400],
  ["folded trailer", `${CHUNKED}0\r\nX: z\r\n a\r\n\r\n`, 400],
  ["trailers without end", `${CHUNKED}0\r\n${"X: y\r\n".repeat(101)}`, 431],
  ["trailers over their bound", `${CHUNKED}0\r\nX: ${KIB_8}${KIB_8}`, 431],
];

describe("hostile requests", () => {
  for (const [what, bytes, status] of HOSTILE) {
    test(`${what}: ${status}`, () => {
      for (const step of [Number.POSITIVE_INFINITY, 1]) {
        // What follows the fault must not be taken for a request.
        const driver = new Driver().send(`${bytes}${GET}\r\n`, step);
        expect(driver.seen).toHaveLength(0);
        expect(driver.connection.closing).toBe(true);
        const answer = driver.take();
        expect(statuses(answer)).toEqual([status]);
        expect(answer).toContain("\r\nconnection: close\r\n");
      }
    });
  }

  test("a fault behind a sound request ends the connection after the first answer", () => {
    const driver = new Driver().send(`${GET}\r\nGET /\0 HTTP/1.1\r\n\r\n${GET}\r\n`);
    expect(statuses(driver.take())).toEqual([200, 400]);
    expect(driver.connection.closing).toBe(true);
  });
});

describe("bounds are reached to the byte", () => {
  const answerTo = (bytes: string): number[] => statuses(new Driver().send(bytes).take());

  test("request line", () => {
    const line = (bytes: number): string => {
      const path = "x".repeat(bytes - "GET / HTTP/1.1".length);
      return `GET /${path} HTTP/1.1\r\nHost: a\r\n\r\n`;
    };
    expect(answerTo(line(8192))).toEqual([200]);
    expect(answerTo(line(8193))).toEqual([414]);
  });

  test("fields", () => {
    const head = (bytes: number): string => {
      const rest = bytes - "Host: a\r\nX: \r\n".length;
      return `GET / HTTP/1.1\r\nHost: a\r\nX: ${"y".repeat(rest)}\r\n\r\n`;
    };
    expect(answerTo(head(16384))).toEqual([200]);
    expect(answerTo(head(16385))).toEqual([431]);
    expect(answerTo(`${GET}${"X: y\r\n".repeat(99)}\r\n`)).toEqual([200]);
  });

  test("body", () => {
    const limits = { ...HTTP_LIMITS, bodyBytesMax: 10 };
    const run = (bytes: string): number[] =>
      statuses(new Driver(undefined, { limits }).send(bytes).take());
    expect(run(`${POST}Content-Length: 10\r\n\r\n0123456789`)).toEqual([200]);
    expect(run(`${POST}Content-Length: 11\r\n\r\n01234567890`)).toEqual([413]);
    expect(run(`${CHUNKED}6\r\n012345\r\n4\r\n6789\r\n0\r\n\r\n`)).toEqual([200]);
    expect(run(`${CHUNKED}6\r\n012345\r\n5\r\n67890\r\n0\r\n\r\n`)).toEqual([413]);
  });

  test("bounds begin anew for trailers and for the next request", () => {
    const extensions = `1;${"x".repeat(200)}\r\na\r\n`.repeat(50);
    const body = `${extensions}0\r\nX: ${KIB_8}\r\n\r\n`;
    const request = `\r\n${POST}X: ${KIB_8}\r\nTransfer-Encoding: chunked\r\n\r\n${body}`;
    expect(answerTo(request.repeat(3))).toEqual([200, 200, 200]);
  });

  test("a line that drips is searched once", () => {
    const limits = { ...HTTP_LIMITS, lineBytesMax: 1 << 20 };
    const line = `GET /${"x".repeat(300_000)}`;
    const before = performance.now();
    const driver = new Driver(undefined, { limits }).send(line, 16);
    // From the start again at each piece, it would be three thousand million bytes.
    expect(performance.now() - before).toBeLessThan(700);
    expect(driver.connection.closing).toBe(false);
  });

  test("a large body comes through whole", () => {
    const body = Buffer.alloc(2 * 1024 * 1024);
    const random = new Prng(9);
    for (let at = 0; at < body.length; at++) body[at] = random.u32();
    const driver = new Driver((_, response) => response.end(204, [], ""));
    driver.send(`${POST}Content-Length: ${body.length}\r\n\r\n`).send(body, 65_000);
    expect(Bun.hash(driver.seen[0]?.request.body as Uint8Array)).toBe(Bun.hash(body));
    driver.send(`${POST}Content-Length: 3\r\n\r\nabc`);
    expect(driver.seen[1]?.request.body).toEqual(Buffer.from("abc"));
    expect(Bun.hash(driver.seen[0]?.request.body as Uint8Array)).toBe(Bun.hash(body));
  });
});

test("garbage gives answers or silence, in bounded time, and never throws", () => {
  const random = new Prng(1945);
  const parts = ["GET ", "/", " HTTP/1.1", "\r\n", "\n", "Host: a\r\n", ":", "5", "\0", "chunked"];
  parts.push("Transfer-Encoding: chunked\r\n", "Content-Length: 5\r\n", "\r\n\r\n", " ", "POST ");
  for (let round = 0; round < 3000; round++) {
    let text = "";
    for (let count = random.below(14); count > 0; count--) text += random.pick(parts);
    const whole = new Driver().send(text);
    const dripped = new Driver().send(text, 1);
    expect(dripped.take()).toBe(whole.take());
    expect(dripped.connection.closing).toBe(whole.connection.closing);
  }
});
