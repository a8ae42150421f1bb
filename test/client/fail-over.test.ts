/** A client that knows three servers, while they come, go, follow and lead. */
import { afterEach, describe, expect, test } from "bun:test";
import { ByteWriter } from "../../src/base/bytes.ts";
import { Prng } from "../../src/base/prng.ts";
import { Channel } from "../../src/client/channel.ts";
import { GrpcError } from "../../src/client/grpc-error.ts";
import { type Address, parseAddress } from "../../src/net/address.ts";
import {
  KV,
  PutRequest,
  PutResponse,
  RangeRequest,
  RangeResponse,
} from "../../src/proto/gen/etcdserverpb.ts";
import type { Method, ServerCall } from "../../src/wire/grpc/server-call.ts";
import { GrpcCode } from "../../src/wire/grpc/status.ts";
import { type EchoServer, echoServer } from "../net/echo-server.ts";
import { until } from "../net/until.ts";

const ANY_PORT = parseAddress("127.0.0.1:0");

/** One of three servers: answers reads and writes, and counts the writes that it did. */
class Server {
  /** By key, over all servers: how often it was written. */
  readonly writes: Map<string, number>;
  address: Address = ANY_PORT;
  calls = 0;
  /** Fails the write instead of doing it. */
  refuse: ((call: ServerCall) => void) | undefined;
  #echo: EchoServer | undefined;

  constructor(writes: Map<string, number>) {
    this.writes = writes;
  }

  get url(): string {
    return this.#echo?.url ?? "";
  }

  async start(): Promise<void> {
    const methods: Method[] = [
      { path: KV.Put.path, unary: (call, ...bytes) => this.#put(call, ...bytes) },
      { path: KV.Range.path, unary: (call) => this.#later(call, RangeResponse.encode) },
    ];
    this.#echo = await echoServer({ methods, address: this.address });
    this.address = this.#echo.listener.address;
  }

  /** Takes no more calls, finishes those it has, and goes. */
  async stop(graceMs = 1000): Promise<void> {
    await this.#echo?.listener.stop(graceMs);
  }

  /** Dies with what it was doing. */
  async crash(): Promise<void> {
    await this.stop(0);
  }

  #put(call: ServerCall, bytes: Uint8Array, start: number, end: number): void {
    this.calls++;
    if (this.refuse !== undefined) {
      this.refuse(call);
      return;
    }
    const { key } = PutRequest.decode(bytes, start, end);
    this.writes.set(key, (this.writes.get(key) ?? 0) + 1);
    this.#later(call, PutResponse.encode);
  }

  /** An answer takes a moment, as if it had to be decided. */
  #later(call: ServerCall, encode: (message: never, out: ByteWriter) => void): void {
    setImmediate(() => {
      const out = new ByteWriter();
      encode({ header: undefined, kvs: [], more: false, count: 0 } as never, out);
      call.reply(out.bytes, 0, out.length);
    });
  }
}

const servers: Server[] = [];
const channels: Channel[] = [];

async function three(): Promise<readonly [Server, Server, Server]> {
  const writes = new Map<string, number>();
  const all = [new Server(writes), new Server(writes), new Server(writes)] as const;
  for (const server of all) await server.start();
  servers.push(...all);
  return all;
}

function channelTo(all: readonly Server[]): Channel {
  const channel = new Channel({ endpoints: all.map(({ url }) => url), random: new Prng(1) });
  channels.push(channel);
  return channel;
}

/** Calls of a few tasks, one after the other in each, until told to stop. */
class Load {
  readonly failures: unknown[] = [];
  done = 0;
  #stopped = false;
  readonly #tasks: Promise<void>[] = [];

  constructor(count: number, call: (name: string) => Promise<unknown>) {
    for (let i = 0; i < count; i++) this.#tasks.push(this.#run(`${i}-`, call));
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#tasks);
  }

  /** Waits for so many calls more: the servers that are up have taken some. */
  async more(count: number): Promise<void> {
    const goal = this.done + count;
    await until(() => this.done >= goal, `${count} calls more`);
  }

  async #run(prefix: string, call: (name: string) => Promise<unknown>): Promise<void> {
    for (let n = 0; !this.#stopped; n++) {
      try {
        await call(prefix + n);
      } catch (error) {
        this.failures.push(error);
      }
      this.done++;
    }
  }
}

