/**
 * Who gets in at each kind of address, asked by openssl s_client and etcdctl: the right
 * certificate, none, a foreign authority's, an expired one, a revoked one, one with a wrong name,
 * and TLS 1.1. Nobody else gets a byte of an answer, and the log says who it was and why not.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Authority, type Issued, makeAuthority } from "../support/authority.ts";
import { until } from "../support/processes.ts";
import { etcdctlPut, knock } from "./outside.ts";
import { type Ports, type SecureServer, startSecure } from "./secure-server.ts";

const directory = mkdtempSync(join(tmpdir(), "aether-tls-"));
const LOCAL = { names: ["localhost"], addresses: ["127.0.0.1"] };

interface Certificates {
  readonly right: Issued;
  readonly foreign: Issued;
  readonly expired: Issued;
  readonly revoked: Issued;
  readonly misnamed: Issued;
  /** For another host than that it calls from. */
  readonly elsewhere: Issued;
}

let authority: Authority;
let known: Certificates;
let server: SecureServer;

beforeAll(async () => {
  authority = makeAuthority(directory);
  const own = authority.server(LOCAL);
  const member = (cn: string): Issued => authority.server({ ...LOCAL, cn });
  known = {
    right: member("member"),
    foreign: makeAuthority(directory, "foreign").server({ ...LOCAL, cn: "member" }),
    expired: authority.server({ ...LOCAL, cn: "member", expired: true }),
    revoked: member("member"),
    misnamed: member("misnamed"),
    elsewhere: authority.server({ names: ["nowhere.invalid"], cn: "member" }),
  };
  authority.revoke(known.revoked.cert);
  const [pem, der] = [authority.crl("pem"), authority.crl("der")];
  server = await startSecure({
    httpApart: true,
    flags: [
      ...["--cert-file", own.cert, "--key-file", own.key, "--trusted-ca-file", authority.ca],
      ...["--client-crl-file", pem, "--client-cert-allowed-hostname", "localhost"],
      ...["--peer-cert-file", known.right.cert, "--peer-key-file", known.right.key],
      ...["--peer-trusted-ca-file", authority.ca, "--peer-client-cert-auth"],
      ...["--peer-crl-file", der, "--peer-cert-allowed-cn", "member"],
    ],
  });
});

afterAll(async () => {
  await server[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true, force: true });
});

/** Alerts of TLS (RFC 8446 §6.2). */
const ALERT = { protocolVersion: 70, certificateRequired: 116, handshakeFailure: 40 } as const;

const ADDRESSES: readonly (keyof Ports)[] = ["clients", "shared", "http", "metrics", "peers"];
const VERSIONS = ["-tls1_2", "-tls1_3"] as const;

describe.each(ADDRESSES)("at the address of %s", (name) => {
  const port = (): number => server.ports[name];
  const since = (): (() => string) => {
    const { length } = server.process.log;
    return () => server.process.log.slice(length);
  };

  test.each(VERSIONS)("the right certificate gets an answer (%s)", async (version) => {
    const answer = await knock(port(), {
      certificate: known.right,
      ca: authority.ca,
      words: [version],
    });
    expect(answer.status).toMatch(/^HTTP\/1\.1 (200|404)/);
  });

  test.each([
    ["-tls1_2", ALERT.handshakeFailure],
    ["-tls1_3", ALERT.certificateRequired],
  ] as const)("none ends in an alert (%s)", async (version, alert) => {
    const answer = await knock(port(), { ca: authority.ca, words: [version] });
    expect([answer.status, answer.alert]).toEqual([undefined, alert]);
  });

  const REFUSED: readonly (keyof Certificates)[] = ["foreign", "expired", "revoked"];
  for (const version of VERSIONS) {
    test.each(REFUSED)(`a certificate that is %s ends it politely (${version})`, async (which) => {
      const answer = await knock(port(), {
        certificate: known[which],
        ca: authority.ca,
        words: [version],
      });
      expect([answer.status, answer.politely]).toEqual([undefined, true]);
    });
  }

  test("TLS 1.1 ends in an alert", async () => {
    const words = ["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"];
    const answer = await knock(port(), { certificate: known.right, ca: authority.ca, words });
    expect([answer.status, answer.alert]).toEqual([undefined, ALERT.protocolVersion]);
  });

  test("what is no TLS at all gets no answer", async () => {
    const heard = since();
    const text = await plaintext(port());
    if (name === "shared") expect(text).toStartWith("HTTP/1.1 404");
    else {
      expect(text).not.toContain("HTTP");
      await until("the log names it", () => heard().includes("reason=failed") || said("failed"));
    }
  });
});

