import { afterEach, describe, expect, test } from "bun:test";
import { Prng } from "../../src/base/prng.ts";
import { type CallOptions, Channel, type ChannelOptions } from "../../src/client/channel.ts";
import { UNREAD_BYTES_MAX } from "../../src/client/duplex.ts";
import { GrpcError } from "../../src/client/grpc-error.ts";
import { RETRY_TOTAL_MS_MAX } from "../../src/client/retry.ts";
import { parseAddress } from "../../src/net/address.ts";
import { Network } from "../../src/net/network.ts";
import { KV, PutRequest, PutResponse, RangeRequest } from "../../src/proto/gen/etcdserverpb.ts";
import type { Method, ServerCall } from "../../src/wire/grpc/server-call.ts";
import { GrpcCode } from "../../src/wire/grpc/status.ts";
import { CA_CERT, SERVER_CERT, SERVER_KEY } from "../net/certificates.ts";
import { Echo, type EchoServer, echoServer, FAIL_TEXT, REPEAT_COUNT } from "../net/echo-server.ts";
import { ToyConnection } from "../net/toy-connection.ts";
import { level, until } from "../net/until.ts";

const servers: EchoServer[] = [];
const channels: Channel[] = [];
const message = (text: string): PutRequest => PutRequest.create({ value: Buffer.from(text) });
const textOf = (put: PutRequest): string => Buffer.from(put.value).toString();

async function start(extra: Parameters<typeof echoServer>[0] = {}): Promise<EchoServer> {
  const server = await echoServer(extra);
  servers.push(server);
  return server;
}

function channelTo(servers: readonly EchoServer[], extra: Partial<ChannelOptions> = {}): Channel {
  const endpoints = servers.map((server) => server.url);
  const channel = new Channel({ endpoints, random: new Prng(1), ...extra });
  channels.push(channel);
  return channel;
}

/** A module of ours as a program writes it. */
const source = (path: string): string => JSON.stringify(`${import.meta.dir}/../../src/${path}`);

async function failure(promise: Promise<unknown>): Promise<GrpcError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof GrpcError)) throw new Error(`no GrpcError: ${String(error)}`);
  return error;
}

afterEach(async () => {
  for (const channel of channels.splice(0)) channel.close();
  for (const server of servers.splice(0)) await server.listener.stop(0);
});

