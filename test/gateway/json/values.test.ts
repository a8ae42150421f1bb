/** JSON objects cut out of bodies. */
import { describe, expect, test } from "bun:test";
import { AetherError } from "../../../src/base/errors.ts";
import { Prng } from "../../../src/base/prng.ts";
import { JsonValues } from "../../../src/gateway/json/values.ts";

/** The objects that come out when the text comes in pieces of `step`. */
function cut(text: string, step = Number.POSITIVE_INFINITY, bytesMax = 1000, countMax = 99) {
  const found: string[] = [];
  const values = new JsonValues(bytesMax, (bytes, start, end) => {
    found.push(Buffer.from(bytes.subarray(start, end)).toString());
    return found.length < countMax;
  });
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; at += step) {
    const piece = Uint8Array.from(bytes.subarray(at, Math.min(at + step, bytes.length)));
    values.take(piece, 0, piece.length);
    piece.fill(0x58);
  }
  return { found, held: values.held };
}

describe("objects", () => {
  const OBJECTS = ['{"a":"}"}', "{}", '{"b":{"c":["\\"{",1,{}]}}', '{"d":"\\\\"}', '{"é":"€}"}'];
  test.each(["", " ", "\n", "\r\n\t "])("one behind the other, with %j between", (between) => {
    const text = between + OBJECTS.join(between) + between;
    for (const step of [1, 2, 3, 5, 1000])
      expect(cut(text, step)).toEqual({ found: OBJECTS, held: 0 });
  });

  test("that are not whole are held", () => {
    expect(cut('{}{"a":[')).toEqual({ found: ["{}"], held: 6 });
    expect(cut('{"a":"}', 1)).toEqual({ found: [], held: 7 });
  });

  test("are dropped once no more are wanted", () => {
    for (const step of [1, 100]) {
      expect(cut("{}{} garbage", step, 10, 1)).toEqual({ found: ["{}"], held: 0 });
    }
  });
});

describe("what is refused", () => {
  test.each(["[]", '"a"', "null", "1", "true", "}", "\u00e9", "{} x", "\0"])("%j", (text) => {
    for (const step of [1, 100]) expect(() => cut(text, step)).toThrow(AetherError);
  });

  test("an object over the limit, whole or not", () => {
    for (const step of [1, 3, 100]) {
      expect(cut('{"a":1234}', step, 10).found).toEqual(['{"a":1234}']);
      expect(() => cut('{"a":12345}', step, 10)).toThrow("larger than max (11 vs. 10)");
      expect(() => cut(`{"a":"${"x".repeat(20)}`, step, 10)).toThrow("larger than max");
    }
    // Many small ones are no large one.
    expect(cut("{}".repeat(100), 7, 10).found.length).toBe(99);
  });

  test("garbage gives objects or an error, never anything else", () => {
    const prng = new Prng(11);
    const alphabet = '{}[]",:\\ an1\n';
    for (let round = 0; round < 5000; round++) {
      const length = prng.below(30);
      const text = Array.from({ length }, () => alphabet[prng.below(alphabet.length)]).join("");
      try {
        for (const found of cut(text, 1 + prng.below(4)).found) expect(found).toStartWith("{");
      } catch (error) {
        expect(error).toBeInstanceOf(AetherError);
      }
    }
  });
});
