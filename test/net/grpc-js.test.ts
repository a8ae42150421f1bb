/** An outside witness: the gRPC client of the npm registry against our listener and wire. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import * as grpc from "@grpc/grpc-js";
import { Echo, type EchoServer, echoServer, FAIL_TEXT, REPEAT_COUNT } from "./echo-server.ts";
import { level, until } from "./until.ts";

type Bytes = Buffer;

let server: EchoServer;
let client: grpc.Client;

const same = (bytes: Bytes): Bytes => bytes;

beforeAll(async () => {
  server = await echoServer();
  client = new grpc.Client(server.url, grpc.credentials.createInsecure(), {
    "grpc.max_receive_message_length": -1,
  });
});

afterAll(async () => {
  client.close();
  await server.listener.stop(0);
});

interface Answer {
  readonly error: grpc.ServiceError | null;
  readonly value: Bytes | undefined;
}

function unary(
  path: string,
  body: Bytes,
  metadata = new grpc.Metadata(),
  options: grpc.CallOptions = {},
): Promise<Answer> {
  return new Promise((resolve) => {
    client.makeUnaryRequest(path, same, same, body, metadata, options, (error, value) =>
      resolve({ error, value }),
    );
  });
}

describe("@grpc/grpc-js", () => {
  test("unary, with metadata and a deadline", async () => {
    const metadata = new grpc.Metadata();
    metadata.set("x-toy", "hello");
    const deadline = Date.now() + 60_000;
    const { error, value } = await unary(Echo.Unary.path, Buffer.from("ping"), metadata, {
      deadline,
    });
    expect(error).toBeNull();
    expect(value?.toString()).toBe("ping");
    expect(server.seen.metadata.at(-1)).toBe("hello");
    const leftMs = (server.seen.deadlines.at(-1) ?? 0) - server.network.nowMs();
    expect(leftMs).toBeGreaterThan(50_000);
    expect(leftMs).toBeLessThanOrEqual(60_000);
  });

  test("an empty message and one of a megabyte", async () => {
    expect((await unary(Echo.Unary.path, Buffer.alloc(0))).value?.length).toBe(0);
    const big = Buffer.alloc(1024 * 1024, "0123456789abcdef");
    const { value } = await unary(Echo.Unary.path, big);
    expect(value?.equals(big)).toBe(true);
  });

  test("a failure with its text and trailers", async () => {
    const { error } = await unary(Echo.Fail.path, Buffer.from("x"));
    expect(error?.code).toBe(grpc.status.RESOURCE_EXHAUSTED);
    expect(error?.details).toBe(FAIL_TEXT);
    expect(error?.metadata.get("x-toy-trailer")).toEqual(["yes"]);
  });

  test("a method that nobody serves", async () => {
    const { error } = await unary("/toy.Echo/Nobody", Buffer.from("x"));
    expect(error?.code).toBe(grpc.status.UNIMPLEMENTED);
  });

  test("a deadline that passes", async () => {
    const options = { deadline: Date.now() + 60 };
    const { error } = await unary(Echo.Never.path, Buffer.from("x"), undefined, options);
    expect(error?.code).toBe(grpc.status.DEADLINE_EXCEEDED);
  });

  test("gzip", async () => {
    const zipped = new grpc.Client(server.url, grpc.credentials.createInsecure(), {
      "grpc.default_compression_algorithm": grpc.compressionAlgorithms.gzip,
    });
    const text = "aether ".repeat(1000);
    const value = await new Promise<Bytes | undefined>((resolve, reject) => {
      zipped.makeUnaryRequest(Echo.Unary.path, same, same, Buffer.from(text), (error, bytes) =>
        error === null ? resolve(bytes) : reject(error),
      );
    });
    zipped.close();
    expect(value?.toString()).toBe(text);
  });

  test("a stream from the server", async () => {
    const got: string[] = [];
    const body = Buffer.from("again");
    const call = client.makeServerStreamRequest(Echo.Repeat.path, same, same, body);
    for await (const bytes of call) got.push(String(bytes));
    expect(got).toEqual(Array.from({ length: REPEAT_COUNT }, () => "again"));
  });

  test("a stream from the client", async () => {
    const value = await new Promise<Bytes | undefined>((resolve, reject) => {
      const call = client.makeClientStreamRequest(Echo.Last.path, same, same, (error, bytes) =>
        error === null ? resolve(bytes) : reject(error),
      );
      for (const text of ["one", "two", "three"]) call.write(Buffer.from(text));
      call.end();
    });
    expect(value?.toString()).toBe("three");
  });

  test("both ways, each message answered before the next is sent", async () => {
    const call = client.makeBidiStreamRequest<Bytes, Bytes>(Echo.Each.path, same, same);
    const got: string[] = [];
    call.write(Buffer.from("0"));
    for await (const bytes of call) {
      got.push(String(bytes));
      if (got.length < 20) call.write(Buffer.from(String(got.length)));
      else call.end();
    }
    expect(got).toEqual(Array.from({ length: 20 }, (_, i) => String(i)));
  });

  test("cancel reaches the handler, and a slow reader bounds what it sends", async () => {
    const before = server.seen.cancels;
    const body = Buffer.from("go");
    const call = client.makeServerStreamRequest<Bytes, Bytes>(Echo.Flood.path, same, same, body);
    call.on("data", () => call.pause());
    await until(() => server.seen.floodBytes > 0, "it flows");
    const code = new Promise<number | undefined>((resolve) => {
      call.on("error", (error: grpc.ServiceError) => resolve(error.code));
    });
    expect(await level(() => server.seen.floodBytes)).toBeLessThan(4 * 1024 * 1024);
    call.cancel();
    call.resume();
    expect(await code).toBe(grpc.status.CANCELLED);
    await until(() => server.seen.cancels === before + 1, "the handler hears of it");
  });

  test("a thousand calls at once on one connection", async () => {
    const answers = await Promise.all(
      Array.from({ length: 1000 }, (_, i) => unary(Echo.Unary.path, Buffer.from(String(i)))),
    );
    answers.forEach(({ value }, i) => {
      expect(value?.toString()).toBe(String(i));
    });
  });
});