describe("unary calls", () => {
  test("carry the message, metadata and the deadline", async () => {
    const server = await start();
    const channel = channelTo([server]);
    const options: CallOptions = { timeoutMs: 30_000, metadata: ["x-toy", "hello"] };
    expect(textOf(await channel.call(Echo.Unary, message("ping"), options))).toBe("ping");
    expect(server.seen.metadata).toEqual(["hello"]);
    const leftMs = (server.seen.deadlines[0] ?? 0) - server.network.nowMs();
    expect(leftMs).toBeGreaterThan(20_000);
    expect(leftMs).toBeLessThanOrEqual(30_000);
  });

  test("of every size, a thousand at once, over one connection", async () => {
    const server = await start();
    const channel = channelTo([server]);
    const sizes = [0, 1, 100, 16_379, 16_384, 65_535, 65_536, 1024 * 1024];
    for (const size of sizes) {
      const value = Buffer.alloc(size, "0123456789");
      const answer = await channel.call(Echo.Unary, PutRequest.create({ value }));
      expect(value.equals(answer.value)).toBe(true);
    }
    const calls = Array.from({ length: 1000 }, (_, i) => String(i));
    const answers = await Promise.all(calls.map((i) => channel.call(Echo.Unary, message(i))));
    expect(answers.map(textOf)).toEqual(calls);
    expect(server.listener.traffic.acceptedCount).toBe(1);
  });

  test("fail with the server's code, text and trailers", async () => {
    const channel = channelTo([await start()]);
    const error = await failure(channel.call(Echo.Fail, message("x")));
    expect([error.code, error.message]).toEqual([GrpcCode.RESOURCE_EXHAUSTED, FAIL_TEXT]);
    expect(error.codeName).toBe("RESOURCE_EXHAUSTED");
    expect(error.trailers.get("x-toy-trailer")).toBe("yes");
    expect(error.unprocessed).toBe(false);
  });

  test("end at the deadline, also while there is nobody to call", async () => {
    const server = await start();
    const channel = channelTo([server]);
    const error = await failure(channel.call(Echo.Never, message("x"), { timeoutMs: 50 }));
    expect(error.code).toBe(GrpcCode.DEADLINE_EXCEEDED);
    await server.listener.stop(0);
    const nobody = channelTo([server]);
    const started = performance.now();
    const late = await failure(nobody.call(Echo.Unary, message("x"), { timeoutMs: 200 }));
    expect(performance.now() - started).toBeGreaterThan(195);
    expect([late.code, late.message]).toEqual([
      GrpcCode.DEADLINE_EXCEEDED,
      "context deadline exceeded",
    ]);
    expect(String(late.cause)).toContain(server.url);
  });

  test("can be given up, before and after they were sent", async () => {
    const server = await start();
    const channel = channelTo([server]);
    const early = channel.call(Echo.Unary, message("x"), { signal: AbortSignal.abort() });
    expect((await failure(early)).code).toBe(GrpcCode.CANCELLED);
    const controller = new AbortController();
    const call = channel.call(Echo.Never, message("x"), { signal: controller.signal });
    await until(() => server.seen.calls === 1, "the call arrives");
    controller.abort();
    expect((await failure(call)).code).toBe(GrpcCode.CANCELLED);
    await until(() => server.connections[0]?.openCalls === 1, "the handler's call is cancelled");
  });

  test("with an answer that is no such message, or none, are INTERNAL", async () => {
    const garbled: Method = {
      path: KV.Range.path,
      unary: (call: ServerCall) => call.reply(Buffer.from([0xff]), 0, 1),
    };
    const none: Method = {
      path: KV.Put.path,
      stream: (call) => ({
        onMessage() {},
        onHalfClose: () => call.finish(),
        onCancel() {},
        onDrain() {},
      }),
    };
    const channel = channelTo([await start({ methods: [garbled, none] })]);
    const first = await failure(channel.call(KV.Range, RangeRequest.create()));
    expect([first.code, first.message]).toEqual([
      GrpcCode.INTERNAL,
      expect.stringContaining("RangeResponse"),
    ]);
    const second = await failure(channel.call(KV.Put, PutRequest.create()));
    expect(second.code).toBe(GrpcCode.INTERNAL);
  });

  test("work over TLS, a unix socket, and with gzip", async () => {
    const tls = () => ({ cert: SERVER_CERT, key: SERVER_KEY });
    const secure = await start({ address: parseAddress("https://127.0.0.1:0"), tls });
    const channel = channelTo([secure], { tls: { ca: CA_CERT }, connection: { gzip: true } });
    const long = "aether ".repeat(10_000);
    expect(textOf(await channel.call(Echo.Unary, message(long)))).toBe(long);
    expect(secure.listener.traffic.receivedBytes).toBeLessThan(10_000);
    const distrustful = channelTo([secure], { tls: {} });
    const error = await failure(distrustful.open(Echo.Each).next());
    expect(error.message).toContain("TLS handshake failed");
    const path = `${process.env["TMPDIR"] ?? "/tmp"}/aether-channel-${process.pid}.sock`;
    const local = await start({ address: parseAddress(`unix:${path}`) });
    expect(textOf(await channelTo([local]).call(Echo.Unary, message("x")))).toBe("x");
  });
});

