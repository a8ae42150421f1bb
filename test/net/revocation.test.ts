import { afterAll, describe, expect, test } from "bun:test";
import { X509Certificate } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { PeerCertificate } from "node:tls";
import { AetherError } from "../../src/base/errors.ts";
import { type Revocations, readRevocations } from "../../src/net/revocation.ts";
import { makeAuthority } from "../support/authority.ts";

const directory = mkdtempSync(join(tmpdir(), "aether-revocation-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const [authority, other] = [makeAuthority(directory, "ours"), makeAuthority(directory, "theirs")];
const [good, bad] = [authority.client({ cn: "good" }), authority.client({ cn: "bad" })];
const foreign = other.client({ cn: "foreign" }); // its serial is that of `good`
authority.revoke(bad.cert);

const text = (path: string): string => readFileSync(path, "latin1");

function read(file: string | Uint8Array, authorities = text(authority.ca)): Promise<Revocations> {
  const bytes = typeof file === "string" ? readFileSync(file) : file;
  return readRevocations(bytes, authorities, Date.now());
}

/** As TLS shows it: the certificate and its issuers. */
function shown(...paths: string[]): PeerCertificate {
  const [first, ...rest] = paths;
  const certificate = new X509Certificate(readFileSync(first as string)).toLegacyObject();
  const issuer = rest.length > 0 ? shown(...rest) : undefined;
  return { ...certificate, issuerCertificate: issuer } as unknown as PeerCertificate;
}

describe("lists of revoked certificates", () => {
  test.each(["pem", "der"] as const)("are read as %s", async (form) => {
    const list = await read(authority.crl(form));
    expect([list.count, list.overdue]).toEqual([1, []]);
    expect(list.revokedIn(shown(bad.cert))).toBe("1001");
    expect(list.revokedIn(shown(good.cert))).toBeUndefined();
  });

  test("speak of their issuer's certificates alone", async () => {
    other.revoke(foreign.cert); // 1000
    const both = `${text(authority.crl("pem"))}\n${text(other.crl("pem"))}`;
    const authorities = `${text(authority.ca)}${text(other.ca)}`;
    const list = await read(Buffer.from(both), authorities);
    expect(list.count).toBe(2);
    expect(list.revokedIn(shown(foreign.cert))).toBe("1000");
    expect(list.revokedIn(shown(bad.cert))).toBe("1001");
    expect(list.revokedIn(shown(good.cert))).toBeUndefined();
  });

  test("revoke with an issuer whom he issued, too", async () => {
    const list = await read(authority.crl("pem"));
    expect(list.revokedIn(shown(foreign.cert, bad.cert, authority.ca))).toBe("1001");
    expect(list.revokedIn(shown(foreign.cert, authority.ca))).toBeUndefined();
  });

  test("may be empty, and may be late", async () => {
    const empty = makeAuthority(directory, "empty");
    expect((await read(empty.crl("pem"), text(empty.ca))).count).toBe(0);
    const late = await read(authority.crl("der", { expired: true }));
    expect(late.overdue).toEqual([{ issuer: "CN=ours", since: new Date("2024-01-02T00:00:00Z") }]);
    expect(late.revokedIn(shown(bad.cert))).toBe("1001");
  });

  test("have to be signed by an authority that is believed", async () => {
    await expect(read(other.crl("pem"))).rejects.toThrow(
      "issued by CN=theirs, which is none of the trusted authorities",
    );
    const impostor = makeAuthority(directory, "ours");
    await expect(read(impostor.crl("der"))).rejects.toThrow("not signed by CN=ours");
    const forged = Uint8Array.from(readFileSync(authority.crl("der")));
    const serial = Buffer.from(forged.buffer).indexOf(Buffer.from("02021001", "hex"));
    forged[serial + 3] = 0x02; // 1001 becomes 1002
    await expect(read(forged)).rejects.toThrow("not signed by CN=ours");
  });

  test("with many entries take no long time and none is lost", async () => {
    const crl = hugeList(5000);
    const list = await read(crl);
    expect(list.count).toBe(5000);
  });

  test("that are none end in an error for people", async () => {
    const der = readFileSync(authority.crl("der"));
    const cases: [Uint8Array, string][] = [
      [Buffer.from(""), "no list of revoked certificates"],
      [Buffer.from("hello"), "no list of revoked certificates"],
      [readFileSync(authority.ca), "no list of revoked certificates"],
      [der.subarray(0, 40), "the list is damaged"],
      [Buffer.concat([der, der]), "bytes after the list"],
      [Buffer.from("3000", "hex"), "nothing that is signed"],
      [Buffer.from("30820000", "hex"), "nothing that is signed"],
      [Buffer.from("3080", "hex"), "no length"],
    ];
    for (const [bytes, message] of cases) {
      const failure = await read(bytes).catch((error: unknown) => error);
      expect(failure).toBeInstanceOf(AetherError);
      expect((failure as AetherError).message).toContain(message);
    }
  });
});

/** A list with `count` entries, made from openssl's index. */
function hugeList(count: number): Uint8Array {
  const home = authority.ca.replace("/ca.pem", "");
  const index = join(home, "huge.txt");
  const rows = Array.from({ length: count }, (_, i) => {
    const serial = (0x100000 + i).toString(16).toUpperCase();
    return `R\t360101000000Z\t260101000000Z\t${serial}\tunknown\t/CN=x`;
  });
  writeFileSync(index, `${rows.join("\n")}\n`);
  writeFileSync(join(home, "huge.cnf"), text(join(home, "openssl.cnf")).replace("index", "huge"));
  const out = join(home, "huge.pem");
  const words = ["ca", "-config", join(home, "huge.cnf"), "-gencrl", "-out", out];
  const { exitCode, stderr } = Bun.spawnSync(["openssl", ...words]);
  if (exitCode !== 0) throw new Error(stderr.toString());
  return readFileSync(out);
}
