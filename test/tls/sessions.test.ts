/**
 * TLS sessions that are taken up again show no certificate anew: what was not let in stays out,
 * what is revoked or of an authority that is no more is out, and one kind of address knows nothing
 * of another's. openssl s_client keeps a session that a refused handshake left, and comes again.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { copyFileSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Authority, type Issued, makeAuthority } from "../support/authority.ts";
import { type Answer, knock } from "./outside.ts";
import { type SecureServer, startSecure } from "./secure-server.ts";

const directory = mkdtempSync(join(tmpdir(), "aether-sessions-"));
const LOCAL = { names: ["localhost"], addresses: ["127.0.0.1"] };
const [caFile, listFile] = ["ca.pem", "crl.pem"].map((name) => join(directory, name)) as [
  string,
  string,
];

let clients: Authority;
let members: Authority;
let alice: Issued;
let server: SecureServer;

beforeAll(async () => {
  clients = makeAuthority(directory, "clients");
  members = makeAuthority(directory, "members");
  alice = clients.client({ cn: "alice" });
  copyFileSync(clients.ca, caFile);
  copyFileSync(clients.crl("pem"), listFile);
  const [own, member] = [clients.server(LOCAL), members.server(LOCAL)];
  server = await startSecure({
    flags: [
      ...["--cert-file", own.cert, "--key-file", own.key, "--trusted-ca-file", caFile],
      ...["--client-crl-file", listFile, "--peer-cert-file", member.cert],
      ...["--peer-key-file", member.key, "--peer-trusted-ca-file", members.ca],
    ],
  });
});

afterAll(async () => {
  await server[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true, force: true });
});

let sessions = 0;

describe.each(["-tls1_2", "-tls1_3"])("a session (%s)", (version) => {
  const come = (port: number, certificate: Issued | undefined, ...words: string[]) =>
    knock(port, { certificate, ca: clients.ca, words: [version, ...words] });
  /** The file of a session that begins with the certificate, and how that went. */
  const begun = async (certificate: Issued): Promise<{ file: string; answer: Answer }> => {
    const file = join(directory, `session-${++sessions}`);
    return { file, answer: await come(server.ports.clients, certificate, "-sess_out", file) };
  };

  test("of who was let in lets him in again, also where it names no certificate", async () => {
    const { file } = await begun(alice);
    for (const port of [server.ports.clients, server.ports.shared]) {
      const answer = await come(port, undefined, "-sess_in", file);
      expect([answer.status, /^Reused/m.test(answer.text)]).toEqual(["HTTP/1.1 200 OK", true]);
    }
  });

  test("of a certificate that was refused is refused", async () => {
    for (const refused of [members.client({ cn: "alice" }), clientThatExpired()]) {
      const { file, answer } = await begun(refused);
      expect([answer.status, existsSync(file)]).toEqual([undefined, true]);
      for (const certificate of [refused, undefined]) {
        const again = await come(server.ports.clients, certificate, "-sess_in", file);
        expect([again.status, /^Reused/m.test(again.text)]).toEqual([undefined, true]);
      }
    }
  });

  test("of a client is none at the address for members", async () => {
    const { file } = await begun(alice);
    const answer = await come(server.ports.peers, undefined, "-sess_in", file);
    expect([answer.status, /^Reused/m.test(answer.text)]).toEqual([undefined, false]);
  });

  test("of a certificate revoked meanwhile is refused, all others are asked anew", async () => {
    const bob = clients.client({ cn: "bob" });
    const [his, hers] = [await begun(bob), await begun(alice)];
    expect(his.answer.status).toBe("HTTP/1.1 200 OK");
    clients.revoke(bob.cert);
    copyFileSync(clients.crl("pem"), listFile);
    expect((await come(server.ports.clients, bob, "-sess_in", his.file)).status).toBeUndefined();
    const { ports } = server;
    expect((await come(ports.clients, undefined, "-sess_in", hers.file)).status).toBeUndefined();
    expect((await come(ports.clients, alice, "-sess_in", hers.file)).status).toStartWith("HTTP");
  });

  test("of an authority that is none any more is refused", async () => {
    const { file } = await begun(alice);
    copyFileSync(members.ca, caFile);
    copyFileSync(members.crl("pem"), listFile);
    expect((await come(server.ports.clients, alice, "-sess_in", file)).status).toBeUndefined();
    copyFileSync(clients.ca, caFile);
    copyFileSync(clients.crl("pem"), listFile);
    expect((await come(server.ports.clients, alice)).status).toBe("HTTP/1.1 200 OK");
  });
});

function clientThatExpired(): Issued {
  return clients.client({ cn: "alice", expired: true });
}