describe("several endpoints", () => {
  test("take calls in turn once all are up", async () => {
    const three = [await start(), await start(), await start()];
    const channel = channelTo(three);
    const up = (): boolean => three.every((server) => server.listener.connectionCount === 1);
    await channel.call(Echo.Unary, message("x"));
    await until(up, "all are dialed");
    await until(() => three.every((each) => each.listener.traffic.sentBytes > 0), "all are ready");
    for (const server of three) server.seen.calls = 0;
    for (let i = 0; i < 30; i++) await channel.call(Echo.Unary, message("x"));
    expect(three.map((server) => server.seen.calls)).toEqual([10, 10, 10]);
  });

  test("a black hole in the list costs nothing", async () => {
    let closed = 0;
    const close = (): void => {
      closed++;
    };
    const socket = { data: () => undefined, close };
    const hole = Bun.listen({ hostname: "127.0.0.1", port: 0, socket });
    const server = await start();
    const endpoints = [`127.0.0.1:${hole.port}`, server.url];
    const channel = channelTo([], { endpoints, dialTimeoutMs: 50 });
    const started = performance.now();
    expect(textOf(await channel.call(Echo.Unary, message("x")))).toBe("x");
    expect(performance.now() - started).toBeLessThan(1000);
    await until(() => closed === 1, "a server that never speaks is given up");
    hole.stop(true);
  });

  test("calls move on when a server dies, and come back when it is back", async () => {
    const a = await start();
    const b = await start();
    const channel = channelTo([a, b]);
    await channel.call(Echo.Unary, message("x"));
    const { address } = a.listener;
    await a.listener.stop(0);
    for (let i = 0; i < 10; i++) await channel.call(Echo.Unary, message(String(i)));
    await b.listener.stop(0);
    const again = channel.call(Echo.Unary, message("again"));
    const back = await start({ address });
    expect(textOf(await again)).toBe("again");
    expect(back.seen.calls).toBe(1);
  });

  test("a server that goes politely finishes what it has; new calls go elsewhere", async () => {
    let held: ServerCall | undefined;
    const slow: Method = {
      path: KV.Put.path,
      unary: (call) => {
        held = call;
      },
    };
    const a = await start({ methods: [slow] });
    const channel = channelTo([a]);
    const pending = channel.call(KV.Put, PutRequest.create());
    await until(() => held !== undefined, "the call arrives");
    const stopped = a.listener.stop(5000);
    const b = await start();
    const other = channelTo([b]);
    expect(textOf(await other.call(Echo.Unary, message("x")))).toBe("x");
    held?.reply(new Uint8Array(0), 0, 0);
    expect(await pending).toEqual(PutResponse.create());
    await stopped;
  });
});

describe("retries", () => {
  /** A server which answers UNAVAILABLE `times` times, and counts. */
  function failing(path: string, times: number): { method: Method; count: () => number } {
    let count = 0;
    const unary = (call: ServerCall): void => {
      count++;
      if (count <= times) call.fail(GrpcCode.UNAVAILABLE, "etcdserver: leader changed");
      else call.reply(new Uint8Array(0), 0, 0);
    };
    return { method: { path, unary }, count: () => count };
  }

  test("a read is tried until it succeeds", async () => {
    const range = failing(KV.Range.path, 3);
    const channel = channelTo([await start({ methods: [range.method] })]);
    await channel.call(KV.Range, RangeRequest.create());
    expect(range.count()).toBe(4);
  });

  test("a write that may have happened is not tried again", async () => {
    const put = failing(KV.Put.path, 1);
    const channel = channelTo([await start({ methods: [put.method] })]);
    const error = await failure(channel.call(KV.Put, PutRequest.create()));
    expect([error.code, error.message]).toEqual([
      GrpcCode.UNAVAILABLE,
      "etcdserver: leader changed",
    ]);
    expect(put.count()).toBe(1);
  });

  test("a write is not tried again when the connection broke before its answer", async () => {
    let count = 0;
    const put: Method = {
      path: KV.Put.path,
      unary: () => {
        count++;
      },
    };
    const server = await start({ methods: [put] });
    const channel = channelTo([server]);
    const call = channel.call(KV.Put, PutRequest.create(), { timeoutMs: 5000 });
    await until(() => count === 1, "the call arrives");
    await server.listener.stop(0);
    expect((await failure(call)).code).toBe(GrpcCode.UNAVAILABLE);
  });

  test("a write waits for a server that is not there yet", async () => {
    const first = await start();
    const { address } = first.listener;
    await first.listener.stop(0);
    const channel = channelTo([first]);
    const call = channel.call(Echo.Unary, message("x"));
    await start({ address });
    expect(textOf(await call)).toBe("x");
  });

  test("without a deadline they end after ten seconds", async () => {
    const server = await start();
    await server.listener.stop(0);
    let aheadMs = 0;
    const network = new Network({ nowMs: () => performance.now() + aheadMs });
    const channel = channelTo([server], { network });
    const call = failure(channel.call(Echo.Unary, message("x")));
    await until(() => channel.retries > 0, "it is tried again");
    aheadMs = RETRY_TOTAL_MS_MAX;
    expect((await call).code).toBe(GrpcCode.UNAVAILABLE);
  });

  test("while all endpoints wait, calls fail without dialing", async () => {
    let accepted = 0;
    const make = (): ToyConnection => {
      accepted++;
      const toy = new ToyConnection();
      toy.closing = true;
      return toy;
    };
    const channel = channelTo([await start({ http2: make })]);
    for (let i = 0; i < 5; i++) {
      const error = await failure(channel.open(Echo.Each).next());
      expect([error.code, error.unprocessed]).toEqual([GrpcCode.UNAVAILABLE, true]);
    }
    expect(accepted).toBe(1);
  });

  test("a server that closes at once without a word is not hammered", async () => {
    let accepted = 0;
    const make = (): ToyConnection => {
      accepted++;
      const toy = new ToyConnection();
      toy.closing = true;
      return toy;
    };
    const server = await start({ http2: make });
    const channel = channelTo([server]);
    const call = channel.call(Echo.Unary, message("x"), { timeoutMs: 500 });
    expect((await failure(call)).code).toBe(GrpcCode.DEADLINE_EXCEEDED);
    expect(accepted).toBeGreaterThan(1);
    expect(accepted).toBeLessThan(6); // 100, 200, 400 ms apart
  });
});

