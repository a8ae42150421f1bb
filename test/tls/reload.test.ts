/**
 * Certificates, authorities and lists of revoked ones that change while the server runs: the next
 * handshake has what is in the files, at every address; connections that are open go on; files that
 * cannot be used change nothing, and the log names them.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, type TLSSocket } from "node:tls";
import { type Authority, type Issued, makeAuthority } from "../support/authority.ts";
import { until } from "../support/processes.ts";
import { knock } from "./outside.ts";
import { type SecureServer, startSecure } from "./secure-server.ts";

const directory = mkdtempSync(join(tmpdir(), "aether-reload-"));
const LOCAL = { names: ["localhost"], addresses: ["127.0.0.1"] };
/** As Kubernetes mounts secrets: links by way of a directory that is exchanged as a whole. */
const mounted = join(directory, "mounted");
const FILES = ["cert.pem", "key.pem", "ca.pem", "crl.pem"] as const;
const path = (file: (typeof FILES)[number]): string => join(mounted, file);

let versions = 0;
let authority: Authority;
let alice: Issued;
let bob: Issued;
let server: SecureServer;

/** Exchanges all files at once, as a mounted secret is. */
function mount(own: Issued, ca: Authority): void {
  const version = join(mounted, `..${++versions}`);
  mkdirSync(version, { recursive: true });
  copyFileSync(own.cert, join(version, "cert.pem"));
  copyFileSync(own.key, join(version, "key.pem"));
  copyFileSync(ca.ca, join(version, "ca.pem"));
  copyFileSync(ca.crl("pem"), join(version, "crl.pem"));
  symlinkSync(version, join(mounted, "..next"));
  renameSync(join(mounted, "..next"), join(mounted, "..data"));
}

beforeAll(async () => {
  authority = makeAuthority(directory, "first");
  alice = authority.client({ cn: "alice" });
  bob = authority.client({ cn: "bob" });
  mount(authority.server({ ...LOCAL, cn: "one" }), authority);
  for (const file of FILES) symlinkSync(join("..data", file), path(file));
  const flags = ["cert-file", "key-file", "trusted-ca-file"].map((name, i) => {
    return [name, path(FILES[i] as (typeof FILES)[number])] as const;
  });
  server = await startSecure({
    flags: [
      ...flags.flatMap(([name, file]) => [`--${name}`, file, `--peer-${name}`, file]),
      ...["--client-crl-file", path("crl.pem"), "--peer-crl-file", path("crl.pem")],
    ],
  });
});

afterAll(async () => {
  await server[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true, force: true });
});

/** The name of the server's certificate at each kind of address, for one that comes in. */
async function shownTo(certificate: Issued, ca = authority.ca): Promise<Set<string | undefined>> {
  const { clients, shared, metrics, peers } = server.ports;
  const ports = [clients, shared, metrics, peers];
  const answers = await Promise.all(ports.map((port) => knock(port, { certificate, ca })));
  return new Set(answers.map((answer) => answer.status && answer.server));
}

const NOBODY = new Set([undefined]);

test("the next handshake has the new certificate, and open connections go on", async () => {
  await using open = await keptOpen(server.ports.clients, bob);
  expect(await open.ask()).toStartWith("HTTP/1.1 200");
  expect(await shownTo(alice)).toEqual(new Set(["one"]));
  mount(authority.server({ ...LOCAL, cn: "two" }), authority);
  expect(await shownTo(alice)).toEqual(new Set(["two"]));
  expect(await open.ask()).toStartWith("HTTP/1.1 200");
  const changed = server.process.log.match(/TLS files have changed: they hold/g);
  expect(changed?.length).toBe(2); // those of clients and those of members
});

test("the next handshake knows who was revoked meanwhile", async () => {
  await using open = await keptOpen(server.ports.shared, bob);
  expect(await shownTo(bob)).toEqual(new Set(["two"]));
  authority.revoke(bob.cert);
  copyFileSync(authority.crl("der"), path("crl.pem")); // through the links, and in the other form
  expect(await shownTo(bob)).toEqual(NOBODY);
  expect(await shownTo(alice)).toEqual(new Set(["two"]));
  expect(await open.ask()).toStartWith("HTTP/1.1 200");
});

test.each([
  ["cert.pem", "no certificate in PEM form", (file: string) => writeFileSync(file, "broken")],
  ["key.pem", "it is not the key of", (file: string) => copyFileSync(alice.key, file)],
  ["ca.pem", "no such file", (file: string) => unlinkSync(file)],
  ["crl.pem", "the list is damaged", (file: string) => writeFileSync(file, Buffer.of(0x30, 0x40))],
] as const)("a %s that cannot be used changes nothing", async (name, why, spoil) => {
  const file = join(mounted, "..data", name);
  const good = readFileSync(file);
  const { length } = server.process.log;
  const news = (): string => server.process.log.slice(length);
  spoil(file);
  expect(await shownTo(alice)).toEqual(new Set(["two"]));
  expect(await shownTo(bob)).toEqual(NOBODY);
  await until("the log names the file", () => news().includes(`${path(name)}: ${why}`));
  const lines = news().match(/cannot be used: the old ones stay/g);
  expect(lines?.length).toBe(2); // clients' and members', once each
  writeFileSync(file, good);
  expect(await shownTo(alice)).toEqual(new Set(["two"]));
});

test("a new list holds although the key beside it is broken", async () => {
  const eve = authority.client({ cn: "eve" });
  expect(await shownTo(eve)).toEqual(new Set(["two"]));
  const key = readFileSync(path("key.pem"));
  writeFileSync(path("key.pem"), key.subarray(0, 60)); // of a copy that was cut off
  authority.revoke(eve.cert);
  copyFileSync(authority.crl("pem"), path("crl.pem"));
  expect(await shownTo(eve)).toEqual(NOBODY);
  expect(await shownTo(alice)).toEqual(new Set(["two"]));
  writeFileSync(path("key.pem"), key);
  expect(await shownTo(eve)).toEqual(NOBODY);
  expect(await shownTo(alice)).toEqual(new Set(["two"]));
});

test("another authority takes the place of the first", async () => {
  const second = makeAuthority(directory, "second");
  const carol = second.client({ cn: "carol" });
  expect(await shownTo(carol)).toEqual(NOBODY);
  mount(second.server({ ...LOCAL, cn: "three" }), second);
  expect(await shownTo(carol, second.ca)).toEqual(new Set(["three"]));
  expect(await shownTo(alice, second.ca)).toEqual(NOBODY);
});

interface Open extends AsyncDisposable {
  /** The status line of one more answer on the connection. */
  ask(): Promise<string>;
}

/** A connection that stays open, over HTTP/1.1. */
async function keptOpen(port: number, { cert, key }: Issued): Promise<Open> {
  const { promise, resolve, reject } = Promise.withResolvers<TLSSocket>();
  const socket = connect(
    {
      ...{ host: "127.0.0.1", port, servername: "localhost", ca: readFileSync(authority.ca) },
      ...{ cert: readFileSync(cert), key: readFileSync(key), ALPNProtocols: ["http/1.1"] },
    },
    () => resolve(socket),
  );
  socket.once("error", reject);
  await promise;
  return {
    ask: async () => {
      const answer = new Promise<string>((done, fail) => {
        socket.once("data", (bytes: Buffer) => done(bytes.toString("latin1")));
        socket.once("close", () => fail(new Error("closed")));
      });
      socket.write("GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n");
      return await answer;
    },
    [Symbol.asyncDispose]: async () => {
      socket.destroy();
    },
  };
}
