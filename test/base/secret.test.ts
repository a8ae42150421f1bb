import { describe, expect, test } from "bun:test";
import { format, inspect } from "node:util";
import { HIDDEN, Secret } from "../../src/base/secret.ts";

const PLANTED = "correct-horse-battery";

describe("a secret is never shown by", () => {
  const secret = new Secret(PLANTED);
  const ways: readonly (readonly [way: string, shown: string])[] = [
    ["a template", `${secret}`],
    ["concatenation", "".concat(secret as unknown as string)],
    ["String()", String(secret)],
    ["JSON", JSON.stringify({ secret, list: [secret] })],
    ["Bun.inspect", Bun.inspect({ secret, list: [secret] })],
    ["node's inspect with hidden properties", inspect({ secret }, { showHidden: true })],
    ["node's format", format("%s %o %O %j", secret, secret, secret, secret)],
    ["an error's message", String(new Error(`${secret}`, { cause: secret }))],
    ["an error, inspected", Bun.inspect(new Error("it", { cause: secret }))],
    ["its properties", JSON.stringify(Object.getOwnPropertyDescriptors(secret))],
    ["a copy", Bun.inspect({ ...secret })],
    ["a structured clone", Bun.inspect(structuredClone({ secret }))],
  ];
  test.each([...ways])("%s", (_way, shown) => {
    expect(shown).not.toContain(PLANTED);
    expect(shown).not.toContain(Buffer.from(PLANTED).toString("hex").slice(0, 8));
    expect(shown).not.toContain("99, 111"); // the bytes of "co" as numbers
  });
});

test("what stands in its place says that something is hidden", () => {
  expect(`${new Secret(PLANTED)}`).toBe(HIDDEN);
  expect(JSON.stringify(new Secret(PLANTED))).toBe('"***"');
});

test("reveal gives it back, as text and as bytes", () => {
  expect(new Secret("pässword").reveal()).toBe("pässword");
  expect([...new Secret(new Uint8Array([0, 255, 7])).revealBytes()]).toEqual([0, 255, 7]);
  expect(new Secret("").bytesCount).toBe(0);
});

test("it is a copy: what it was made of may be overwritten", () => {
  const bytes = Buffer.from(PLANTED);
  const secret = new Secret(bytes);
  bytes.fill(0);
  expect(secret.reveal()).toBe(PLANTED);
});

test("cleared memory is zeroed, and using it is a mistake", () => {
  const secret = new Secret(PLANTED);
  const bytes = secret.revealBytes();
  secret.clear();
  expect(bytes.every((byte) => byte === 0)).toBe(true);
  expect(() => secret.reveal()).toThrow("cleared");
});

test("a fingerprint tells keys apart and nothing of them", () => {
  const one = new Secret(PLANTED);
  expect(one.fingerprint()).toMatch(/^[0-9a-f]{8}$/);
  expect(one.fingerprint()).toBe(new Secret(PLANTED).fingerprint());
  expect(one.fingerprint()).not.toBe(new Secret("another").fingerprint());
});