describe("streams", () => {
  test("from the server", async () => {
    const channel = channelTo([await start()]);
    const stream = channel.open(Echo.Repeat);
    stream.send(message("again"));
    stream.halfClose();
    const got: string[] = [];
    for await (const put of stream) got.push(textOf(put));
    expect(got).toEqual(Array.from({ length: REPEAT_COUNT }, () => "again"));
    expect((await stream.headers).get("content-type")).toBe("application/grpc");
  });

  test("from the client", async () => {
    const channel = channelTo([await start()]);
    const stream = channel.open(Echo.Last);
    for (let i = 0; i < 1000; i++) {
      await stream.drained();
      stream.send(message(String(i)));
    }
    stream.halfClose();
    const { value } = await stream.next();
    expect(textOf(value as PutRequest)).toBe("999");
    expect((await stream.next()).done).toBe(true);
  });

  test("both ways, ten thousand messages, none lost or out of order", async () => {
    const channel = channelTo([await start()]);
    const stream = channel.open(Echo.Each);
    const count = 10_000;
    const sender = (async () => {
      for (let i = 0; i < count; i++) {
        if (!stream.writable) await stream.drained();
        stream.send(message(String(i)));
      }
      stream.halfClose();
    })();
    let next = 0;
    for await (const put of stream) {
      if (textOf(put) !== String(next)) throw new Error(`${textOf(put)} instead of ${next}`);
      next++;
    }
    await sender;
    expect(next).toBe(count);
  });

  test("a sender is held back by `writable` and let go by drained()", async () => {
    const channel = channelTo([await start()]);
    const stream = channel.open(Echo.Last);
    const chunk = PutRequest.create({ value: Buffer.alloc(10_000) });
    const fill = (): number => {
      let count = 0;
      for (; stream.writable && count < 10_000; count++) stream.send(chunk);
      return count;
    };
    expect(fill()).toBeLessThan(50); // 256 KiB before there is a connection
    await stream.drained();
    expect(fill()).toBeLessThan(50); // the peer's window and 256 KiB in the stream's queue
    await stream.drained();
    stream.send(message("last"));
    stream.halfClose();
    expect(textOf((await stream.next()).value as PutRequest)).toBe("last");
  });

  test("an end with OK ends a reader who waits, a past signal ends all", async () => {
    const server = await start();
    const channel = channelTo([server]);
    const stream = channel.open(Echo.Each);
    stream.send(message("x"));
    await stream.next();
    const last = stream.next();
    stream.halfClose();
    expect(await last).toEqual({ done: true, value: undefined });
    const calls = server.seen.calls;
    const late = channel.open(Echo.Each, { signal: AbortSignal.abort() });
    expect((await failure(late.next())).code).toBe(GrpcCode.CANCELLED);
    await channel.call(Echo.Unary, message("x"));
    expect(server.seen.calls).toBe(calls + 1);
  });

  test("drained() resolves when the call ends instead", async () => {
    const channel = channelTo([await start()]);
    const stream = channel.open(Echo.Last);
    await stream.drained();
    while (stream.writable) stream.send(PutRequest.create({ value: Buffer.alloc(10_000) }));
    const drained = stream.drained();
    stream.cancel();
    await drained;
    stream.send(message("ignored"));
    await stream.drained();
    expect((await failure(stream.next())).code).toBe(GrpcCode.CANCELLED);
  });

  test("what is read makes room: more than the bound flows through", async () => {
    const stream = channelTo([await start()]).open(Echo.Flood);
    stream.send(message("go"));
    let bytes = 0;
    for await (const put of stream) {
      bytes += put.value.length;
      if (bytes > UNREAD_BYTES_MAX * 1.5) break;
    }
    expect(bytes).toBeGreaterThan(UNREAD_BYTES_MAX);
  });

  test("a server is held back that sends faster than is read; other calls are not", async () => {
    const server = await start();
    const channel = channelTo([server]);
    const stream = channel.open(Echo.Flood);
    stream.send(message("go"));
    const sent = await level(() => server.seen.floodBytes);
    expect(sent).toBeGreaterThan(UNREAD_BYTES_MAX);
    expect(sent).toBeLessThan(UNREAD_BYTES_MAX * 4);
    expect(textOf(await channel.call(Echo.Unary, message("x")))).toBe("x");
    let bytes = 0;
    for await (const put of stream) {
      bytes += put.value.length;
      if (bytes > sent * 2) break;
    }
    await until(() => server.seen.cancels === 1, "the server hears of the end");
  });

  test("leaving the loop cancels the call at the server", async () => {
    const server = await start();
    const channel = channelTo([server]);
    const stream = channel.open(Echo.Flood);
    stream.send(message("go"));
    for await (const put of stream) {
      expect(put.value.length).toBe(16 * 1024);
      break;
    }
    await until(() => server.seen.cancels === 1, "the handler hears of it");
    expect(server.seen.floodBytes).toBeLessThan(UNREAD_BYTES_MAX * 2);
    await stream.closed;
  });

  test("a lost server ends the reader with UNAVAILABLE, a signal with CANCELLED", async () => {
    const server = await start();
    const channel = channelTo([server]);
    const stream = channel.open(Echo.Each);
    stream.send(message("x"));
    expect(textOf((await stream.next()).value as PutRequest)).toBe("x");
    const controller = new AbortController();
    const other = channel.open(Echo.Each, { signal: controller.signal });
    other.send(message("y"));
    await other.next();
    controller.abort();
    expect((await failure(other.next())).code).toBe(GrpcCode.CANCELLED);
    await server.listener.stop(0);
    expect((await failure(stream.next())).code).toBe(GrpcCode.UNAVAILABLE);
    expect((await failure(channel.open(Echo.Each).next())).code).toBe(GrpcCode.UNAVAILABLE);
  });
});

