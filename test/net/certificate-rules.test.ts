import { afterAll, describe, expect, test } from "bun:test";
import { X509Certificate } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { PeerCertificate } from "node:tls";
import { parseAddress } from "../../src/net/address.ts";
import { brokenRule, type CertificateRules } from "../../src/net/certificate-rules.ts";
import { dial } from "../../src/net/dialer.ts";
import { listen } from "../../src/net/listener.ts";
import { Network } from "../../src/net/network.ts";
import { readRevocations } from "../../src/net/revocation.ts";
import { type Issued, makeAuthority } from "../support/authority.ts";
import { ToyConnection } from "./toy-connection.ts";

const directory = mkdtempSync(join(tmpdir(), "aether-rules-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const authority = makeAuthority(directory);
const text = (path: string): string => readFileSync(path, "utf8");
const shown = ({ cert }: Issued): PeerCertificate =>
  new X509Certificate(readFileSync(cert)).toLegacyObject() as unknown as PeerCertificate;

const alice = shown(
  authority.server({ cn: "alice", names: ["a.test", "*.b.test"], addresses: ["192.0.2.1", "::1"] }),
);
const nameless = shown(authority.client({ cn: "a.test" }));

/** As etcd decides: names exactly, hosts by the certificate's own names and never its subject. */
const TABLE: readonly (readonly [PeerCertificate, CertificateRules, string | undefined])[] = [
  [alice, {}, undefined],
  [alice, { allowedCommonNames: [], allowedHostnames: [] }, undefined],
  [alice, { allowedCommonNames: ["alice"] }, undefined],
  [alice, { allowedCommonNames: ["bob", "alice"] }, undefined],
  [alice, { allowedCommonNames: ["Alice"] }, "wrong name"],
  [alice, { allowedCommonNames: ["alic", "alice2", ""] }, "wrong name"],
  [alice, { allowedHostnames: ["a.test"] }, undefined],
  [alice, { allowedHostnames: ["other.test", "A.TEST"] }, undefined],
  [alice, { allowedHostnames: ["x.b.test"] }, undefined],
  [alice, { allowedHostnames: ["x.y.b.test"] }, "wrong host"],
  [alice, { allowedHostnames: ["alice"] }, "wrong host"],
  [alice, { allowedHostnames: ["192.0.2.1"] }, undefined],
  [alice, { allowedHostnames: ["0:0:0:0:0:0:0:1"] }, undefined],
  [alice, { allowedHostnames: ["192.0.2.2"] }, "wrong host"],
  [nameless, { allowedHostnames: ["a.test"] }, "wrong host"],
];

test.each(TABLE)("rules hold %#", (certificate, rules, reason) => {
  expect(brokenRule(certificate, rules)?.reason).toBe(reason);
});

describe("whoever dials holds the server's certificate against its rules", async () => {
  const own = authority.server({ cn: "member", addresses: ["127.0.0.1"] });
  const { cert, key } = { cert: text(own.cert), key: text(own.key) };
  const none = await readRevocations(readFileSync(authority.crl("pem")), text(authority.ca), 0);
  authority.revoke(own.cert);
  const list = await readRevocations(readFileSync(authority.crl("pem")), text(authority.ca), 0);

  test.each([
    [{ allowedCommonNames: ["member"], revocations: none }, undefined],
    [{ allowedCommonNames: ["other"] }, "has none of the allowed names: other"],
    [{ allowedHostnames: ["elsewhere.test"] }, "is for none of the allowed hosts: elsewhere.test"],
    [{ revocations: list }, 'the certificate of "member" is revoked: serial'],
  ] as const)("%#", async (rules, message) => {
    const network = new Network();
    const http = (): ToyConnection => new ToyConnection();
    const address = parseAddress("https://127.0.0.1:0");
    const tls = () => ({ cert, key });
    const listener = await listen(network, { address, tls, http1: http, http2: http });
    const options = { address: listener.address, tls: { ca: text(authority.ca), ...rules } };
    const dialed = dial(network, { ...options, connect: () => new ToyConnection(0) });
    if (message === undefined) (await dialed).terminate();
    else await expect(dialed).rejects.toThrow(message);
    await listener.stop(0);
  });
});
