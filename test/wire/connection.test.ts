/** The output queue against a plain array of bytes. */
import { describe, expect, test } from "bun:test";
import { AssertionError } from "../../src/base/assert.ts";
import { Prng } from "../../src/base/prng.ts";
import { copyBytes, OutputBuffer } from "../../src/wire/connection.ts";

describe("OutputBuffer", () => {
  test("keeps bytes in order through growing, moving and draining", () => {
    for (let seed = 1; seed <= 20; seed++) {
      const prng = new Prng(seed);
      const queue = new OutputBuffer(16);
      let model = Buffer.alloc(0);
      let taken = 0;
      for (let step = 0; step < 400; step++) {
        const chunk = Buffer.from(Array.from({ length: prng.below(80) }, () => prng.below(256)));
        if (prng.chance(55)) {
          queue.append(chunk, 0, chunk.length);
          model = Buffer.concat([model, chunk]);
        } else {
          const count = prng.below(queue.pending + 1);
          queue.advance(count);
          model = model.subarray(count);
          taken += count;
        }
        expect(queue.bytes.subarray(queue.start, queue.end).equals(model)).toBe(true);
        expect([queue.pending, queue.taken]).toEqual([model.length, taken]);
        if (queue.pending === 0) expect(queue.end).toBe(0);
      }
    }
  });

  test("says when it is no longer empty, once", () => {
    const queue = new OutputBuffer(4);
    let fills = 0;
    queue.onFill = () => fills++;
    queue.reserve(2);
    queue.reserve(20); // grows
    expect(fills).toBe(1);
    queue.advance(21);
    queue.reserve(1);
    expect(fills).toBe(1);
    queue.advance(2);
    queue.reserve(100); // empty, and grows
    expect(fills).toBe(2);
  });

  test("does not grow while its reader keeps up", () => {
    const queue = new OutputBuffer(1024);
    for (let round = 0; round < 1000; round++) {
      queue.reserve(200);
      if (queue.pending > 200) queue.advance(200);
    }
    expect(queue.bytes.length).toBe(1024);
  });

  test("refuses to be read further than it was written", () => {
    const queue = new OutputBuffer();
    queue.reserve(3);
    expect(() => queue.advance(4)).toThrow(AssertionError);
    expect(() => queue.advance(-1)).toThrow(AssertionError);
  });

  test("trims only what the last period did not need", () => {
    const queue = new OutputBuffer();
    queue.reserve(1_000_000);
    queue.trim();
    expect(queue.bytes.length).toBe(1_000_000);
    queue.advance(1_000_000);
    queue.trim(); // it was needed in this period
    expect(queue.bytes.length).toBe(1_000_000);
    queue.trim();
    expect(queue.bytes.length).toBe(65_536);
    queue.trim();
    expect(queue.bytes.length).toBe(65_536);
  });
});

test("copyBytes copies short and long ranges alike", () => {
  for (const length of [0, 1, 47, 48, 49, 1000]) {
    const source = Buffer.from(Array.from({ length: length + 20 }, (_, index) => index & 255));
    const target = Buffer.alloc(length + 10);
    copyBytes(source, 7, 7 + length, target, 3);
    expect(target.subarray(3, 3 + length).equals(source.subarray(7, 7 + length))).toBe(true);
    expect([target[2], target[3 + length]]).toEqual([0, 0]);
  }
});