describe("close", () => {
  test("ends calls and streams, and refuses new ones", async () => {
    const server = await start();
    const channel = channelTo([server]);
    const call = channel.call(Echo.Never, message("x"));
    const stream = channel.open(Echo.Each);
    stream.send(message("x"));
    await stream.next();
    channel.close();
    expect((await failure(call)).code).toBe(GrpcCode.CANCELLED);
    expect((await failure(stream.next())).code).toBe(GrpcCode.UNAVAILABLE);
    expect((await failure(channel.call(Echo.Unary, message("x")))).code).toBe(GrpcCode.CANCELLED);
    await until(() => server.listener.connectionCount === 0, "the server sees it");
  });

  test("leaves nothing that keeps a process alive", async () => {
    const server = await start();
    const script = `
      import { Channel } from ${source("client/channel.ts")};
      import { KV, RangeRequest } from ${source("proto/gen/etcdserverpb.ts")};
      const channel = new Channel({ endpoints: [${JSON.stringify(server.url)}] });
      const call = channel.call(KV.Range, RangeRequest.create(), { timeoutMs: 60_000 });
      await call.catch((error) => console.log(error.codeName));
      channel.close();
    `;
    const started = performance.now();
    const child = Bun.spawn([process.execPath, "-e", script], { stdout: "pipe" });
    expect(await child.exited).toBe(0);
    expect(await new Response(child.stdout).text()).toBe("UNIMPLEMENTED\n");
    expect(performance.now() - started).toBeLessThan(4000);
  });
});
