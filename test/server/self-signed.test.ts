/** Certificates that a node makes for itself: kept while they are good, made anew when not. */
import { afterAll, describe, expect, test } from "bun:test";
import { X509Certificate } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import type { Log, LogFields } from "../../src/base/ports.ts";
import { CertificateRenewal, keepSelfSigned } from "../../src/server/self-signed.ts";

const DAY_MS = 86_400_000;
const home = mkdtempSync(join(tmpdir(), "self-signed-"));
afterAll(() => rmSync(home, { recursive: true }));

interface Line {
  readonly message: string;
  readonly fields: LogFields;
}

/** Keeps one in a directory of the given name, and says what was logged. */
async function keep(name: string, hosts: readonly string[], laterDays = 0): Promise<Line[]> {
  const lines: Line[] = [];
  const take = (message: string, fields: LogFields = {}): void => {
    lines.push({ message, fields });
  };
  const log: Log = { trace: take, debug: take, info: take, warn: take, error: take };
  const wanted = { directory: join(home, name), hosts, validYears: 1 };
  const wallMs = Date.now() + laterDays * DAY_MS;
  await keepSelfSigned(wanted, { addresses: "clients", wallMs, log });
  return lines;
}

function certificate(name: string): X509Certificate {
  return new X509Certificate(readFileSync(join(home, name, "cert.pem")));
}

function openssl(...words: readonly string[]): string {
  const { stdout, stderr } = Bun.spawnSync(["openssl", ...words]);
  return `${stdout}${stderr}`;
}

describe("a self-signed certificate", () => {
  test("bears the names, is good for a year, and its fingerprint is told", async () => {
    const [made, told] = await keep("made", ["10.1.2.3", "db.example", "::1"]);
    expect(made?.fields.why).toBe("there is none");
    const found = certificate("made");
    expect(told?.fields.sha256).toBe(found.fingerprint256);
    const file = join(home, "made", "cert.pem");
    expect(openssl("x509", "-in", file, "-noout", "-fingerprint", "-sha256")).toContain(
      found.fingerprint256,
    );
    for (const address of ["10.1.2.3", "::1", "127.0.0.1"]) {
      expect(openssl("verify", "-x509_strict", "-CAfile", file, "-verify_ip", address, file)).toBe(
        `${file}: OK\n`,
      );
    }
    expect(openssl("verify", "-CAfile", file, "-verify_hostname", "db.example", file)).toEndWith(
      "OK\n",
    );
    expect(openssl("verify", "-CAfile", file, "-verify_hostname", "x.example", file)).toContain(
      "hostname mismatch",
    );
    const days = (Date.parse(found.validTo) - Date.now()) / DAY_MS;
    expect(Math.round(days)).toBe(365);
    expect(openssl("x509", "-in", file, "-noout", "-text")).toContain("CA:FALSE");
  });

  test("is for its owner alone, whatever the umask is", async () => {
    const earlier = process.umask(0);
    try {
      await keep("private", ["a"]);
    } finally {
      process.umask(earlier);
    }
    const mode = (file: string): number => statSync(join(home, "private", file)).mode & 0o777;
    expect([mode("."), mode("cert.pem"), mode("key.pem")]).toEqual([0o700, 0o600, 0o600]);
  });

  test("stays while it is good, also when a name is no longer used", async () => {
    await keep("kept", ["a.example", "10.0.0.1"]);
    const { fingerprint256 } = certificate("kept");
    const lines = await keep("kept", ["10.0.0.1"], 300);
    expect(lines.map(({ message }) => message)).toEqual(["self-signed certificate"]);
    expect(certificate("kept").fingerprint256).toBe(fingerprint256);
  });

  test("stands for every interface where that is listened on", async () => {
    await keep("every", ["0.0.0.0"]);
    const found = certificate("every");
    expect(found.checkHost(hostname())).toBeDefined();
    expect(found.checkHost("localhost")).toBeDefined();
    expect(found.checkIP("127.0.0.1")).toBeDefined();
    expect(found.checkIP("0.0.0.0")).toBeUndefined();
  });

  const reasons: readonly (readonly [string, (directory: string) => void, string, number])[] = [
    ["of a name that it misses", () => undefined, "it is not for b.example", 0],
    ["of its end", () => undefined, "it ends ", 340],
    ["no key", (at) => rmSync(join(at, "key.pem")), "certificate and key are no pair", 0],
    [
      "damage",
      (at) => writeFileSync(join(at, "cert.pem"), "x"),
      "certificate and key are no pa",
      0,
    ],
    [
      "another's key",
      (at) => writeFileSync(join(at, "key.pem"), openssl("genpkey", "-algorithm", "ed25519")),
      "certificate and key are no pair",
      0,
    ],
  ];
  test.each(reasons)("is made anew because of %s", async (name, harm, why, days) => {
    await keep(name, ["a.example"]);
    const before = certificate(name).fingerprint256;
    harm(join(home, name));
    const [line] = await keep(name, days === 0 ? ["a.example", "b.example"] : ["a.example"], days);
    expect(line?.fields.why).toStartWith(why);
    expect(certificate(name).fingerprint256).not.toBe(before);
  });

  test("is renewed while the node runs, and no name is asked about then", async () => {
    await keep("running", ["a.example"]);
    const before = certificate("running").fingerprint256;
    let days = 0;
    const clock = {
      monotonicMs: () => days * DAY_MS,
      wallMs: () => Date.now() + days * DAY_MS,
    };
    const lines: string[] = [];
    const take = (message: string): void => void lines.push(message);
    const log: Log = { trace: take, debug: take, info: take, warn: take, error: take };
    const selfSigned = { directory: join(home, "running"), hosts: ["other"], validYears: 1 };
    const wanted = { clientTls: { selfSigned }, peerTls: undefined };
    const renewal = new CertificateRenewal(wanted, clock, log);
    for (days = 0; days < 330; days++) await renewal.tick();
    expect([certificate("running").fingerprint256, lines]).toEqual([before, []]);
    for (; days < 340; days++) await renewal.tick();
    expect(certificate("running").fingerprint256).not.toBe(before);
    expect(lines).toEqual([
      "replaced the self-signed certificate: it has another fingerprint",
      "self-signed certificate",
    ]);
    rmSync(join(home, "running"), { recursive: true });
    writeFileSync(join(home, "running"), "in the way");
    days++;
    await renewal.tick();
    expect(lines.at(-1)).toBe("cannot renew a self-signed certificate");
  });

  test("that cannot be read is named", async () => {
    await keep("unreadable", ["a"]);
    const file = join(home, "unreadable", "cert.pem");
    rmSync(file);
    mkdirSync(file);
    await expect(keep("unreadable", ["a"])).rejects.toThrow(`${file}: cannot be used (EISDIR)`);
  });
});
