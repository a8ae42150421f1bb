/**
 * RFC 9113 §3.2, §3.3 and §9.2: HTTP/2 over TLS. The server shows an RSA certificate, since one
 * cipher suite that it must have needs that (§9.2.2). Requirements: requirements.ts.
 */
import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { useServer } from "./kit/node.ts";
import { greet } from "./kit/peer.ts";
import { dialTls, type Offer, openssl } from "./kit/tls.ts";
import * as wire from "./kit/wire.ts";
import { Type } from "./kit/wire.ts";

const directory = mkdtempSync(join(tmpdir(), "aether-rfc-tls-"));
const [cert, key] = [join(directory, "cert.pem"), join(directory, "key.pem")];
const made = Bun.spawnSync([
  ...["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650"],
  ...["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
  ...["-keyout", key, "-out", cert],
]);
if (!made.success) throw new Error(`openssl: ${made.stderr.toString()}`);
const H2_ALONE: Offer = { protocols: ["h2"] };
const port = useServer({ args: ["--cert-file", cert, "--key-file", key] });
afterAll(() => rmSync(directory, { recursive: true }));

describe("RFC 9113 §3.2, §3.3 starting over TLS", () => {
  test.each(["TLSv1.2", "TLSv1.3"] as const)(
    "§3.2-2 §9.2-1 h2 by ALPN over %s",
    async (version) => {
      const { peer, protocol } = await dialTls(port(), { protocols: ["h2", "http/1.1"], version });
      await using connection = peer;
      expect(protocol).toBe("h2");
      await greet(connection);
      await connection.serves();
    },
  );

  test("§3.2-1 h2c is never chosen over TLS", async () => {
    const { peer, protocol } = await dialTls(port(), { protocols: ["h2c", "h2"] });
    await using _connection = peer;
    expect(protocol).toBe("h2");
    const alone = await dialTls(port(), { protocols: ["h2c"] }).catch((error: Error) => error);
    if (alone instanceof Error) return;
    await using _other = alone.peer;
    expect(alone.protocol).toBeUndefined();
  });

  const unnegotiated: readonly (readonly [string, Offer])[] = [
    ["no ALPN", {}],
    ["http/1.1", { protocols: ["http/1.1"] }],
  ];
  test.each(unnegotiated)("§3.3-1 HTTP/2 is not spoken after %s", async (_name, offer) => {
    const { peer } = await dialTls(port(), offer);
    await using connection = peer;
    connection.send(wire.PREFACE, wire.settings());
    await connection.end();
    await expect(connection.next(Type.SETTINGS)).rejects.toThrow("connection closed");
  });

  test("§9.2-2 any server name is taken, and none", async () => {
    for (const serverName of ["localhost", "elsewhere.example", undefined]) {
      const offer = { protocols: ["h2"], ...(serverName === undefined ? {} : { serverName }) };
      const { peer } = await dialTls(port(), offer);
      await using connection = peer;
      await greet(connection);
      await connection.serves();
    }
  });
});

describe("RFC 9113 §9.2 features of TLS", () => {
  const H2 = ["-alpn", "h2"];
  const OLD = ["-cipher", "ALL:@SECLEVEL=0"];

  test.each(["-tls1", "-tls1_1"])("§9.2-1 %s is refused", async (version) => {
    const said = await openssl(port(), "", version, ...OLD, ...H2);
    expect(said).toContain("Cipher is (NONE)");
    expect(said).not.toContain("ALPN protocol: h2");
  });

  test("§9.2.1-1 §10.6-3 no compression", async () => {
    for (const version of ["-tls1_2", "-tls1_3"]) {
      const said = await openssl(port(), "", version, "-comp", ...H2);
      expect(said).toContain("ALPN protocol: h2");
      expect(said).toContain("Compression: NONE");
    }
  });

  test("§9.2.1-2 §9.2.1-3 no renegotiation", async () => {
    const said = await openssl(port(), "R\n", "-tls1_2", "-msg", ...H2);
    expect(said).toContain("RENEGOTIATING");
    expect(said.match(/<<< TLS 1.2, .*ServerHello\n/g)).toHaveLength(1);
  });

  test.each(["P-256", "P-384", "X25519"])("§9.2.1-5 ephemeral keys of %s", async (curve) => {
    const said = await openssl(port(), "", "-tls1_2", "-groups", curve, ...H2);
    expect(said).toMatch(/Server Temp Key: .*(25[36]|384) bits/);
    expect(said).toContain("ALPN protocol: h2");
  });

  test("§9.2.2-1 §9.2.2-2 TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 with P-256", async () => {
    const suite = ["-cipher", "ECDHE-RSA-AES128-GCM-SHA256", "-groups", "P-256"];
    const said = await openssl(port(), "", "-tls1_2", ...suite, ...H2);
    expect(said).toContain("Cipher is ECDHE-RSA-AES128-GCM-SHA256");
    const { peer } = await dialTls(port(), { ...H2_ALONE, version: "TLSv1.2", ciphers: suite[1] });
    await using connection = peer;
    await greet(connection);
    await connection.serves(); // no INADEQUATE_SECURITY
  });

  test("§9.2.3-1 no CertificateRequest after the handshake", async () => {
    const said = await openssl(port(), "", "-tls1_3", "-enable_pha", "-msg", ...H2);
    expect(said).toContain("<<< TLS 1.3, Handshake");
    expect(said).not.toContain("CertificateRequest");
  });
});
