import { afterEach, describe, expect, test } from "bun:test";
import { type Address, parseAddress } from "../../src/net/address.ts";
import { type DialOptions, dial } from "../../src/net/dialer.ts";
import type { Link } from "../../src/net/link.ts";
import { type Listener, listen, type Peer } from "../../src/net/listener.ts";
import { Network } from "../../src/net/network.ts";
import type { ServerTls } from "../../src/net/tls.ts";
import { CA_CERT, CLIENT_CERT, CLIENT_KEY, SERVER_CERT, SERVER_KEY } from "./certificates.ts";
import { rawClient } from "./raw-client.ts";
import { ToyConnection } from "./toy-connection.ts";
import { until } from "./until.ts";

const SERVER_TLS: ServerTls = { cert: SERVER_CERT, key: SERVER_KEY };
const network = new Network();
const listeners: Listener[] = [];

interface Server {
  readonly listener: Listener;
  readonly peers: Peer[];
  readonly connections: ToyConnection[];
}

async function serve(tls?: ServerTls, plaintextToo = false): Promise<Server> {
  const peers: Peer[] = [];
  const connections: ToyConnection[] = [];
  const make = (peer: Peer): ToyConnection => {
    peers.push(peer);
    const connection = new ToyConnection();
    connections.push(connection);
    return connection;
  };
  const scheme = tls === undefined ? "http" : "https";
  const address = parseAddress(`${scheme}://127.0.0.1:0`);
  const extra = tls === undefined ? {} : { tls: () => tls, plaintextToo };
  const listener = await listen(network, { address, http1: make, http2: make, ...extra });
  listeners.push(listener);
  return { listener, peers, connections };
}

/** Dials with a toy of our own. */
async function call(
  address: Address,
  extra: Partial<DialOptions> = {},
): Promise<{ link: Link; toy: ToyConnection }> {
  const toy = new ToyConnection(0);
  const link = await dial(network, { address, connect: () => toy, ...extra });
  return { link, toy };
}

const heard = (toy: ToyConnection | undefined): string => toy?.chunks.join("") ?? "";

afterEach(async () => {
  for (const listener of listeners.splice(0)) await listener.stop(0);
});

describe("dialer", () => {
  test("connects, speaks first, hears the answer, counts bytes, reports the end", async () => {
    const { listener, connections } = await serve();
    const traffic = { receivedBytes: 0, sentBytes: 0 };
    let ends = 0;
    const onClosed = (): void => {
      ends++;
    };
    const { link, toy } = await call(listener.address, { traffic, onClosed });
    toy.say("GET /");
    await until(() => heard(toy) === "GET /", "an echo");
    expect(traffic).toEqual({ receivedBytes: 5, sentBytes: 5 });
    link.shutdown();
    await until(() => ends === 1, "the end");
    expect([toy.closedCount, heard(connections[0])]).toEqual([1, "GET /bye"]);
  });

  test("hears when the server goes away", async () => {
    const { listener } = await serve();
    let ended = false;
    const onClosed = (): void => {
      ended = true;
    };
    const { toy } = await call(listener.address, { onClosed });
    toy.say("GET /");
    await until(() => heard(toy) === "GET /", "an echo");
    await listener.stop(0);
    await until(() => ended, "the end");
    expect(toy.closedCount).toBe(1);
  });

  test("says why it cannot connect, and calls onClosed of no link that never was", async () => {
    const { listener } = await serve();
    const { address } = listener;
    await listener.stop(0);
    const onClosed = (): never => {
      throw new Error("there was no link");
    };
    await expect(call(address, { onClosed })).rejects.toThrow(/unhealthy: 127.0.0.1:\d+: cannot/);
    const nowhere = parseAddress("unix:///nowhere/at/all.sock");
    await expect(call(nowhere, { onClosed })).rejects.toThrow("unix:/nowhere/at/all.sock");
    const noHost = parseAddress("no-such-host.invalid:1");
    await expect(call(noHost, { onClosed })).rejects.toThrow("unhealthy");
  });

  test("gives up in time on a server that accepts and then is silent (TLS)", async () => {
    const silent = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      socket: { data: () => undefined },
    });
    const address = parseAddress(`https://127.0.0.1:${silent.port}`);
    const started = performance.now();
    await expect(call(address, { timeoutMs: 50 })).rejects.toThrow("no answer in 50 ms");
    expect(performance.now() - started).toBeLessThan(2000);
    await until(() => network.linkCount === 0, "the socket is closed");
    silent.stop(true);
  });
});

const KINDS = [
  ["in the socket", false],
  ["beside plaintext", true],
] as const;

