import { afterEach, describe, expect, test } from "bun:test";
import { Prng } from "../../src/base/prng.ts";
import { EtcdClient } from "../../src/client/etcd-client.ts";
import type { GrpcError } from "../../src/client/grpc-error.ts";
import { CompactedError, type WatchBatch, type Watcher } from "../../src/client/watcher.ts";
import { GrpcCode } from "../../src/wire/grpc/status.ts";
import { type EchoServer, echoServer } from "../net/echo-server.ts";
import { until } from "../net/until.ts";
import { header, put, type WatchStream, watchMethod } from "./scripted-server.ts";

const servers: EchoServer[] = [];
const clients: EtcdClient[] = [];

interface Setup {
  readonly client: EtcdClient;
  readonly streams: WatchStream[];
  readonly server: EchoServer;
}

/** A server at revision 10 which creates every watch; the test sends the events. */
async function setup(
  onCreate: (stream: WatchStream, startRevision: number) => void = () => undefined,
): Promise<Setup> {
  const { method, streams } = watchMethod((stream, { createRequest }) => {
    if (createRequest === undefined) return;
    stream.send({ header: header(10), created: true });
    onCreate(stream, createRequest.startRevision);
  });
  const server = await echoServer({ methods: [method] });
  servers.push(server);
  const client = new EtcdClient({ endpoints: [server.url], random: new Prng(1) });
  clients.push(client);
  return { client, streams, server };
}

afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  for (const server of servers.splice(0)) await server.listener.stop(0);
});

/** Reads in the background: what came, and how it ended. */
function read(watcher: Watcher): {
  batches: WatchBatch[];
  revisions: () => number[];
  ended: Promise<unknown>;
} {
  const batches: WatchBatch[] = [];
  const ended = (async (): Promise<unknown> => {
    try {
      for await (const batch of watcher) batches.push(batch);
      return "done";
    } catch (error) {
      return error;
    }
  })();
  const revisions = (): number[] =>
    batches.flatMap(({ events }) => events.map((event) => event.kv?.modRevision ?? 0));
  return { batches, revisions, ended };
}

const createdAt = (stream: WatchStream | undefined): number | undefined =>
  stream?.requests[0]?.createRequest?.startRevision;

