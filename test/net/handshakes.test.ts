import { afterEach, describe, expect, test } from "bun:test";
import { connect } from "node:tls";
import type { LogFields } from "../../src/base/ports.ts";
import { parseAddress } from "../../src/net/address.ts";
import { HANDSHAKES_MAX, HANDSHAKES_PER_SOURCE_MAX, Handshakes } from "../../src/net/handshakes.ts";
import { type Listener, listen } from "../../src/net/listener.ts";
import { Network } from "../../src/net/network.ts";
import type { ServerTls } from "../../src/net/tls.ts";
import { HANDSHAKE_MS_MAX } from "../../src/net/tls-gate.ts";
import { SERVER_CERT, SERVER_KEY } from "./certificates.ts";
import { type RawClient, rawClient } from "./raw-client.ts";
import { ToyConnection } from "./toy-connection.ts";
import { until } from "./until.ts";

const TLS: ServerTls = { cert: SERVER_CERT, key: SERVER_KEY };
const listeners: Listener[] = [];

afterEach(async () => {
  for (const listener of listeners.splice(0)) await listener.stop(0);
});

describe("handshakes", () => {
  test("are counted for each place that they come from, and wait in its line", () => {
    const room: number[] = [];
    const handshakes = new Handshakes<number>((next) => room.push(next));
    for (let i = 0; i < HANDSHAKES_PER_SOURCE_MAX; i++) {
      expect(handshakes.add(i, "10.0.0.1")).toBe(true);
    }
    for (const late of [-1, -3, -4]) expect(handshakes.add(late, "10.0.0.1")).toBe(false);
    expect(handshakes.add(-2, "10.0.0.2")).toBe(true);
    expect([-1, -2].map((each) => handshakes.isInLine(each))).toEqual([true, false]);
    expect([handshakes.end(7), handshakes.end(7)]).toEqual([true, false]);
    expect(room).toEqual([-1]);
    expect(handshakes.isInLine(-1)).toBe(false);
    expect(handshakes.end(-3)).toBe(true); // it leaves the line, and makes no room
    expect(room).toEqual([-1]);
    expect(handshakes.end(-1)).toBe(true);
    expect(room).toEqual([-1, -4]);
    expect(handshakes.end(8)).toBe(true);
    expect(handshakes.add(-5, "10.0.0.1")).toBe(true);
    expect(handshakes.count).toBe(HANDSHAKES_PER_SOURCE_MAX + 1);
  });

  test("of which too many have begun give their oldest away, and never one that waits", () => {
    const handshakes = new Handshakes<number>(() => undefined);
    const add = (i: number): boolean => handshakes.add(i, undefined); // no place of its own
    for (let i = 0; i < 2 * HANDSHAKES_MAX; i++) expect(add(i)).toBe(true);
    for (let i = 0; i < HANDSHAKES_MAX; i++) {
      expect(handshakes.surplus).toBeUndefined();
      handshakes.begin(HANDSHAKES_MAX + i);
    }
    expect(handshakes.surplus).toBe(HANDSHAKES_MAX);
    handshakes.end(HANDSHAKES_MAX);
    expect(handshakes.surplus).toBeUndefined();
    handshakes.begin(0);
    expect(handshakes.surplus).toBe(HANDSHAKES_MAX + 1);
  });

  test("of a network of IPv6 are counted together", () => {
    const handshakes = new Handshakes<number>(() => undefined);
    for (let i = 0; i < HANDSHAKES_PER_SOURCE_MAX; i++) {
      expect(handshakes.add(i, `2001:db8::${i.toString(16)}`)).toBe(true);
    }
    expect(handshakes.add(-1, "2001:db8::ffff:1")).toBe(false);
    expect(handshakes.add(-2, "2001:db8:0:1::1")).toBe(true);
  });
});

interface Gate {
  readonly listener: Listener;
  readonly network: Network;
  readonly lines: LogFields[];
  nowMs: number;
}