afterEach(async () => {
  for (const channel of channels.splice(0)) channel.close();
  for (const server of servers.splice(0)) await server.crash();
});

const options = { timeoutMs: 10_000 };
const put = (channel: Channel, key: string): Promise<PutResponse> =>
  channel.call(KV.Put, PutRequest.create({ key }), options);
const get = (channel: Channel, key: string): Promise<RangeResponse> =>
  channel.call(KV.Range, RangeRequest.create({ key }), options);

describe("a rolling restart", () => {
  test("that is polite fails no call, and does no write twice", async () => {
    const all = await three();
    const channel = channelTo(all);
    const writing = new Load(8, (key) => put(channel, key));
    const reading = new Load(8, (key) => get(channel, key));
    for (let round = 0; round < 2; round++) {
      for (const server of all) {
        await writing.more(200);
        await server.stop();
        await writing.more(200);
        await server.start();
      }
    }
    await writing.more(200);
    await Promise.all([writing.stop(), reading.stop()]);
    expect([writing.failures, reading.failures]).toEqual([[], []]);
    expect(Math.max(...all[0].writes.values())).toBe(1);
    expect(reading.done).toBeGreaterThan(1000);
  });

  test("by crashes fails no read; of writes only those that may have been done", async () => {
    const all = await three();
    const channel = channelTo(all);
    const writing = new Load(8, (key) => put(channel, key));
    const reading = new Load(8, (key) => get(channel, key));
    const persistent = new Load(4, async (name) => {
      for (let attempt = 0; ; attempt++) {
        try {
          return await put(channel, `again-${name}-${attempt}`);
        } catch (error) {
          if (!(error instanceof GrpcError) || error.code !== GrpcCode.UNAVAILABLE) throw error;
        }
      }
    });
    for (const server of all) {
      await writing.more(200);
      await server.crash();
      await writing.more(200);
      await server.start();
    }
    await Promise.all([writing.stop(), reading.stop(), persistent.stop()]);
    expect(reading.failures).toEqual([]);
    expect(persistent.failures).toEqual([]);
    for (const error of writing.failures) {
      expect(error).toMatchObject({ code: GrpcCode.UNAVAILABLE, unprocessed: false });
    }
    expect(writing.failures.length).toBeLessThanOrEqual(8 * all.length);
    expect(Math.max(...all[0].writes.values())).toBe(1);
  });
});

describe("a write that a server did not take", () => {
  test("goes to the leader that a follower names, at once", async () => {
    const all = await three();
    const [first, second, third] = all;
    const channel = channelTo(all);
    while (all.some(({ calls }) => calls === 0)) await put(channel, "warm"); // all are up
    for (const follower of [first, second]) {
      follower.refuse = (call) =>
        call.fail(GrpcCode.UNAVAILABLE, "it does not forward", ["x-aether-leader", third.url]);
    }
    for (const server of all) server.calls = 0;
    const retries = channel.retries;
    for (let i = 0; i < 30; i++) await put(channel, `k${i}`);
    expect(third.calls).toBe(30);
    expect(first.calls + second.calls).toBe(channel.retries - retries);
    expect(first.calls + second.calls).toBeLessThanOrEqual(30);
  });

  test("goes elsewhere when there is no leader, and fails when it is so everywhere", async () => {
    const all = await three();
    const channel = channelTo(all);
    const noLeader = (call: ServerCall): void =>
      call.fail(GrpcCode.UNAVAILABLE, "etcdserver: no leader");
    const [first, second, third] = all;
    for (const server of [first, second]) server.refuse = noLeader;
    for (let i = 0; i < 10; i++) await put(channel, `k${i}`);
    expect(third.calls).toBe(10);
    third.refuse = noLeader;
    const failed = channel.call(KV.Put, PutRequest.create({ key: "k" }), { timeoutMs: 200 });
    const error = await failed.catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: GrpcCode.DEADLINE_EXCEEDED });
  });

  test("fails at once when there is nobody else to ask", async () => {
    const [first] = await three();
    const channel = channelTo([first]);
    first.refuse = (call) =>
      call.fail(GrpcCode.UNAVAILABLE, "no", ["x-aether-leader", "127.0.0.1:1"]);
    const error = await put(channel, "k").catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: GrpcCode.UNAVAILABLE, message: "no" });
    expect([first.calls, channel.retries]).toEqual([1, 0]);
  });
});
