/**
 * What the client says when TLS does not come about: which file, whose certificate, and why. The
 * servers only shake hands; what a real node refuses is in test/tls.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer as createTlsServer, type TlsOptions } from "node:tls";
import { runCtl } from "../../src/cli/ctl/ctl.ts";
import { EXIT } from "../../src/cli/exit.ts";
import { type Issued, makeAuthority } from "../support/authority.ts";
import { FakeIo } from "./fake-io.ts";

const home = mkdtempSync(join(tmpdir(), "ctl-tls-"));
const authority = makeAuthority(home);
const stranger = makeAuthority(home, "another authority");
const HERE = { names: ["localhost"], addresses: ["127.0.0.1"] };
const server = authority.server(HERE);
const alice = authority.client({ cn: "alice" });
const eve = stranger.client({ cn: "eve" });
const past = authority.client({ cn: "alice", expired: true });
const damaged = join(home, "damaged.pem");
const encrypted = join(home, "encrypted.pem");

const servers: Server[] = [];
/** By what is odd about each. */
const ports = new Map<string, number>();

async function add(name: string, made: Server): Promise<void> {
  servers.push(made);
  await new Promise<void>((resolve) => made.listen(0, "127.0.0.1", resolve));
  const address = made.address();
  if (typeof address === "object" && address !== null) ports.set(name, address.port);
}

function tlsServer({ cert, key }: Issued, options: TlsOptions = {}): Server {
  const pair = { cert: readFileSync(cert), key: readFileSync(key) };
  const made = createTlsServer({ ...pair, ALPNProtocols: ["h2"], ...options });
  made.on("tlsClientError", () => undefined); // what the tests are about
  made.on("secureConnection", (socket) => socket.on("error", () => undefined));
  return made;
}

/** Answers whatever it hears as HTTP/1.1 does. */
function plaintext(): Server {
  return createServer((socket) => {
    socket.on("error", () => undefined);
    socket.on("data", () => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"));
  });
}

beforeAll(async () => {
  const asking = { requestCert: true, ca: readFileSync(authority.ca) };
  await add("good", tlsServer(server));
  await add("expired", tlsServer(authority.server({ ...HERE, expired: true })));
  await add("elsewhere", tlsServer(authority.server({ names: ["db.example"] })));
  await add("client's", tlsServer(alice));
  await add("nameless", tlsServer(authority.server({ cn: "localhost" })));
  await add("asking", tlsServer(server, asking));
  await add("old", tlsServer(server, { minVersion: "TLSv1", maxVersion: "TLSv1.1" }));
  await add("plaintext", plaintext());
  writeFileSync(damaged, readFileSync(authority.ca, "utf8").replace(/^M.{20}/m, "AAAA"));
  const { success } = Bun.spawnSync([
    "openssl",
    "pkcs8",
    "-topk8",
    "-in",
    alice.key,
    "-out",
    encrypted,
    "-passout",
    "pass:x",
  ]);
  expect(success).toBe(true);
});
afterAll(() => {
  for (const each of servers) each.close();
  rmSync(home, { recursive: true });
});

async function get(endpoint: string, words: readonly string[]): Promise<[string, number]> {
  const io = new FakeIo();
  const times = ["--dial-timeout=1500ms", "--command-timeout=2s"];
  const status = await runCtl(["get", "a", "--endpoints", endpoint, ...times, ...words], io);
  return [io.stderr, status];
}

const CA = ["--cacert", authority.ca];

describe.concurrent("a handshake that fails", () => {
  const table: readonly (readonly [
    server: string,
    scheme: string,
    words: readonly string[],
    why: string,
  ])[] = [
    ["good", "https", [], "its certificate is of an unknown authority (trust it with --cacert)"],
    ["good", "https", ["--cacert", stranger.ca], "its certificate is of an unknown authority (tr"],
    ["good", "", ["--insecure-transport=false"], "its certificate is of an unknown authority (tr"],
    ["expired", "https", CA, "its certificate has expired (Jan  2 00:00:00 2024 GMT)"],
    ["expired", "", CA, "its certificate has expired"],
    ["elsewhere", "https", CA, "its certificate is not for 127.0.0.1, but for db.example"],
    ["nameless", "https", CA, "its certificate is not for 127.0.0.1, but for no host at all"],
    ["client's", "https", CA, "its certificate is not for servers"],
    ["asking", "https", CA, "it wants a certificate of ours (give --cert and --key)"],
    [
      ...(["asking", "https", [...CA, "--cert", eve.cert, "--key", eve.key]] as const),
      "want a certificate of ours, or another? (its log says what is wrong with --cert)",
    ],
    [
      ...(["asking", "https", [...CA, "--cert", past.cert, "--key", past.key]] as const),
      "does it want a certificate of ours, or another? (--cert ended Jan  2 00:00:00 2024 GMT)",
    ],
    ["old", "https", CA, "it speaks none of our versions of TLS"],
    ["plaintext", "https", CA, "it does not speak TLS (use http://)"],
    ["plaintext", "http", CA, "it does not speak HTTP/2"],
    ["good", "http", [], "connection closed: does it speak TLS? (use https://)"],
  ];
  test.each(table)("%s by %p and %j", async (name, scheme, words, why) => {
    const place = `127.0.0.1:${ports.get(name)}`;
    const [said, status] = await get(scheme === "" ? place : `${scheme}://${place}`, words);
    expect(said).toStartWith(`aether ctl: ${place}: `);
    expect(said).toContain(why);
    expect(said).toEndWith("\nError: context deadline exceeded\n"); // etcdctl's last word
    expect(status).toBe(EXIT.FAILED);
  });
});

describe.concurrent("a file that is of no use", () => {
  const table: readonly (readonly [words: readonly string[], message: string])[] = [
    [["--cacert", "/nowhere"], "open /nowhere: no such file or directory"],
    [["--cacert", home], `open ${home}: is a directory`],
    [["--cacert", server.key], `${server.key}: no certificate in PEM form`],
    [["--cacert", damaged], `${damaged}: certificate 1 of 1 is damaged`],
    [
      ["--cert", alice.cert],
      `KeyFile and CertFile must both be present[key: , cert: ${alice.cert}]`,
    ],
    [["--cert", alice.key, "--key", alice.cert], `${alice.key}: no certificate in PEM form`],
    [["--cert", alice.cert, "--key", alice.cert], `${alice.cert}: no private key in PEM form`],
    [["--cert", alice.cert, "--key", eve.key], `${eve.key}: it is not the key of ${alice.cert}`],
    [
      ["--cert", alice.cert, "--key", encrypted],
      `${encrypted}: the key is encrypted: take its password off`,
    ],
  ];
  test.each(table)("%j is named before anything is dialed", async (words, message) => {
    expect(await get("https://127.0.0.1:1", words)).toEqual([
      `Error: ${message}\n`,
      EXIT.BAD_ARGUMENTS,
    ]);
  });
});

test("--insecure-skip-tls-verify takes any certificate, whatever is wrong with it", async () => {
  for (const name of ["good", "expired", "elsewhere", "client's"]) {
    const words = ["--insecure-skip-tls-verify", "--dial-timeout=300ms", "--command-timeout=1s"];
    const [said] = await get(`https://127.0.0.1:${ports.get(name)}`, words);
    // The handshake is over; nobody there speaks HTTP/2.
    expect(said).toMatch(/^aether ctl: [\d.:]+: no SETTINGS in time\n/);
  }
});
