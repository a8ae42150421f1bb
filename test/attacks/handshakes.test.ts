/**
 * TLS handshakes that are begun to keep the server busy or to fill its memory (reliability.md §4.2;
 * GHSA-6vch-q96h-7gc3: etcd let any number of them hang, for ever).
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { EtcdClient } from "../../src/client/etcd-client.ts";
import { HANDSHAKES_MAX } from "../../src/net/handshakes.ts";
import { type Authority, makeAuthority } from "../support/authority.ts";
import { type SecureServer, startSecure } from "../tls/secure-server.ts";
import { type AttackReport, attack } from "./harness.ts";

/** A server with TLS that works holds about 100 MiB; a thousand handshakes that wait add ten. */
const BOUND_MB = 250;
const TEST_MS_MAX = 60_000;

const directory = mkdtempSync(join(tmpdir(), "aether-handshakes-"));
let authority: Authority;
let server: SecureServer;

beforeAll(async () => {
  authority = makeAuthority(directory);
  const own = authority.server({ names: ["localhost"], addresses: ["127.0.0.1"] });
  const files = (prefix: string): string[] => [
    ...[`--${prefix}cert-file`, own.cert, `--${prefix}key-file`, own.key],
  ];
  const members = ["--peer-trusted-ca-file", authority.ca];
  server = await startSecure({ flags: [...files(""), ...files("peer-"), ...members] });
});

afterAll(async () => {
  await server[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true, force: true });
});

function secureClient(endpoint: string): EtcdClient {
  const ca = readFileSync(authority.ca, "utf8");
  return new EtcdClient({ endpoints: [`https://${endpoint}`], timeoutMs: 10_000, tls: { ca } });
}

function strike(
  name: string,
  port = server.ports.clients,
  ...more: string[]
): Promise<AttackReport> {
  return attack({
    ...{ name: `TLS: ${name}`, script: "handshakes.attack.ts", args: [name, ...more], port },
    ...{ server: server.process, connect: secureClient, boundMb: BOUND_MB },
  });
}

describe("handshakes", () => {
  test.each(["silent", "half a ClientHello", "a ClientHello, then nothing"])(
    "%s: the oldest make room",
    async (name) => {
      const report = await strike(name);
      const { connections = 0 } = report.sent;
      expect(connections).toBeGreaterThan(HANDSHAKES_MAX);
      expect(report.ended["cut"]).toBeGreaterThan(0);
      expect(report.log).toContain("reason=surplus");
    },
    TEST_MS_MAX,
  );

  test.each([
    ["no preface", "shared"],
    ["no preface in TLS", "clients"],
  ] as const)(
    "%s: each is cut when its time is up",
    async (name, address) => {
      const { sent, ended } = await strike(name, server.ports[address]);
      expect(sent["connections"]).toBeGreaterThan(50);
      expect(ended["cut"]).toBe(sent["connections"]);
    },
    TEST_MS_MAX,
  );

  test.each([
    ["a ClientHello, again and again", "hellos answered"],
    ["whole handshakes, again and again", "handshakes"],
  ])(
    "%s",
    async (name, what) => {
      const report = await strike(name);
      expect(report.sent[what]).toBeGreaterThan(50);
    },
    TEST_MS_MAX,
  );

  test(
    "foreign certificates, again and again, at the address for members",
    async () => {
      const foreign = makeAuthority(directory, "foreign");
      const { cert, key } = foreign.server({ names: ["localhost"], addresses: ["127.0.0.1"] });
      const name = "foreign certificates, again and again";
      const { sent, ended, log } = await strike(name, server.ports.peers, cert, key);
      expect(sent["handshakes"]).toBeGreaterThan(50);
      expect(sent["answers"]).toBeUndefined();
      expect(ended["closed"]).toBeGreaterThanOrEqual(sent["handshakes"] as number);
      const lines = log.split("\n").filter((line) => line.includes("TLS handshake failed"));
      expect(lines.some((line) => line.includes('reason="not verified"'))).toBe(true);
      expect(lines.length).toBeLessThan(50);
    },
    TEST_MS_MAX,
  );
});
