/** The small parts of gRPC: codes, texts, timeouts, metadata, message framing. */
import { describe, expect, test } from "bun:test";
import { Prng } from "../../../src/base/prng.ts";
import { MessageReader } from "../../../src/wire/grpc/message-reader.ts";
import { decodeBinary, encodeBinary, FieldList } from "../../../src/wire/grpc/metadata.ts";
import {
  decodeGrpcMessage,
  encodeGrpcMessage,
  GrpcCode,
  grpcCodeName,
  grpcCodeOf,
} from "../../../src/wire/grpc/status.ts";
import { formatGrpcTimeout, parseGrpcTimeout } from "../../../src/wire/grpc/timeout.ts";
import { message } from "../http2/kit.ts";

describe("status", () => {
  test("codes and names", () => {
    expect(Object.values(GrpcCode)).toEqual([...Array(17).keys()] as GrpcCode[]);
    expect([0, 14, 16, 17].map(grpcCodeName)).toEqual([
      "OK",
      "UNAVAILABLE",
      "UNAUTHENTICATED",
      "CODE_17",
    ]);
    expect(["0", "16", "17", "-1", "", "1.5", "x"].map(grpcCodeOf)).toEqual([0, 16, 2, 2, 2, 2, 2]);
  });
  test("messages are percent-encoded UTF-8", () => {
    expect(encodeGrpcMessage("etcdserver: key not found")).toBe("etcdserver: key not found");
    expect(encodeGrpcMessage("a%b\nü")).toBe("a%25b%0A%C3%BC");
    expect(decodeGrpcMessage("a%25b%0A%c3%BC")).toBe("a%b\nü");
    expect(decodeGrpcMessage("100% sure %zz %4")).toBe("100% sure %zz %4");
  });
  test("every text comes back", () => {
    const prng = new Prng(3);
    for (let round = 0; round < 500; round++) {
      const codes = Array.from({ length: prng.below(20) }, () =>
        prng.pick([prng.below(0xd800), 37]),
      );
      const text = String.fromCharCode(...codes);
      expect(decodeGrpcMessage(encodeGrpcMessage(text))).toBe(text);
    }
  });
});

describe("timeout", () => {
  test("reads each unit", () => {
    const texts = ["1H", "2M", "3S", "4m", "5u", "6n", "00000007S"];
    expect(texts.slice(0, 6).map(parseGrpcTimeout)).toEqual([
      3_600_000, 120_000, 3000, 4, 0.005, 0.000006,
    ]);
    for (const bad of ["", "S", "1", "1s", "-1S", "1.5S", "000000007S", "1S ", "1 S"]) {
      expect(parseGrpcTimeout(bad)).toBeUndefined();
    }
  });
  test("writes the finest unit that holds it, never less", () => {
    expect([0, -5, Number.NaN, 0.5, 99, 5000, 1e9, 1e13, 1e300].map(formatGrpcTimeout)).toEqual([
      "0n",
      "0n",
      "0n",
      "500000n",
      "99000000n",
      "5000000u",
      "1000000S",
      "2777778H",
      "99999999H",
    ]);
    const prng = new Prng(4);
    for (let round = 0; round < 1000; round++) {
      const ms = prng.unit() * 10 ** prng.below(12);
      const back = parseGrpcTimeout(formatGrpcTimeout(ms)) as number;
      expect(back).toBeGreaterThanOrEqual(ms * (1 - 1e-12));
      expect(back).toBeLessThanOrEqual(ms * 1.001 + 1e-6);
    }
  });
});

describe("metadata", () => {
  test("the last of several values", () => {
    const list = new FieldList(["a", "1", "b", "2", "a", "3"]);
    expect([list.get("a"), list.get("b"), list.get("2")]).toEqual(["3", "2", undefined]);
  });
  test("binary values, padded or not", () => {
    for (let length = 0; length < 10; length++) {
      const bytes = new Uint8Array(length).fill(0xfb);
      const text = encodeBinary(bytes);
      expect(text).not.toContain("=");
      expect(decodeBinary(text)).toEqual(bytes);
      expect(decodeBinary(Buffer.from(bytes).toString("base64"))).toEqual(bytes);
    }
    for (const bad of ["a", "a-b", "AA===", "A A", "AA,AA"]) {
      expect(decodeBinary(bad)).toBeUndefined();
    }
  });
});

