/** What a union of ranges covers, against asking every key one by one. */
import { describe, expect, test } from "bun:test";
import { Prng } from "../../../src/base/prng.ts";
import { isRange, KeyRanges, type NamedRange } from "../../../src/state/auth/key-ranges.ts";

const LETTERS = ["\0", "a", "b", "\xff"];

/** Every key of up to two letters, in order. */
const KEYS = LETTERS.flatMap((first) => [first, ...LETTERS.map((second) => first + second)]).sort(
  (a, b) => (a < b ? -1 : 1),
);

function has({ key, rangeEnd }: NamedRange, asked: string): boolean {
  if (rangeEnd === "") return asked === key;
  return asked >= key && (rangeEnd === "\0" || asked < rangeEnd);
}

/** Whether each key that can be is granted: also the last of all, if the range has no end. */
function coversNaively(granted: readonly NamedRange[], range: NamedRange): boolean {
  const keys = [...KEYS, "\xff\xff\xff"].flatMap((key) => [key, `${key}\0`, `${key}m`]);
  const asked = keys.filter((key) => has(range, key));
  if (asked.length === 0) asked.push(range.key);
  return asked.every((key) => granted.some((each) => has(each, key)));
}

function drawn(rng: Prng): NamedRange {
  const key = rng.pick(KEYS);
  const rangeEnd = rng.pick(["", "", "\0", ...KEYS]);
  return { key, rangeEnd };
}

describe("a union of ranges", () => {
  test("covers what all of its keys are in", () => {
    const rng = new Prng(3);
    let covered = 0;
    for (let round = 0; round < 400; round++) {
      const granted = Array.from({ length: rng.below(6) }, () => drawn(rng)).filter(isRange);
      const ranges = new KeyRanges(granted);
      for (let i = 0; i < 30; i++) {
        const range = drawn(rng);
        const expected = coversNaively(granted, range);
        if (expected) covered++;
        const where = JSON.stringify({ granted, range });
        expect(`${where} ${ranges.covers(range)}`).toBe(`${where} ${expected}`);
      }
    }
    expect(covered).toBeGreaterThan(1000);
  });

  test("joins what touches, and nothing else", () => {
    const ranges = new KeyRanges([
      { key: "c", rangeEnd: "e" },
      { key: "a", rangeEnd: "c" },
      { key: "f", rangeEnd: "" },
    ]);
    expect(ranges.covers({ key: "a", rangeEnd: "e" })).toBe(true);
    expect(ranges.covers({ key: "a", rangeEnd: "f" })).toBe(false);
    expect(ranges.covers({ key: "f", rangeEnd: "f\0" })).toBe(true);
    expect(ranges.covers({ key: "f", rangeEnd: "f\0\0" })).toBe(false);
  });

  test("without an end is covered by one without an end only", () => {
    const bounded = new KeyRanges([{ key: "\0", rangeEnd: "\xff\xff\xff\xff" }]);
    expect(bounded.covers({ key: "a", rangeEnd: "\0" })).toBe(false);
    const open = new KeyRanges([{ key: "a", rangeEnd: "\0" }]);
    expect(open.covers({ key: "b", rangeEnd: "\0" })).toBe(true);
    expect(open.covers({ key: "\0", rangeEnd: "\0" })).toBe(false);
  });

  test("of nothing covers nothing", () => {
    expect(new KeyRanges([]).covers({ key: "a", rangeEnd: "" })).toBe(false);
  });
});
