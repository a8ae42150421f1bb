/**
 * What a stranger's first bytes say, and what a file of revoked certificates says: any bytes end
 * in an answer or an error for people, and no damage makes a list say anything but what its
 * authority signed.
 */
import { afterAll, expect } from "bun:test";
import { X509Certificate } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { PeerCertificate } from "node:tls";
import fc from "fast-check";
import { AetherError } from "../../src/base/errors.ts";
import { type DerElement, DerError, derElement, derElements } from "../../src/net/der.ts";
import { type Revocations, readRevocations } from "../../src/net/revocation.ts";
import { isTlsHandshake, sniff } from "../../src/net/sniff.ts";
import { makeAuthority } from "../support/authority.ts";
import { fuzz } from "./fuzz.ts";

const directory = mkdtempSync(join(tmpdir(), "aether-fuzz-tls-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const authority = makeAuthority(directory, "fuzzed");
const revoked = ["a", "b", "c"].map((cn) => {
  const { cert } = authority.client({ cn });
  authority.revoke(cert);
  return new X509Certificate(readFileSync(cert)).toLegacyObject() as unknown as PeerCertificate;
});
const [pem, der] = [readFileSync(authority.crl("pem")), readFileSync(authority.crl("der"))];
const ca = readFileSync(authority.ca, "utf8");

const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

/** Beginnings of both protocols, of TLS, and anything. */
const beginning = fc.oneof(
  fc.uint8Array({ maxLength: 16 }),
  fc.nat(PREFACE.length).map((length) => PREFACE.subarray(0, length)),
  fc.constantFrom("POST /", "PUT /", "PROPFIND /", "GET /", "PRI", "\x16\x03\x01").map(Buffer.from),
);

fuzz({
  name: "first-bytes",
  inputs: [beginning, fc.uint8Array({ maxLength: 8 })],
  check: (first, more) => {
    const early = sniff(first);
    const both = Buffer.concat([first, more]);
    // What was decided stays so, whatever comes; and four bytes always decide.
    if (early !== undefined) expect(sniff(both)).toBe(early);
    if (first.length >= 4) expect(early).toBeDefined();
    if (first.length > 0 && isTlsHandshake(first)) expect(early).toBe("http1"); // so it comes first
    expect(isTlsHandshake(both)).toBe(both[0] === 0x16);
  },
  runs: 2000,
});

/** A fraction; fc.double() would draw almost nothing but the first byte: it halves exponents. */
const place = fc.nat(2 ** 24 - 1).map((parts) => parts / 2 ** 24);
const few = fc.uint8Array({ maxLength: 4 });

/** A small change of a file: bytes written over, which leaves DER in order; put in or left out. */
const edit = fc.oneof(
  fc.record({ at: place, put: few }).map(({ at, put }) => ({ at, put, removed: put.length })),
  fc.record({ at: place, put: few, removed: fc.nat(4) }),
);
type Edit = typeof edit extends fc.Arbitrary<infer T> ? T : never;

function edited(file: Uint8Array, edits: readonly Edit[]): Buffer {
  return edits.reduce((bytes, { at, removed, put }) => {
    const place = Math.floor(at * bytes.length);
    return Buffer.concat([bytes.subarray(0, place), put, bytes.subarray(place + removed)]);
  }, Buffer.from(file));
}

async function read(file: Uint8Array): Promise<Revocations | undefined> {
  try {
    return await readRevocations(file, ca, 0);
  } catch (error) {
    expect(error).toBeInstanceOf(AetherError);
    return undefined;
  }
}

fuzz({
  name: "revocation-list",
  inputs: [fc.constantFrom("pem", "der"), fc.array(edit, { minLength: 1, maxLength: 3 })],
  check: async (form, edits) => {
    const found = await read(edited(form === "pem" ? pem : der, edits));
    if (found === undefined) return;
    expect(found.count).toBe(revoked.length);
    for (const certificate of revoked) expect(found.revokedIn(certificate)).toBeDefined();
  },
  runs: 800,
});

fuzz({
  name: "revocation-bytes",
  inputs: [fc.uint8Array({ maxLength: 200 }), fc.boolean()],
  check: async (bytes, isDer) => {
    expect(await read(isDer ? Buffer.concat([Buffer.of(0x30), bytes]) : bytes)).toBeUndefined();
  },
  runs: 500,
});

fuzz({
  name: "der",
  inputs: [fc.uint8Array({ maxLength: 64 })],
  check: (bytes) => {
    const walk = (at: number, end: number): void => {
      const element: DerElement = derElement(bytes, at, end);
      expect(element.contentStart).toBeGreaterThan(at + 1);
      expect(element.end).toBeGreaterThanOrEqual(element.contentStart);
      expect(element.end).toBeLessThanOrEqual(end);
      let next = element.contentStart;
      for (const inner of derElements(bytes, element)) {
        expect(inner.start).toBe(next); // nothing between them, nothing twice
        next = inner.end;
      }
      expect(next).toBe(element.end);
    };
    try {
      walk(0, bytes.length);
    } catch (error) {
      if (!(error instanceof DerError)) throw error;
    }
  },
  runs: 3000,
});