describe.each(KINDS)("TLS %s", (_name, plaintextToo) => {
  const secure = (extra: Partial<ServerTls> = {}): Promise<Server> =>
    serve({ ...SERVER_TLS, ...extra }, plaintextToo);

  test("both sides, with ALPN, large answers and short writes intact", async () => {
    const { listener, connections, peers } = await secure();
    const { link, toy } = await call(listener.address, { tls: { ca: CA_CERT } });
    await until(() => connections.length === 1, "the connection is adopted at the handshake");
    const bytes = new Uint8Array(8 * 1024 * 1024).map((_, i) => (i * 7 + (i >> 12)) & 0xff);
    const hash = new Bun.CryptoHasher("sha256");
    let count = 0;
    toy.receive = (chunk) => {
      count += chunk.length;
      hash.update(chunk);
    };
    connections[0]?.output.append(bytes, 0, bytes.length);
    await until(() => count === bytes.length, "all arrives");
    expect(hash.digest("hex")).toBe(new Bun.CryptoHasher("sha256").update(bytes).digest("hex"));
    expect(peers[0]?.certificate).toBeUndefined();
    link.terminate();
  });

  test("refuses a server with an unknown authority or another name", async () => {
    const { listener } = await secure();
    await expect(call(listener.address, { tls: {} })).rejects.toThrow("TLS handshake failed");
    const other = { ca: CA_CERT, serverName: "elsewhere.example" };
    await expect(call(listener.address, { tls: other })).rejects.toThrow("unhealthy");
    const { link } = await call(listener.address, { tls: { insecureSkipVerify: true } });
    link.terminate();
  });

  test("a client certificate is asked for, verified and shown to the protocol", async () => {
    const demand = { ca: CA_CERT, clientCertRequired: true };
    const { listener, peers, connections } = await secure(demand);
    const bare = await call(listener.address, { tls: { ca: CA_CERT } });
    // In TLS 1.3 the client is done before the server has looked at its certificate.
    await until(() => bare.link.closed, "one without a certificate is closed");
    expect(connections).toHaveLength(0);
    const alice = { ca: CA_CERT, cert: CLIENT_CERT, key: CLIENT_KEY };
    const { link } = await call(listener.address, { tls: alice });
    await until(() => peers.length === 1, "one with a certificate is served");
    expect(peers[0]?.certificate?.subject.CN).toBe("alice");
    expect(peers[0]?.secure).toBe(true);
    link.terminate();
  });

  test("what a client sends arrives whole while its reader is paused at times", async () => {
    const { listener, connections } = await secure();
    const { link, toy } = await call(listener.address, { tls: { ca: CA_CERT } });
    await until(() => connections.length === 1, "the connection is adopted at the handshake");
    const [server] = connections;
    const bytes = new Uint8Array(4 * 1024 * 1024).map((_, i) => (i * 5 + (i >> 11)) & 0xff);
    const hash = new Bun.CryptoHasher("sha256");
    let count = 0;
    if (server !== undefined) {
      server.receive = (chunk) => {
        count += chunk.length;
        hash.update(chunk);
      };
    }
    toy.output.append(bytes, 0, bytes.length);
    await until(() => count === bytes.length, "all arrives");
    expect(hash.digest("hex")).toBe(new Bun.CryptoHasher("sha256").update(bytes).digest("hex"));
    link.terminate();
    await until(() => listener.connectionCount === 0, "nothing is left");
  });

  test("versions and suites other than the chosen ones are refused", async () => {
    const newest = await secure({ versionMin: "TLS1.3" });
    const old = { ca: CA_CERT, versionMax: "TLS1.2" } as const;
    await expect(call(newest.listener.address, { tls: old })).rejects.toThrow();
    const suite = "ECDHE-ECDSA-AES256-GCM-SHA384";
    const { listener } = await secure({ versionMax: "TLS1.2", ciphers: suite });
    const other = { ca: CA_CERT, ciphers: "ECDHE-ECDSA-AES128-GCM-SHA256" };
    await expect(call(listener.address, { tls: other })).rejects.toThrow();
    const { link } = await call(listener.address, { tls: { ca: CA_CERT, ciphers: suite } });
    link.terminate();
  });

  test("a certificate has to name where its bearer calls from, if that is asked", async () => {
    const demand = { ca: CA_CERT, clientCertRequired: true, callerNamed: true };
    const { listener, peers } = await secure(demand);
    const named = { ca: CA_CERT, cert: SERVER_CERT, key: SERVER_KEY }; // for 127.0.0.1
    const { link } = await call(listener.address, { tls: named });
    await until(() => peers.length === 1, "the one that names 127.0.0.1 is served");
    link.terminate();
  });
});

describe("TLS or not", () => {
  test("both on one address", async () => {
    const { listener, peers } = await serve(SERVER_TLS, true);
    const plain = await call({ ...listener.address, secure: false });
    plain.toy.output.append(Buffer.from("PRI "), 0, 4);
    plain.link.flush();
    await until(() => peers.length === 1, "plaintext is served");
    const secure = await call(listener.address, { tls: { ca: CA_CERT } });
    await until(() => peers.length === 2, "TLS is served");
    expect(peers.map((peer) => peer.secure)).toEqual([false, true]);
    plain.link.terminate();
    secure.link.terminate();
    await until(() => listener.connectionCount === 0, "nothing is left");
  });

  test("plaintext on a TLS port is closed, TLS on a plaintext port fails", async () => {
    const { listener, connections } = await serve(SERVER_TLS);
    const client = await rawClient(listener.address);
    client.socket.write("GET / HTTP/1.1\r\n\r\n");
    await until(() => client.closed(), "it is closed");
    expect(connections).toHaveLength(0);
    await until(() => listener.connectionCount === 0, "nothing is left");
    const plain = await serve();
    const address = { ...plain.listener.address, secure: true };
    await expect(call(address, { tls: { ca: CA_CERT }, timeoutMs: 300 })).rejects.toThrow();
  });
});

test("a socket that opens after its dial was given up is closed", async () => {
  const { listener } = await serve();
  const late = call(listener.address, { timeoutMs: 1 }).then(
    ({ link }) => link.terminate(),
    () => undefined,
  );
  const busyUntilMs = performance.now() + 20;
  while (performance.now() < busyUntilMs); // both the timer and the socket are ready after this
  await late;
  await until(() => listener.traffic.acceptedCount === 1, "it was accepted");
  await until(() => network.linkCount === 0, "and closed");
});
