import { afterEach, describe, expect, test } from "bun:test";
import { Prng } from "../../src/base/prng.ts";
import { EtcdClient } from "../../src/client/etcd-client.ts";
import type { GrpcError } from "../../src/client/grpc-error.ts";
import { Network } from "../../src/net/network.ts";
import { GrpcCode } from "../../src/wire/grpc/status.ts";
import { type EchoServer, echoServer } from "../net/echo-server.ts";
import { until } from "../net/until.ts";
import { header, type RenewalStream, renewalMethod } from "./scripted-server.ts";

const servers: EchoServer[] = [];
const clients: EtcdClient[] = [];

async function setup(
  onRequest: (stream: RenewalStream, count: number) => void,
  network = new Network(),
): Promise<{ client: EtcdClient; server: EchoServer; times: number[]; streams: RenewalStream[] }> {
  const times: number[] = [];
  const { method, streams } = renewalMethod((stream, { ID }) => {
    expect(ID).toBe(7n);
    times.push(performance.now());
    onRequest(stream, times.length);
  });
  const server = await echoServer({ methods: [method] });
  servers.push(server);
  const client = new EtcdClient({ endpoints: [server.url], random: new Prng(1), network });
  clients.push(client);
  return { client, server, times, streams };
}

afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  for (const server of servers.splice(0)) await server.listener.stop(0);
});

const failure = (promise: Promise<void>): Promise<GrpcError | undefined> =>
  promise.then(
    () => undefined,
    (error: GrpcError) => error,
  );

describe("lease keeper", () => {
  test("renews every third of the TTL on one stream, and stops when closed", async () => {
    const { client, times, streams } = await setup((stream) =>
      stream.send({ header: header(1), ID: 7n, TTL: 1 }),
    );
    const renewed: number[] = [];
    const keeper = client.keepAlive(7n, { onRenewed: (ttl) => renewed.push(ttl) });
    await until(() => times.length === 3, "three renewals");
    const [first = 0, second = 0, third = 0] = times;
    const gapMs = Math.min(second - first, third - second); // a loaded machine only adds
    expect(gapMs).toBeGreaterThan(300);
    expect(gapMs).toBeLessThan(480);
    await until(() => renewed.length === 3, "three answers");
    expect(renewed).toEqual([1, 1, 1]);
    expect(streams).toHaveLength(1);
    keeper.close();
    expect(await failure(keeper.ended)).toBeUndefined();
    await until(() => streams[0]?.cancelled() === true, "the server hears of it");
  });

  test("ends when the lease does not exist", async () => {
    const { client, streams } = await setup((stream) => stream.send({ ID: 7n, TTL: 0 }));
    const error = await failure(client.keepAlive(7n).ended);
    expect(error?.code).toBe(GrpcCode.NOT_FOUND);
    await until(() => streams[0]?.cancelled() === true, "the server hears of it");
  });

  test("goes on over a new stream after a failure", async () => {
    const { client, times, streams } = await setup((stream, count) => {
      if (count === 1) stream.call.fail(GrpcCode.UNAVAILABLE, "etcdserver: leader changed");
      else stream.send({ ID: 7n, TTL: 60 });
    });
    const keeper = client.keepAlive(7n, { ttlSeconds: 60 });
    await until(() => times.length === 2, "a second try");
    expect(streams).toHaveLength(2);
    keeper.close();
    expect(await failure(keeper.ended)).toBeUndefined();
  });

  test("has a whole TTL from the last renewal, not from the first", async () => {
    let aheadMs = 0;
    const network = new Network({ nowMs: () => performance.now() + aheadMs });
    const { client, times } = await setup((stream, count) => {
      stream.send({ ID: 7n, TTL: 1 });
      aheadMs = 600; // the second renewal is sent at 0.93 s, the third at 1.27 s
      if (count === 2) stream.call.fail(GrpcCode.INTERNAL, "broken");
    }, network);
    const keeper = client.keepAlive(7n, { ttlSeconds: 1 });
    await until(() => times.length === 3, "it is renewed after the failure");
    keeper.close();
    expect(await failure(keeper.ended)).toBeUndefined();
  });

  test("ends when it could not renew for a TTL: no server, or one that is silent", async () => {
    const { client, server } = await setup(() => undefined);
    const silent = await failure(client.keepAlive(7n, { ttlSeconds: 1 }).ended);
    expect(silent?.code).toBe(GrpcCode.UNAVAILABLE);
    await server.listener.stop(0);
    const started = performance.now();
    const gone = await failure(client.keepAlive(7n, { ttlSeconds: 1 }).ended);
    expect(gone?.code).toBe(GrpcCode.UNAVAILABLE);
    expect(performance.now() - started).toBeGreaterThan(900);
  });

  test("ends with a refusal", async () => {
    const { client } = await setup((stream) =>
      stream.call.fail(GrpcCode.PERMISSION_DENIED, "etcdserver: permission denied"),
    );
    const error = await failure(client.keepAlive(7n).ended);
    expect(error?.code).toBe(GrpcCode.PERMISSION_DENIED);
  });
});