/** A listener with TLS on a clock of our own. */
async function gate(tls: () => ServerTls | Promise<ServerTls> = () => TLS): Promise<Gate> {
  const lines: LogFields[] = [];
  const warn = (_message: string, fields: LogFields = {}): void => void lines.push(fields);
  const silent = (): void => undefined;
  const log = { trace: silent, debug: silent, info: silent, warn, error: warn };
  const made: { nowMs: number } = { nowMs: 0 };
  const network = new Network({ nowMs: () => made.nowMs, log });
  const http = (): ToyConnection => new ToyConnection();
  const address = parseAddress("https://127.0.0.1:0");
  const listener = await listen(network, { address, tls, http1: http, http2: http });
  listeners.push(listener);
  return Object.assign(made, { listener, network, lines });
}

test("one that is not finished in time is cut, counted and named", async () => {
  const made = await gate();
  const client = await rawClient(made.listener.address);
  await until(() => made.listener.handshakeCount === 1, "it has begun");
  made.nowMs = HANDSHAKE_MS_MAX - 1;
  made.network.tick();
  expect(client.closed()).toBe(false);
  made.nowMs = HANDSHAKE_MS_MAX;
  made.network.tick();
  await until(() => client.closed(), "it is cut");
  await until(() => made.listener.handshakes?.failedCount === 1, "it is counted");
  expect(made.lines.map(({ reason }) => reason)).toEqual(["unfinished"]);
  expect(made.listener.handshakeCount).toBe(0);
});

test("one that waits for certificates to be read has the same deadline", async () => {
  const never = new Promise<ServerTls>(() => undefined);
  const made = await gate(() => never);
  const client = await rawClient(made.listener.address);
  await until(() => made.listener.handshakeCount === 1, "it has begun");
  made.nowMs = HANDSHAKE_MS_MAX;
  made.network.tick();
  await until(() => client.closed(), "it is cut");
  await until(() => made.listener.connectionCount === 0, "nothing is left of it");
});

test("a crowd that comes at once is served, all of it", async () => {
  const made = await gate();
  const { address } = made.listener;
  const port = address.kind === "tcp" ? address.port : 0;
  const echo = (localAddress: string): Promise<string> =>
    new Promise((resolve, reject) => {
      const options = { host: "127.0.0.1", port, localAddress, rejectUnauthorized: false };
      const socket = connect({ ...options, ALPNProtocols: ["http/1.1"] }, () => {
        socket.write("hello");
      });
      socket.once("data", (bytes: Buffer) => {
        resolve(bytes.toString());
        socket.destroy();
      });
      socket.once("error", reject);
    });
  const crowd = Array.from({ length: 600 }, (_, i) => echo(`127.0.1.${i % 6 === 0 ? 2 : 1}`));
  expect(new Set(await Promise.all(crowd))).toEqual(new Set(["hello"]));
  expect(made.lines).toEqual([]);
});

test("too many of one address wait for those before them, until their time is up", async () => {
  const made = await gate();
  const clients: RawClient[] = [];
  const add = async (): Promise<RawClient> => {
    const client = await rawClient(made.listener.address);
    clients.push(client);
    await until(() => made.listener.handshakeCount === clients.length, "it is counted");
    return client;
  };
  for (let i = 0; i < HANDSHAKES_PER_SOURCE_MAX; i++) await add();
  const next = await add();
  next.socket.write("GET / HTTP/1.1\r\n\r\n"); // not read while it is in line
  const last = await add();
  clients[0]?.socket.terminate();
  await until(() => next.closed(), "it was its turn, and that was no TLS");
  expect([last.closed(), made.listener.handshakes?.surplusCount]).toEqual([false, 0]);
  made.nowMs = HANDSHAKE_MS_MAX;
  made.network.tick();
  await until(() => last.closed(), "its time is up");
  await until(() => made.listener.connectionCount === 0, "nothing is left of any");
  expect(made.listener.handshakeCount).toBe(0);
});

test("bytes that are no TLS are refused, and named once", async () => {
  const made = await gate();
  for (let i = 0; i < 5; i++) {
    const client = await rawClient(made.listener.address);
    client.socket.write("GET / HTTP/1.1\r\n\r\n");
    await until(() => client.closed(), "it is refused");
  }
  await until(() => made.listener.handshakes?.failedCount === 5, "all are counted");
  expect(made.lines.map(({ reason, detail }) => [reason, detail])).toEqual([
    ["failed", "http request"],
  ]);
});
