import { expect, test } from "bun:test";
import { sniff } from "../../src/net/sniff.ts";

const bytes = (text: string): Uint8Array => Buffer.from(text, "latin1");

test("the preface is known by its first word, at any split (RFC 9113 §3.4)", () => {
  for (const start of ["", "P", "PR", "PRI"]) expect(sniff(bytes(start))).toBeUndefined();
  expect(sniff(bytes("PRI "))).toBe("http2");
  expect(sniff(bytes("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0"))).toBe("http2");
});

test("anything else is HTTP/1 as soon as a byte differs", () => {
  for (const start of ["G", "PO", "PUT", "PRO", "PRIX", "\x16\x03", "\0"]) {
    expect(sniff(bytes(start))).toBe("http1");
  }
});
