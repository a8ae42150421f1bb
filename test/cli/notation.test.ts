/** Durations, sizes, integers and quoted strings as Go and etcdctl write them. */
import { describe, expect, test } from "bun:test";
import { keyFromText, latin1 } from "../../src/base/bytes.ts";
import { formatDuration, parseDurationMs } from "../../src/base/durations.ts";
import { quoteBytes, quoteText, unquoteAt } from "../../src/cli/go-text.ts";
import { leaseHex, NumberError, parseHexId, parseInt64 } from "../../src/cli/integers.ts";
import { humaniseBytes } from "../../src/cli/sizes.ts";

test("durations are read", () => {
  const table: Record<string, number | undefined> = {
    "5s": 5000,
    "0": 0,
    "1m30s": 90_000,
    "1.5h": 5_400_000,
    "500ms": 500,
    "2µs": 0.002,
    "2us": 0.002,
    "-1s": -1000,
    "+.5s": 500,
    "1.s": 1000,
    "": undefined,
    "5": undefined,
    "5 s": undefined,
    s: undefined,
    "1x": undefined,
    "1s-": undefined,
    "9999999999h": undefined,
  };
  for (const [text, ms] of Object.entries(table)) {
    expect([text, parseDurationMs(text)]).toEqual([text, ms]);
  }
});

test("durations are written", () => {
  const table: readonly [ns: number, text: string][] = [
    [0, "0s"],
    [1, "1ns"],
    [971_474, "971.474µs"],
    [1_223_385, "1.223385ms"],
    [100_000_000, "100ms"],
    [1_000_853_501, "1.000853501s"],
    [61e9, "1m1s"],
    [60e9, "1m0s"],
    [3600e9 + 5e8, "1h0m0.5s"],
  ];
  for (const [ns, text] of table) expect(formatDuration(ns)).toBe(text);
});

test("sizes", () => {
  const table: readonly [bytes: number, text: string][] = [
    [0, "0 B"],
    [9, "9 B"],
    [10, "10 B"],
    [999, "999 B"],
    [1000, "1.0 kB"],
    [9949, "9.9 kB"],
    [20_480, "20 kB"],
    [21_500, "22 kB"],
    [22_500, "22 kB"],
    [24_576, "25 kB"],
    [2_147_483_648, "2.1 GB"],
    [67_108_864, "67 MB"],
    [1e15, "1.0 PB"],
  ];
  for (const [bytes, text] of table) expect([bytes, humaniseBytes(bytes)]).toEqual([bytes, text]);
});

describe("integers", () => {
  test("bases, signs, limits", () => {
    expect(parseInt64("9223372036854775807", 10)).toBe(2n ** 63n - 1n);
    expect(parseInt64("-9223372036854775808", 10)).toBe(-(2n ** 63n));
    expect(parseInt64("694d81417acd4754", 16)).toBe(0x694d81417acd4754n);
    expect(parseInt64("+5", 10)).toBe(5n);
    expect(parseInt64("0x1F", 0)).toBe(31n);
    expect(parseInt64("9007199254740991", 10, "counter")).toBe(2n ** 53n - 1n);
    expect(parseHexId("ffffffffffffffff")).toBe(2n ** 64n - 1n);
  });

  test("failures have Go's words", () => {
    const table: readonly [read: () => unknown, message: string][] = [
      [() => parseInt64("", 10), 'strconv.ParseInt: parsing "": invalid syntax'],
      [() => parseInt64("-", 10), 'strconv.ParseInt: parsing "-": invalid syntax'],
      [() => parseInt64("1e3", 10), 'strconv.ParseInt: parsing "1e3": invalid syntax'],
      [() => parseInt64("0x1", 16), 'strconv.ParseInt: parsing "0x1": invalid syntax'],
      [() => parseInt64("9223372036854775808", 10), '"9223372036854775808": value out of range'],
      [
        () => parseInt64("9007199254740992", 10, "counter"),
        '"9007199254740992": value out of range',
      ],
      [() => parseHexId("-1"), 'strconv.ParseUint: parsing "-1": invalid syntax'],
      [() => parseHexId("10000000000000000"), 'parsing "10000000000000000": value out of range'],
    ];
    for (const [read, message] of table) {
      expect(read).toThrow(NumberError);
      expect(read).toThrow(message);
    }
  });

  test("lease ids", () => {
    expect(leaseHex(0x1234n)).toBe("0000000000001234");
    expect(leaseHex(2n ** 63n - 1n)).toBe("7fffffffffffffff");
    expect(leaseHex(-5n)).toBe("-000000000000005");
  });
});

describe("quoted strings", () => {
  const table: readonly [bytes: string | number[], quoted: string][] = [
    ["", '""'],
    ["plain text", '"plain text"'],
    ['a"b\\c', '"a\\"b\\\\c"'],
    ["\x07\b\f\n\r\t\v", '"\\a\\b\\f\\n\\r\\t\\v"'],
    ["\x00\x1f\x7f", '"\\x00\\x1f\\x7f"'],
    ["héllo €𝄞", '"héllo €𝄞"'],
    ["\u00a0\u200b\u2028\ue000", '"\\u00a0\\u200b\\u2028\\ue000"'],
    ["\u{e0001}", '"\\U000e0001"'],
    ["\ufffd", '"\ufffd"'],
    [[0xff, 0x61], '"\\xffa"'],
    [[0xc3], '"\\xc3"'],
    [[0xe2, 0x82], '"\\xe2\\x82"'],
    [[0xc0, 0x80], '"\\xc0\\x80"'],
    [[0xed, 0xa0, 0x80], '"\\xed\\xa0\\x80"'],
    [[0xf4, 0x90, 0x80, 0x80], '"\\xf4\\x90\\x80\\x80"'],
  ];
  for (const [bytes, quoted] of table) {
    const raw = typeof bytes === "string" ? Buffer.from(bytes) : Uint8Array.from(bytes);
    test(`${quoted} both ways`, () => {
      expect(quoteBytes(raw)).toBe(quoted);
      expect(quoteBytes(latin1(raw))).toBe(quoted);
      const back = unquoteAt(keyFromText(quoted), 0);
      expect(back).toEqual({ value: latin1(raw), end: Buffer.byteLength(quoted) });
    });
  }

  test("a text", () => expect(quoteText("ä")).toBe('"ä"'));

  test("other ways to write one", () => {
    expect(unquoteAt('x "\\u00e9\\101\\x62"y', 2)).toEqual({ value: "Ã©Ab", end: 18 });
    expect(unquoteAt("`raw \\n`", 0)).toEqual({ value: "raw \\n", end: 8 });
  });

  test("what is none", () => {
    for (const text of [
      "",
      "a",
      '"open',
      '"\\"',
      '"\\q"',
      '"\\xg0"',
      '"\\400"',
      '"\\ud800"',
      "`a",
    ]) {
      expect([text, unquoteAt(text, 0)]).toEqual([text, undefined]);
    }
  });
});
