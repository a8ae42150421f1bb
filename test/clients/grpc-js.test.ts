/** The etcd API from a plain gRPC client: every field is looked at as it stands on the wire. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type ClientOptions, status } from "@grpc/grpc-js";
import { GrpcJsClient, type Inbox, type WatchEvent } from "../support/grpc-js.ts";
import { type ServerProcess, startAether } from "../support/processes.ts";

const TTL_SECONDS = 2;

let server: ServerProcess;
let client: GrpcJsClient;

beforeAll(async () => {
  server = await startAether();
  client = new GrpcJsClient(server.endpoint);
});
afterAll(async () => {
  client.close();
  await server[Symbol.asyncDispose]();
});

const bytes = (text: string): Buffer => Buffer.from(text, "latin1");

async function put(key: string, value: string, more: object = {}): Promise<number> {
  const request = { key: bytes(key), value: bytes(value), ...more };
  const { header } = await client.unary("etcdserverpb.KV/Put", request);
  return Number(header.revision);
}

/** Opens a stream with one watcher, whose creation is confirmed. */
async function watch(create: object): Promise<Inbox> {
  const inbox = client.duplex("etcdserverpb.Watch/Watch");
  inbox.send({ createRequest: create });
  const { created, watchId } = await inbox.next();
  expect({ created, watchId }).toEqual({ created: true, watchId: "0" });
  return inbox;
}

function eventsOf(inbox: Inbox): readonly WatchEvent[] {
  return inbox.messages.flatMap(({ events }) => events);
}

function textOf({ type, kv }: WatchEvent): string {
  return `${type} ${kv.key.toString("latin1")} ${kv.value.toString("latin1")} ${kv.modRevision}`;
}

describe("key-value", () => {
  test("a put counts revisions and versions; a get shows them", async () => {
    const first = await put("counted", "a");
    const second = await put("counted", "b");
    expect(second).toBe(first + 1);
    const answer = await client.unary("etcdserverpb.KV/Range", { key: bytes("counted") });
    expect(answer).toMatchObject({ count: "1", more: false });
    expect(answer.header.revision).toBe(String(second));
    expect(answer.kvs).toEqual([
      {
        key: bytes("counted"),
        value: bytes("b"),
        createRevision: String(first),
        modRevision: String(second),
        version: "2",
        lease: "0",
      },
    ]);
  });

  test("a prefix range: all, limited, counted, keys of any bytes", async () => {
    for (const key of ["p/\x00", "p/a", "p/\xff", "p0"]) await put(key, "v");
    const prefix = { key: bytes("p/"), rangeEnd: bytes("p0") };
    const all = await client.unary("etcdserverpb.KV/Range", prefix);
    expect(all.kvs.map(({ key }) => key.toString("latin1"))).toEqual(["p/\x00", "p/a", "p/\xff"]);
    const limited = await client.unary("etcdserverpb.KV/Range", { ...prefix, limit: 2 });
    expect([limited.kvs.length, limited.more, limited.count]).toEqual([2, true, "3"]);
    const counted = await client.unary("etcdserverpb.KV/Range", { ...prefix, countOnly: true });
    expect([counted.kvs.length, counted.count]).toEqual([0, "3"]);
    const gone = await client.unary("etcdserverpb.KV/DeleteRange", { ...prefix, prevKv: true });
    expect(gone.deleted).toBe("3");
  });

  test("a transaction: conditions, both branches, later operations see earlier ones", async () => {
    await put("guard", "open");
    const request = {
      compare: [{ key: bytes("guard"), target: "VALUE", result: "EQUAL", value: bytes("open") }],
      success: [
        { requestPut: { key: bytes("guard"), value: bytes("closed") } },
        { requestRange: { key: bytes("guard") } },
      ],
      failure: [{ requestDeleteRange: { key: bytes("guard") } }],
    };
    const first = await client.unary("etcdserverpb.KV/Txn", request);
    expect(first.succeeded).toBe(true);
    expect(first.responses[1]?.responseRange?.kvs[0]?.value).toEqual(bytes("closed"));
    const second = await client.unary("etcdserverpb.KV/Txn", request);
    expect(second.succeeded).toBe(false);
    expect(second.responses[0]?.responseDeleteRange?.deleted).toBe("1");
  });

  test("values of a megabyte come back as they are; larger requests are refused", async () => {
    const value = Buffer.alloc(1_400_000, "large");
    await client.unary("etcdserverpb.KV/Put", { key: bytes("large"), value });
    const answer = await client.unary("etcdserverpb.KV/Range", { key: bytes("large") });
    expect(answer.kvs[0]?.value.equals(value)).toBe(true);
    const tooLarge = { key: bytes("large"), value: Buffer.alloc(1_700_000) };
    expect(await client.refusal("etcdserverpb.KV/Put", tooLarge)).toEqual({
      code: status.INVALID_ARGUMENT,
      text: "etcdserver: request is too large",
    });
  });

  test("refusals carry etcd's code and text", async () => {
    const refusal = (request: object) => client.refusal("etcdserverpb.KV/Put", request);
    expect(await refusal({})).toEqual({
      code: status.INVALID_ARGUMENT,
      text: "etcdserver: key is not provided",
    });
    expect(await refusal({ key: bytes("k"), lease: 12345 })).toEqual({
      code: status.NOT_FOUND,
      text: "etcdserver: requested lease not found",
    });
    expect(await client.refusal("etcdserverpb.Auth/AuthEnable", {})).toEqual({
      code: status.FAILED_PRECONDITION,
      text: "etcdserver: root user does not exist",
    });
  });

  const compressions = [
    ["gzip", 2],
    ["none", 0],
  ] as const;
  for (const [name, algorithm] of compressions) {
    test(`requests compressed with ${name} are understood`, async () => {
      const options: ClientOptions = { "grpc.default_compression_algorithm": algorithm };
      const compressing = new GrpcJsClient(server.endpoint, options);
      const value = Buffer.alloc(100_000, "abc");
      await compressing.unary("etcdserverpb.KV/Put", { key: bytes("zipped"), value });
      const { kvs } = await compressing.unary("etcdserverpb.KV/Range", { key: bytes("zipped") });
      expect(kvs[0]?.value.equals(value)).toBe(true);
      compressing.close();
    });
  }
});

