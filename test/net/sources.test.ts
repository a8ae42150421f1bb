import { afterEach, expect, test } from "bun:test";
import { type Address, parseAddress } from "../../src/net/address.ts";
import { type Listener, listen } from "../../src/net/listener.ts";
import { Network } from "../../src/net/network.ts";
import { Sources } from "../../src/net/sources.ts";
import { connectFrom } from "../support/connect-from.ts";
import { type RawClient, rawClient } from "./raw-client.ts";
import { ToyConnection } from "./toy-connection.ts";
import { until } from "./until.ts";

const listeners: Listener[] = [];

afterEach(async () => {
  for (const listener of listeners.splice(0)) await listener.stop(0);
});

test("each address has its own room, a network of IPv6 is one, unix sockets have no limit", () => {
  const sources = new Sources<object>(2);
  const open = (address: string | undefined): object | undefined => {
    if (!sources.hasRoom(address)) return undefined;
    const connection = {};
    sources.add(connection, address);
    return connection;
  };
  const first = open("10.0.0.1") as object;
  expect([open("10.0.0.1"), open("::ffff:10.0.0.1")].map((each) => each !== undefined)).toEqual([
    true,
    false,
  ]);
  expect(open("10.0.0.2")).toBeDefined();
  expect([open("2001:db8::1"), open("2001:db8::2"), open("2001:db8::3")].at(-1)).toBeUndefined();
  expect(open("2001:db8:0:1::1")).toBeDefined();
  for (let i = 0; i < 5; i++) expect(open(undefined)).toBeDefined();
  sources.delete(first);
  sources.delete(first);
  sources.delete({});
  expect(open("10.0.0.1")).toBeDefined();
  expect(open("10.0.0.1")).toBeUndefined();
});

test("who has more than his share gives it to who has less, and to nobody else", () => {
  const sources = new Sources<object>(2);
  const open = (address: string): object => {
    const connection = {};
    sources.add(connection, address);
    return connection;
  };
  const [first, , third, fourth] = ["a", "a", "a", "a"].map(open) as [object, ...object[]];
  expect(sources.surplusFor("a")).toBeUndefined();
  expect(sources.surplusFor("b")).toBe(third);
  sources.delete(third as object);
  expect(sources.surplusFor("b")).toBe(fourth);
  sources.delete(first);
  expect(sources.surplusFor("b")).toBeUndefined();
  const fifth = open("a");
  expect([fourth, fifth]).toContain(sources.surplusFor("b"));
  for (let i = 0; i < 2; i++) open("b");
  expect(sources.surplusFor("b")).toBeUndefined();
});

test("a listener refuses what one address opens beyond its share, and counts it", async () => {
  const make = (): ToyConnection => new ToyConnection();
  const listener = await listen(new Network(), {
    address: parseAddress("127.0.0.1:0"),
    ...{ http1: make, http2: make, connectionsPerSourceMax: 3 },
  });
  listeners.push(listener);
  const clients = [];
  for (let i = 0; i < 5; i++) clients.push(await rawClient(listener.address));
  await until(() => listener.traffic.refusedCount === 2, "two too many");
  expect(listener.connectionCount).toBe(3);
  for (const { socket } of clients) socket.end();
  await until(() => listener.connectionCount === 0, "they have gone");
  await rawClient(listener.address);
  await until(() => listener.connectionCount === 1, "there is room again");
  expect(listener.traffic.refusedCount).toBe(2);
});

/** From another address than rawClient(). */
async function fromElsewhere({ address }: Listener): Promise<{ closed: () => boolean }> {
  const { port } = address as Extract<Address, { kind: "tcp" }>;
  const socket = await connectFrom("127.0.0.2", port);
  return { closed: () => socket.closed };
}

test("the only caller has all room, until another one wants it", async () => {
  const make = (): ToyConnection => new ToyConnection();
  const listener = await listen(new Network(), {
    address: parseAddress("127.0.0.1:0"),
    ...{ http1: make, http2: make, connectionsMax: 4, connectionsPerSourceShare: 3 },
  });
  listeners.push(listener);
  const { traffic } = listener;
  const only: RawClient[] = [];
  for (let i = 0; i < 4; i++) only.push(await rawClient(listener.address));
  await until(() => listener.connectionCount === 4, "all room is taken");
  expect(traffic.refusedCount).toBe(0);
  const surplus = await rawClient(listener.address);
  await until(() => surplus.closed(), "he cannot take it from himself");
  const other = await fromElsewhere(listener);
  await until(() => only[3]?.closed() === true, "what is beyond the share ends");
  await until(() => traffic.acceptedCount === 5, "the other is in");
  const second = await fromElsewhere(listener);
  await until(() => second.closed(), "the share itself is safe");
  expect(only.map(({ closed }) => closed())).toEqual([false, false, false, true]);
  expect([other.closed(), listener.connectionCount, traffic.refusedCount]).toEqual([false, 4, 3]);
});
