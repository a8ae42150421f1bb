/** The search finds what is planted, in every form: else it would prove nothing elsewhere. */
import { expect, test } from "bun:test";
import { ByteWriter } from "../../src/base/bytes.ts";
import { huffmanBytes, huffmanEncode } from "../../src/wire/hpack/huffman.ts";
import { Planted } from "./planted.ts";

const FORMS: readonly (readonly [form: string, said: (secret: string) => string | Uint8Array])[] = [
  ["as it is", (secret) => `password=${secret} took 3 ms`],
  ["in JSON", (secret) => JSON.stringify({ password: secret })],
  ["in bytes", (secret) => Buffer.concat([Buffer.from([0, 255]), Buffer.from(secret)])],
  ["in hexadecimal", (secret) => Buffer.from(`a:${secret}`).toString("hex")],
  ["in base64", (secret) => Buffer.from(secret).toString("base64")],
  ["in base64, after one byte", (secret) => Buffer.from(`:${secret}:`).toString("base64")],
  ["in base64, after two bytes", (secret) => Buffer.from(`a:${secret}b`).toString("base64url")],
  ["packed by HPACK", (secret) => packed(`token: ${secret}x`)],
  ["packed, in base64", (secret) => packed(Buffer.from(`ab${secret}`).toString("base64"))],
  ["in base64, after three bytes", (secret) => Buffer.from(`a:b${secret}`).toString("base64")],
];

function packed(text: string): Uint8Array {
  const out = new ByteWriter(256);
  huffmanEncode(text, huffmanBytes(text), out);
  return out.copy();
}

test.each([...FORMS])("a secret is found %s", (_form, said) => {
  const planted = new Planted();
  const secret = planted.draw("root's password");
  planted.hear("elsewhere", "nothing of it");
  expect(planted.disclosures()).toEqual([]);
  planted.hear("the log", said(secret));
  expect(planted.disclosures()).toEqual(["the log: root's password"]);
});

test("two secrets are not taken for each other", () => {
  const planted = new Planted();
  planted.draw("one");
  planted.hear("the log", planted.draw("two"));
  expect(planted.disclosures()).toEqual(["the log: two"]);
});