describe("watch", () => {
  test("from a past revision: the history in order, then what happens", async () => {
    const from = await put("news/1", "a");
    await put("news/2", "b");
    await client.unary("etcdserverpb.KV/DeleteRange", { key: bytes("news/1") });
    const range = { key: bytes("news/"), rangeEnd: bytes("news0") };
    const inbox = await watch({ ...range, startRevision: from, prevKv: true });
    await inbox.until("history", () => eventsOf(inbox).length >= 3);
    await put("news/3", "c");
    await inbox.until("live", () => eventsOf(inbox).length >= 4);
    expect(eventsOf(inbox).map(textOf)).toEqual([
      `PUT news/1 a ${from}`,
      `PUT news/2 b ${from + 1}`,
      `DELETE news/1  ${from + 2}`,
      `PUT news/3 c ${from + 3}`,
    ]);
    expect(eventsOf(inbox)[2]?.prevKv?.value).toEqual(bytes("a"));
    inbox.cancel();
  });

  test("the events of one transaction come in one message", async () => {
    const inbox = await watch({ key: bytes("one/"), rangeEnd: bytes("one0") });
    const success = ["one/a", "one/b", "one/c"].map((key) => ({
      requestPut: { key: bytes(key), value: bytes("v") },
    }));
    await client.unary("etcdserverpb.KV/Txn", { success });
    const { events, header } = await inbox.next();
    expect(events.map(({ kv }) => kv.key.toString())).toEqual(["one/a", "one/b", "one/c"]);
    expect(new Set(events.map(({ kv }) => kv.modRevision))).toEqual(new Set([header.revision]));
    inbox.cancel();
  });

  test("filters, several watchers on a stream, cancelling one, progress on request", async () => {
    const inbox = await watch({ key: bytes("both") });
    inbox.send({ createRequest: { key: bytes("both"), filters: ["NOPUT"], watchId: 7 } });
    expect((await inbox.next()).watchId).toBe("7");
    await put("both", "v");
    expect((await inbox.next()).watchId).toBe("0");
    await client.unary("etcdserverpb.KV/DeleteRange", { key: bytes("both") });
    const told = [(await inbox.next()).watchId, (await inbox.next()).watchId].sort();
    expect(told).toEqual(["0", "7"]);
    inbox.send({ cancelRequest: { watchId: 0 } });
    expect(await inbox.next()).toMatchObject({ watchId: "0", canceled: true });
    const revision = await put("elsewhere", "v");
    inbox.send({ progressRequest: {} });
    const progress = await inbox.next();
    expect([progress.watchId, progress.header.revision]).toEqual(["-1", String(revision)]);
    inbox.cancel();
  });

  test("from a compacted revision: canceled with the revision that is left", async () => {
    await put("compacted", "a");
    const revision = await put("compacted", "b");
    await client.unary("etcdserverpb.KV/Compact", { revision, physical: true });
    const inbox = await watch({ key: bytes("compacted"), startRevision: revision - 1 });
    const { canceled, compactRevision } = await inbox.next();
    expect({ canceled, compactRevision }).toEqual({
      canceled: true,
      compactRevision: String(revision),
    });
    inbox.cancel();
  });

  test("a client that sends no more requests still gets its events", async () => {
    const inbox = await watch({ key: bytes("half") });
    inbox.halfClose();
    await put("half", "v");
    expect((await inbox.next()).events).toHaveLength(1);
    inbox.cancel();
  });
});

