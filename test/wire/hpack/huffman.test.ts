/** Huffman strings: every symbol, every kind of bad ending, and time in step with length. */
import { describe, expect, test } from "bun:test";
import { ByteWriter } from "../../../src/base/bytes.ts";
import { Prng } from "../../../src/base/prng.ts";
import { HpackError } from "../../../src/wire/hpack/error.ts";
import {
  huffmanBytes,
  huffmanDecode,
  huffmanDecodedBytesMax,
  huffmanEncode,
} from "../../../src/wire/hpack/huffman.ts";
import { HUFFMAN_BITS, HUFFMAN_CODES } from "../../../src/wire/hpack/huffman-code.ts";

function decode(bytes: Uint8Array): string {
  const room = huffmanDecodedBytesMax(bytes.length);
  const out = Buffer.alloc(room + 8, 0xee);
  const end = huffmanDecode(bytes, 0, bytes.length, out, 0);
  expect(out.subarray(room).every((byte) => byte === 0xee)).toBe(true); // stays in its room
  return out.latin1Slice(0, end);
}

function encode(text: string): Buffer {
  const out = new ByteWriter(1);
  huffmanEncode(text, huffmanBytes(text), out);
  return Buffer.from(out.view());
}

/** Packs a string of "0" and "1"; the caller gives whole bytes. */
function fromBits(bits: string): Buffer {
  expect(bits.length % 8).toBe(0);
  return Buffer.from((bits.match(/.{8}/g) ?? []).map((byte) => Number.parseInt(byte, 2)));
}

function codeBits(symbol: number): string {
  const code = HUFFMAN_CODES[symbol] as number;
  return code.toString(2).padStart(HUFFMAN_BITS[symbol] as number, "0");
}

/** A decoder of the dullest kind, to compare with. */
function slowDecode(bytes: Uint8Array): string | undefined {
  const symbolOf = new Map<string, number>();
  for (let symbol = 0; symbol <= 256; symbol++) symbolOf.set(codeBits(symbol), symbol);
  let held = "";
  let text = "";
  for (const byte of bytes) {
    for (const bit of byte.toString(2).padStart(8, "0")) {
      held += bit;
      const symbol = symbolOf.get(held);
      if (symbol === 256) return undefined;
      if (symbol === undefined) continue;
      text += String.fromCharCode(symbol);
      held = "";
    }
  }
  return held.length <= 7 && !held.includes("0") ? text : undefined;
}

test("codes of RFC 7541 Appendix B, one of each shape", () => {
  const table: readonly [symbol: number, code: number, bits: number][] = [
    [0, 0x1ff8, 13],
    [10, 0x3ffffffc, 30],
    [48, 0x0, 5],
    [97, 0x3, 5],
    [92, 0x7fff0, 19],
    [119, 0x78, 7],
    [200, 0x3ffffe2, 26],
    [249, 0xffffffe, 28],
    [255, 0x3ffffee, 26],
    [256, 0x3fffffff, 30],
  ];
  for (const [symbol, code, bits] of table) {
    expect([HUFFMAN_CODES[symbol], HUFFMAN_BITS[symbol]]).toEqual([code, bits]);
  }
});

test("every symbol alone, and every pair of symbols, comes back", () => {
  for (let first = 0; first < 256; first++) {
    const one = String.fromCharCode(first);
    expect(decode(encode(one))).toBe(one);
    for (let second = 0; second < 256; second++) {
      const two = one + String.fromCharCode(second);
      if (decode(encode(two)) !== two) throw new Error(`pair ${first} ${second}`);
    }
  }
});

test("random bytes decode as the plain decoder says, or fail where it does", () => {
  const random = new Prng(7541);
  let failures = 0;
  for (let round = 0; round < 1500; round++) {
    const bytes = Buffer.alloc(random.below(24));
    // Mostly high bytes, so that long codes, padding and EOS come up.
    for (let at = 0; at < bytes.length; at++) {
      bytes[at] = random.chance(70) ? 0xff - random.below(4) : random.below(256);
    }
    const expected = slowDecode(bytes);
    if (expected === undefined) {
      failures++;
      expect(() => decode(bytes)).toThrow(HpackError);
    } else expect(decode(bytes)).toBe(expected);
  }
  expect(failures).toBeGreaterThan(500);
  expect(failures).toBeLessThan(1500);
});

describe("endings (§5.2)", () => {
  const a = codeBits(97); // 00011
  const bad: readonly [what: string, bits: string][] = [
    ["eight bits of padding", `${"00000".repeat(8)}11111111`],
    ["a byte of padding alone", "11111111"],
    ["padding with a zero in it", `${a}110`],
    ["padding of zeros", `${a}000`],
    ["EOS", `${codeBits(256)}11`],
    ["EOS after text", `${a}${codeBits(256)}11111`],
    ["text after EOS", `${codeBits(256)}${a}11111`],
    ["a long code cut in the middle", codeBits(10).slice(0, 16)],
  ];
  for (const [what, bits] of bad) {
    test(`${what} is refused`, () => {
      expect(() => decode(fromBits(bits))).toThrow(HpackError);
    });
  }
  test("padding of none to seven ones is taken", () => {
    expect(decode(Buffer.alloc(0))).toBe("");
    expect(decode(fromBits("00000".repeat(80)))).toBe("0".repeat(80));
    expect(decode(fromBits(`${a}111`))).toBe("a");
    const seven = `${codeBits(48).repeat(5)}1111111`; // 25 + 7 bits
    expect(decode(fromBits(seven))).toBe("00000");
  });
});

test("a character wider than a byte is our own mistake", () => {
  expect(() => huffmanBytes("naïve €")).toThrow("Latin-1");
});

test("decoding takes time in step with the length", () => {
  const unit = "grpc-accept-encoding: identity,deflate,gzip /etcdserverpb.KV/Range ".repeat(16);
  const short = encode(unit.repeat(8));
  const long = encode(unit.repeat(128));
  const out = Buffer.alloc(huffmanDecodedBytesMax(long.length));
  const fastest = (bytes: Buffer): number => {
    let best = Number.POSITIVE_INFINITY;
    for (let round = 0; round < 30; round++) {
      const before = Bun.nanoseconds();
      huffmanDecode(bytes, 0, bytes.length, out, 0);
      best = Math.min(best, Bun.nanoseconds() - before);
    }
    return best;
  };
  fastest(short);
  // Sixteen times the bytes; quadratic work would be 256 times the time.
  expect(fastest(long) / fastest(short)).toBeLessThan(64);
});
