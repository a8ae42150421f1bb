import { afterAll, expect, test } from "bun:test";
import { X509Certificate } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeAuthority } from "./authority.ts";

const directory = mkdtempSync(join(tmpdir(), "aether-authority-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

function certificate(path: string): X509Certificate {
  return new X509Certificate(readFileSync(path));
}

function openssl(...words: string[]): { code: number; text: string } {
  const { exitCode, stdout, stderr } = Bun.spawnSync(["openssl", ...words]);
  return { code: exitCode, text: `${stdout}${stderr}` };
}

test("an authority signs what it is asked to, and nothing that another signed", () => {
  const [one, two] = [makeAuthority(directory, "one"), makeAuthority(directory, "two")];
  const server = one.server({ names: ["localhost"], addresses: ["127.0.0.1", "::1"] });
  const shown = certificate(server.cert);
  expect(shown.subject).toBe("CN=localhost");
  expect(shown.subjectAltName).toContain("DNS:localhost, IP Address:127.0.0.1");
  expect(openssl("verify", "-CAfile", one.ca, server.cert).code).toBe(0);
  expect(openssl("verify", "-CAfile", two.ca, server.cert).code).not.toBe(0);
  const client = one.client({ cn: "alice", names: ["alice.test"] });
  expect(openssl("verify", "-purpose", "sslclient", "-CAfile", one.ca, client.cert).code).toBe(0);
  expect(openssl("verify", "-purpose", "sslserver", "-CAfile", one.ca, client.cert).code).toBe(2);
});

test("an expired certificate has been one, and the list names the revoked", () => {
  const authority = makeAuthority(directory);
  const expired = authority.client({ cn: "old", expired: true });
  expect(openssl("verify", "-CAfile", authority.ca, expired.cert).text).toContain("expired");
  const [good, bad] = [authority.client({ cn: "good" }), authority.client({ cn: "bad" })];
  authority.revoke(bad.cert);
  const list = authority.crl("pem");
  const check = (cert: string): string =>
    openssl("verify", "-crl_check", "-CRLfile", list, "-CAfile", authority.ca, cert).text;
  expect(check(good.cert)).toContain("OK");
  expect(check(bad.cert)).toContain("revoked");
  const der = readFileSync(authority.crl("der"));
  expect(der[0]).toBe(0x30); // a SEQUENCE, not a dash
  const late = openssl("crl", "-in", authority.crl("pem", { expired: true }), "-noout", "-text");
  expect(late.text).toContain("2024");
});