describe("message framing", () => {
  const contents = ["", "a", "hello world", "x".repeat(300), ""].map((text) => Buffer.from(text));
  const bytes = Buffer.concat(contents.map((content) => message(content)));

  function read(cuts: readonly number[]): { messages: Buffer[]; held: number; needed: number } {
    const reader = new MessageReader(1000, false);
    const messages: Buffer[] = [];
    const sink = {
      done: false,
      onMessage: (from: Uint8Array, start: number, end: number) => {
        messages.push(Buffer.from(from.subarray(start, end)));
      },
    };
    let from = 0;
    for (const cut of [...cuts, bytes.length]) {
      const chunk = Buffer.from(bytes.subarray(from, cut));
      expect(reader.take(chunk, 0, chunk.length, sink)).toBeUndefined();
      chunk.fill(0xee);
      from = cut;
    }
    return { messages, held: reader.held, needed: reader.needed };
  }

  test("at every pair of split points", () => {
    for (let one = 0; one <= bytes.length; one += 3) {
      for (let two = one; two <= bytes.length; two += 7) {
        expect(read([one, two]).messages).toEqual(contents);
      }
    }
  });
  test("byte by byte", () => {
    const got = read(Array.from({ length: bytes.length }, (_, index) => index));
    expect(got).toEqual({ messages: contents, held: 0, needed: 0 });
  });
  test("a whole message is handed over where it lies", () => {
    const reader = new MessageReader(1000, false);
    const chunk = message("in place");
    let borrowed: Uint8Array | undefined;
    reader.take(chunk, 0, chunk.length, {
      done: false,
      onMessage: (from) => {
        borrowed = from;
      },
    });
    expect(borrowed).toBe(chunk);
  });
  test("held and needed add up to the message", () => {
    const reader = new MessageReader(1000, false);
    const sink = { done: false, onMessage: () => {} };
    const whole = message("x".repeat(100));
    reader.take(whole, 0, 3, sink);
    expect([reader.held, reader.needed]).toEqual([3, 2]);
    reader.take(whole, 3, 50, sink);
    expect([reader.held, reader.needed]).toEqual([50, 55]);
    reader.take(whole, 50, 105, sink);
    expect([reader.held, reader.needed]).toEqual([0, 0]);
  });
  test("nothing is handed over after the sink is done", () => {
    const reader = new MessageReader(1000, false);
    let count = 0;
    const sink = {
      get done() {
        return count === 1;
      },
      onMessage: () => void count++,
    };
    const two = Buffer.concat([message("a"), message("b")]);
    reader.take(two, 0, two.length, sink);
    expect(count).toBe(1);
  });
  test("the limit is exact, whole or in pieces", () => {
    for (const cut of [0, 3, 5]) {
      for (const [length, code] of [
        [1000, undefined],
        [1001, GrpcCode.RESOURCE_EXHAUSTED],
      ] as const) {
        const reader = new MessageReader(1000, false);
        const whole = message(Buffer.alloc(length));
        const sink = { done: false, onMessage: () => {} };
        const first = reader.take(whole, 0, cut, sink);
        const failure = first ?? reader.take(whole, cut, whole.length, sink);
        expect(failure?.code).toBe(code as never);
      }
    }
  });
  test("a large message in small pieces costs linear time and about its own memory", () => {
    const size = 4 << 20;
    const reader = new MessageReader(size, false);
    const whole = message(Buffer.alloc(size, 9));
    let got = 0;
    const sink = {
      done: false,
      onMessage: (from: Uint8Array, start: number, end: number) => {
        got = end - start;
        expect(from.length).toBeLessThanOrEqual(size + 5);
      },
    };
    for (let at = 0; at < whole.length; at += 1000) {
      reader.take(whole, at, Math.min(whole.length, at + 1000), sink);
    }
    expect(got).toBe(size);
  });
});
