import { expect, test } from "bun:test";
import { Heap } from "../../src/base/heap.ts";
import { Prng } from "../../src/base/prng.ts";

test("pops in order whatever the order of pushes", () => {
  const random = new Prng(1);
  const heap = new Heap<number>((a, b) => a < b);
  const expected: number[] = [];
  for (let i = 0; i < 2000; i++) {
    const value = random.below(500);
    heap.push(value);
    expected.push(value);
  }
  expected.sort((a, b) => a - b);
  expect(heap.peek()).toBe(expected[0] as number);
  const popped: number[] = [];
  for (let value = heap.pop(); value !== undefined; value = heap.pop()) popped.push(value);
  expect(popped).toEqual(expected);
  expect(heap.size).toBe(0);
});