describe("watcher", () => {
  test("says that it was created, hands out events and progress, knows where it is", async () => {
    const { client, streams } = await setup();
    const watcher = client.watch({ key: "a", rangeEnd: "b", prevKv: true, filters: [1] });
    const { batches } = read(watcher);
    await until(() => batches.length === 1, "created");
    expect(streams[0]?.requests[0]?.createRequest).toMatchObject({
      key: "a",
      rangeEnd: "b",
      prevKv: true,
      filters: [1],
      startRevision: 0,
    });
    expect(watcher.nextRevision).toBe(11);
    streams[0]?.send({ header: header(12), events: [put("a", 11), put("a1", 12)] });
    streams[0]?.send({ header: header(20) });
    await until(() => batches.length === 3, "events and progress");
    expect(batches.map(({ kind, revision }) => [kind, revision])).toEqual([
      ["created", 10],
      ["events", 12],
      ["progress", 20],
    ]);
    expect(watcher.nextRevision).toBe(21);
    watcher.requestProgress();
    await until(() => streams[0]?.requests[1]?.progressRequest !== undefined, "it is asked");
  });

  test("goes on when the server dies, without gap or repetition", async () => {
    const { client, streams, server } = await setup();
    const watcher = client.watch({ key: "a" });
    const { batches, revisions } = read(watcher);
    await until(() => batches.length === 1, "created");
    streams[0]?.send({ header: header(12), events: [put("a", 11), put("a", 12)] });
    await until(() => revisions().length === 2, "two events");
    const { address } = server.listener;
    await server.listener.stop(0);
    // The next server has a longer history, and sends more than it was asked for.
    const next = watchMethod((stream, { createRequest }) => {
      if (createRequest === undefined) return;
      stream.send({ header: header(14), created: true });
      stream.send({ header: header(14), events: [put("a", 12), put("a", 13), put("a", 14)] });
    });
    servers.push(await echoServer({ address, methods: [next.method] }));
    await until(() => revisions().length === 4, "the events after the disconnect");
    expect(revisions()).toEqual([11, 12, 13, 14]);
    expect(createdAt(next.streams[0])).toBe(13);
    expect(batches.filter(({ kind }) => kind === "created")).toHaveLength(1);
  });

  test("one from now that never saw an event goes on where it began", async () => {
    const { client, streams } = await setup();
    const { batches } = read(client.watch({ key: "a" }));
    await until(() => batches.length === 1, "created");
    streams[0]?.call.fail(GrpcCode.UNAVAILABLE, "etcdserver: server stopped");
    await until(() => streams.length === 2, "it comes back");
    await until(() => createdAt(streams[1]) === 11, "from the revision after its creation");
  });

  test("goes on after a progress notice", async () => {
    const { client, streams } = await setup();
    const { batches } = read(client.watch({ key: "a", startRevision: 5 }));
    await until(() => streams.length === 1 && createdAt(streams[0]) === 5, "asked from 5");
    streams[0]?.send({ header: header(30) });
    await until(() => batches.length === 2, "progress");
    streams[0]?.call.fail(GrpcCode.INTERNAL, "broken");
    await until(() => createdAt(streams[1]) === 31, "from 31");
  });

  test("puts fragments together; a revision cut by a disconnect is had whole later", async () => {
    const { client, streams } = await setup();
    const { batches, revisions } = read(client.watch({ key: "a", fragment: true }));
    await until(() => batches.length === 1, "created");
    streams[0]?.send({ header: header(11), fragment: true, events: [put("a", 11)] });
    streams[0]?.send({ header: header(11), events: [put("b", 11)] });
    await until(() => batches.length === 2, "one batch of two");
    expect(batches[1]?.events.map((event) => event.kv?.key)).toEqual(["a", "b"]);
    streams[0]?.send({ header: header(12), fragment: true, events: [put("a", 12)] });
    streams[0]?.call.fail(GrpcCode.UNAVAILABLE, "gone");
    await until(() => createdAt(streams[1]) === 12, "asks for 12 again");
    streams[1]?.send({ header: header(12), events: [put("a", 12), put("b", 12)] });
    await until(() => revisions().length === 4, "revision 12");
    expect(revisions()).toEqual([11, 11, 12, 12]);
  });

  test("ends with the compact revision when what it needs is gone", async () => {
    const { client } = await setup((stream) =>
      stream.send({ header: header(50), canceled: true, compactRevision: 40 }),
    );
    const error = await read(client.watch({ key: "a", startRevision: 3 })).ended;
    expect(error).toBeInstanceOf(CompactedError);
    expect((error as CompactedError).compactRevision).toBe(40);
  });

  test("ends with the server's reason, and with failures that will not go away", async () => {
    const first = await setup((stream) =>
      stream.send({ header: header(9), canceled: true, cancelReason: "mvcc: no such thing" }),
    );
    const canceled = (await read(first.client.watch({ key: "a" })).ended) as GrpcError;
    expect(canceled.message).toBe("mvcc: no such thing");
    const second = await setup((stream) =>
      stream.call.fail(GrpcCode.PERMISSION_DENIED, "etcdserver: permission denied"),
    );
    const denied = (await read(second.client.watch({ key: "a" })).ended) as GrpcError;
    expect(denied.code).toBe(GrpcCode.PERMISSION_DENIED);
    const third = await setup((stream) =>
      stream.call.fail(GrpcCode.UNAVAILABLE, "etcdserver: no leader"),
    );
    const leaderless = (await read(third.client.watch({ key: "a" })).ended) as GrpcError;
    expect(leaderless.message).toBe("etcdserver: no leader");
  });

  test("cancel(), a signal, the loop and close() end it; the server hears", async () => {
    const { client, streams } = await setup();
    const watcher = client.watch({ key: "a" });
    const first = read(watcher);
    await until(() => first.batches.length === 1, "created");
    watcher.cancel();
    expect(await first.ended).toBe("done");
    await until(() => streams[0]?.cancelled() === true, "the server hears of cancel()");
    const controller = new AbortController();
    const second = read(client.watch({ key: "a", signal: controller.signal }));
    await until(() => second.batches.length === 1, "created");
    controller.abort();
    expect(await second.ended).toBe("done");
    for await (const _ of client.watch({ key: "a" })) break;
    await until(() => streams[2]?.cancelled() === true, "the server hears of the loop's end");
    const last = read(client.watch({ key: "a" }));
    await until(() => last.batches.length === 1, "created");
    client.close();
    expect(await last.ended).toBe("done");
  });

  test("asks less and less often for what is created and dropped again and again", async () => {
    const times: number[] = [];
    const { client } = await setup((stream) => {
      times.push(performance.now());
      stream.call.fail(GrpcCode.UNAVAILABLE, "not yet");
    });
    read(client.watch({ key: "a" }));
    await until(() => times.length === 5, "five tries");
    // 25, 50, 100 and 200 ms, a fifth more or less.
    expect((times[4] ?? 0) - (times[0] ?? 0)).toBeGreaterThan(290);
  });

  test("waits for a server that is not there", async () => {
    const { client, server } = await setup();
    const { address } = server.listener;
    await server.listener.stop(0);
    const { batches } = read(client.watch({ key: "a" }));
    const next = watchMethod((stream) => stream.send({ header: header(1), created: true }));
    servers.push(await echoServer({ address, methods: [next.method] }));
    await until(() => batches.length === 1, "created");
  });
});