/** Whether the log has the kind of refusal, for one address: each is written once in a while. */
function said(kind: string): boolean {
  return server.process.log.includes(`reason=${kind}`);
}

test("only members' names come in at the members' address", async () => {
  const misnamed = { certificate: known.misnamed, ca: authority.ca };
  const member = await knock(server.ports.peers, misnamed);
  expect([member.status, member.politely]).toEqual([undefined, true]);
  expect((await knock(server.ports.clients, misnamed)).status).toStartWith("HTTP/1.1 404");
  expect(server.process.log).toContain(
    'detail="the certificate of \\"misnamed\\" has none of the allowed names: member"',
  );
});

test("a certificate for another host does not come in", async () => {
  const elsewhere = { certificate: known.elsewhere, ca: authority.ca };
  const { clients, peers } = server.ports;
  const answers = await Promise.all([clients, peers].map((port) => knock(port, elsewhere)));
  for (const { status, politely } of answers) expect([status, politely]).toEqual([undefined, true]);
  const { log } = server.process;
  expect(log).toContain("is for none of the allowed hosts: localhost"); // clients
  expect(log).toContain("its certificate is for nowhere.invalid, not for 127.0.0.1"); // members
});

test("the log says who was refused, and why", () => {
  const { log } = server.process;
  for (const row of [
    'reason=revoked detail="the certificate of \\"member\\" is revoked: serial',
    'reason=expired detail="the certificate of \\"member\\": certificate has expired"',
    'reason="not verified" detail="the certificate of \\"member\\": unable to verify',
    "reason=failed detail=",
    "peer=127.0.0.1:",
  ]) {
    expect(log).toContain(row);
  }
});

test("metrics count who was refused, by whom the address is for", async () => {
  const [certificate, ca] = [known.right, authority.ca];
  const { text } = await knock(server.ports.metrics, { certificate, ca, path: "/metrics" });
  for (const addresses of ["clients", "members", "observers"]) {
    for (const reason of ["failed", "refused"]) {
      const labels = `{addresses="${addresses}",reason="${reason}"}`;
      expect(text).toMatch(new RegExp(`^aether_tls_handshakes_refused_total${labels} [1-9]`, "m"));
    }
  }
});

test("etcdctl comes in with the right certificate, by TLS alone and shared", async () => {
  const put = (port: number, certificate?: Issued): Promise<string> =>
    etcdctlPut(`https://127.0.0.1:${port}`, { ca: authority.ca, certificate });
  const { clients, shared } = server.ports;
  const tries = [known.right, undefined, known.foreign, known.expired, known.revoked].flatMap(
    (certificate) => [put(clients, certificate), put(shared, certificate)],
  );
  const [right, rightShared, ...refused] = await Promise.all(tries);
  expect([right, rightShared]).toEqual(["OK", "OK"]);
  for (const text of refused) expect(text).toContain("Error:");
  const stranger = await etcdctlPut(`https://127.0.0.1:${clients}`, {
    ca: makeAuthority(directory, "unknown").ca,
    certificate: known.right,
  });
  expect(stranger).toContain("Error:");
});

/** What a client that knows no TLS hears until the connection ends. */
async function plaintext(port: number): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  let text = "";
  await Bun.connect({
    hostname: "127.0.0.1",
    port,
    socket: {
      open: (socket) => {
        socket.write("GET /version HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
      },
      data: (_socket, bytes) => {
        text += bytes.toString("latin1");
      },
      close: () => resolve(text),
      error: () => undefined,
    },
  });
  return await promise;
}