describe("lease", () => {
  test("granted, renewed on a stream, and its keys are deleted when it expires", async () => {
    const granted = await client.unary("etcdserverpb.Lease/LeaseGrant", { TTL: TTL_SECONDS });
    expect(granted.TTL).toBe(String(TTL_SECONDS));
    const { ID } = granted;
    await put("leased/a", "v", { lease: ID });
    await put("leased/b", "v", { lease: ID });
    const inbox = await watch({ key: bytes("leased/"), rangeEnd: bytes("leased0") });
    const renewals = client.duplex("etcdserverpb.Lease/LeaseKeepAlive");
    let sentMs = 0;
    for (let renewal = 0; renewal < 3; renewal++) {
      sentMs = performance.now();
      renewals.send({ ID });
      const renewed = await renewals.next();
      expect([renewed.ID, renewed.TTL]).toEqual([ID, String(TTL_SECONDS)]);
    }
    const left = await client.unary("etcdserverpb.Lease/LeaseTimeToLive", { ID, keys: true });
    expect(left.grantedTTL).toBe(String(TTL_SECONDS));
    expect(left.keys.map(String).sort()).toEqual(["leased/a", "leased/b"]);
    const { events } = await inbox.next();
    const livedMs = performance.now() - sentMs;
    expect(events.map(({ type, kv }) => `${type} ${kv.key}`)).toEqual([
      "DELETE leased/a",
      "DELETE leased/b",
    ]);
    expect(livedMs).toBeGreaterThanOrEqual(TTL_SECONDS * 1000);
    renewals.send({ ID });
    expect((await renewals.next()).TTL).toBe("0");
    renewals.halfClose();
    await renewals.until("the stream has ended", () => renewals.ended);
    const gone = await client.unary("etcdserverpb.Lease/LeaseTimeToLive", { ID });
    expect([gone.TTL, gone.grantedTTL]).toEqual(["-1", "0"]);
    inbox.cancel();
  });

  test("listed, revoked with its keys, unknown afterwards", async () => {
    const { ID } = await client.unary("etcdserverpb.Lease/LeaseGrant", { TTL: 100, ID: 4711 });
    expect(ID).toBe("4711");
    expect(await client.refusal("etcdserverpb.Lease/LeaseGrant", { TTL: 100, ID })).toEqual({
      code: status.FAILED_PRECONDITION,
      text: "etcdserver: lease already exists",
    });
    await put("held", "v", { lease: ID });
    const { leases } = await client.unary("etcdserverpb.Lease/LeaseLeases");
    expect(leases).toContainEqual({ ID });
    await client.unary("etcdserverpb.Lease/LeaseRevoke", { ID });
    expect((await client.unary("etcdserverpb.KV/Range", { key: bytes("held") })).count).toBe("0");
    expect(await client.refusal("etcdserverpb.Lease/LeaseRevoke", { ID })).toEqual({
      code: status.NOT_FOUND,
      text: "etcdserver: requested lease not found",
    });
  });
});
