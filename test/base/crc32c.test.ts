import { expect, test } from "bun:test";
import { crc32c } from "../../src/base/crc32c.ts";

test("known sums (RFC 3720 appendix B.4)", () => {
  expect(crc32c(Buffer.from("123456789"))).toBe(0xe3069283);
  expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
  expect(crc32c(new Uint8Array(32).fill(0xff))).toBe(0x62a8ab43);
  expect(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i))).toBe(0x46dd794e);
});

test("a sum goes on from the one of what came before, at every place", () => {
  const bytes = Buffer.from("a sum is taken eight bytes at a time, and the rest one by one");
  const whole = crc32c(bytes);
  for (let at = 0; at <= bytes.length; at++) {
    expect(crc32c(bytes, crc32c(bytes, 0, 0, at), at)).toBe(whole);
  }
});
