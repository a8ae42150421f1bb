/**
 * What only we offer, from a plain gRPC client: the native services beside etcd's, health checking
 * and reflection.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { status } from "@grpc/grpc-js";
import protobuf from "protobufjs";
import "protobufjs/ext/descriptor";
import { GrpcJsClient, type Inbox } from "../support/grpc-js.ts";
import { type ServerProcess, startAether } from "../support/processes.ts";

const TTL_SECONDS = 2;
const LEASES_MAX = 3;
const TTL_MAX_SECONDS = 500;

let server: ServerProcess;
let client: GrpcJsClient;

beforeAll(async () => {
  server = await startAether({
    args: ["--lease-max-leases", `${LEASES_MAX}`, "--lease-max-ttl", `${TTL_MAX_SECONDS}`],
  });
  client = new GrpcJsClient(server.endpoint);
});
afterAll(async () => {
  client.close();
  await server[Symbol.asyncDispose]();
});

const bytes = (text: string): Buffer => Buffer.from(text, "latin1");

async function put(key: string, value: string, more: object = {}): Promise<number> {
  const request = { key: bytes(key), value: bytes(value), ...more };
  const { header } = await client.unary("aether.v1.AetherKV/Put", request);
  return Number(header.revision);
}

describe("AetherKV", () => {
  test("Get answers with the key, now and at a revision", async () => {
    const first = await put("one", "a");
    await put("one", "b");
    const now = await client.unary("aether.v1.AetherKV/Get", { key: bytes("one") });
    expect([now.kv.value, now.kv.version]).toEqual([bytes("b"), "2"]);
    const then = await client.unary("aether.v1.AetherKV/Get", {
      key: bytes("one"),
      revision: first,
    });
    expect([then.kv.value, then.kv.modRevision]).toEqual([bytes("a"), String(first)]);
  });

  test("Get of a key that is not there is NOT_FOUND; without a key, INVALID_ARGUMENT", async () => {
    const get = "aether.v1.AetherKV/Get";
    expect(await client.refusal(get, { key: bytes("absent") })).toMatchObject({
      code: status.NOT_FOUND,
    });
    expect(await client.refusal(get, {})).toMatchObject({ code: status.INVALID_ARGUMENT });
  });

  test("Range, Delete and Txn see the same store as etcd's services", async () => {
    await put("same/a", "1");
    await client.unary("etcdserverpb.KV/Put", { key: bytes("same/b"), value: bytes("2") });
    const range = { key: bytes("same/"), rangeEnd: bytes("same0") };
    const { kvs } = await client.unary("aether.v1.AetherKV/Range", range);
    expect(kvs.map(({ key, value }) => `${key}=${value}`)).toEqual(["same/a=1", "same/b=2"]);
    const swap = await client.unary("aether.v1.AetherKV/Txn", {
      compare: [{ key: bytes("same/a"), target: "VALUE", result: "EQUAL", value: bytes("1") }],
      success: [{ requestPut: { key: bytes("same/a"), value: bytes("3") } }],
      failure: [],
    });
    expect(swap.succeeded).toBe(true);
    const { kv } = await client.unary("aether.v1.AetherKV/Get", { key: bytes("same/a") });
    expect(kv.value).toEqual(bytes("3"));
    const { deleted } = await client.unary("aether.v1.AetherKV/Delete", range);
    expect(deleted).toBe("2");
  });
});

describe("AetherWatch", () => {
  test("the history from a revision, then what happens", async () => {
    const from = await put("news", "a");
    await put("news", "b");
    const inbox = client.duplex("aether.v1.AetherWatch/Watch");
    inbox.send({ createRequest: { key: bytes("news"), startRevision: from, prevKv: true } });
    expect((await inbox.next()).created).toBe(true);
    const values = () => inbox.messages.flatMap(({ events }) => events.map(({ kv }) => kv.value));
    await inbox.until("history", () => values().length >= 2);
    await put("news", "c");
    await inbox.until("live", () => values().length >= 3);
    expect(values()).toEqual(["a", "b", "c"].map(bytes));
    inbox.cancel();
  });
});

describe("AetherLease", () => {
  const grant = "aether.v1.AetherLease/LeaseGrant";

  test("granted, renewed, and its keys are deleted when it expires", async () => {
    const { ID } = await client.unary(grant, { TTL: TTL_SECONDS });
    await put("leased", "v", { lease: ID });
    const inbox = client.duplex("aether.v1.AetherWatch/Watch");
    inbox.send({ createRequest: { key: bytes("leased") } });
    expect((await inbox.next()).created).toBe(true);
    const renewals = client.duplex("aether.v1.AetherLease/LeaseKeepAlive");
    renewals.send({ ID });
    expect((await renewals.next()).TTL).toBe(String(TTL_SECONDS));
    renewals.halfClose();
    const { events } = await inbox.next();
    expect(events.map(({ type, kv }) => `${type} ${kv.key}`)).toEqual(["DELETE leased"]);
    inbox.cancel();
  });

  test("a TTL over lease.max_ttl is INVALID_ARGUMENT, for native clients only", async () => {
    const long = { TTL: TTL_MAX_SECONDS + 1 };
    const refused = await client.refusal(grant, long);
    expect(refused.code).toBe(status.INVALID_ARGUMENT);
    expect(refused.text).toContain(`lease.max_ttl is ${TTL_MAX_SECONDS} seconds`);
    const { ID } = await client.unary("etcdserverpb.Lease/LeaseGrant", long);
    await client.unary("aether.v1.AetherLease/LeaseRevoke", { ID });
  });

  test("a lease over lease.max_leases is RESOURCE_EXHAUSTED, natively only", async () => {
    const granted: string[] = [];
    for (let count = 0; count < LEASES_MAX; count++) {
      granted.push((await client.unary(grant, { TTL: 100 })).ID);
    }
    const refused = await client.refusal(grant, { TTL: 100 });
    expect(refused.code).toBe(status.RESOURCE_EXHAUSTED);
    expect(refused.text).toContain(`lease.max_leases is ${LEASES_MAX}`);
    granted.push((await client.unary("etcdserverpb.Lease/LeaseGrant", { TTL: 100 })).ID);
    for (const ID of granted) await client.unary("aether.v1.AetherLease/LeaseRevoke", { ID });
    const { ID } = await client.unary(grant, { TTL: 100 });
    await client.unary("aether.v1.AetherLease/LeaseRevoke", { ID });
  });

  test("limits hold against requests that come together", async () => {
    const asked = Array.from({ length: 4 * LEASES_MAX }, () =>
      client.unary(grant, { TTL: 100 }).catch(() => undefined),
    );
    const granted = (await Promise.all(asked)).filter((answer) => answer !== undefined);
    for (const { ID } of granted) await client.unary("aether.v1.AetherLease/LeaseRevoke", { ID });
    expect(granted).toHaveLength(LEASES_MAX);
  });
});

describe("health", () => {
  test("Check knows the server, its services, and no others", async () => {
    const check = "grpc.health.v1.Health/Check";
    for (const service of ["", "etcdserverpb.KV", "aether.v1.AetherKV"]) {
      expect((await client.unary(check, { service })).status).toBe("SERVING");
    }
    expect(await client.refusal(check, { service: "no.such.Service" })).toMatchObject({
      code: status.NOT_FOUND,
    });
  });

  test("Watch tells the status at once, and that it ends when the server stops", async () => {
    await using stopping = await startAether();
    const watcher = new GrpcJsClient(stopping.endpoint);
    const inbox = watcher.download("grpc.health.v1.Health/Watch", { service: "" });
    expect((await inbox.next()).status).toBe("SERVING");
    const unknown = watcher.download("grpc.health.v1.Health/Watch", { service: "no.such" });
    expect((await unknown.next()).status).toBe("SERVICE_UNKNOWN");
    const stopped = stopping.stop();
    expect((await inbox.next()).status).toBe("NOT_SERVING");
    await stopped;
    watcher.close();
  });
});

describe("reflection", () => {
  const open = (): Inbox =>
    client.duplex("grpc.reflection.v1.ServerReflection/ServerReflectionInfo");

  test("lists the services", async () => {
    const inbox = open();
    inbox.send({ listServices: "" });
    const { listServicesResponse } = await inbox.next();
    const names = listServicesResponse.service.map(({ name }) => name);
    expect(names).toContain("etcdserverpb.KV");
    expect(names).toContain("etcdserverpb.Watch");
    expect(names).toContain("aether.v1.AetherLease");
    expect(names).toContain("grpc.health.v1.Health");
    expect(names).toContain("grpc.reflection.v1.ServerReflection");
    inbox.halfClose();
    await inbox.until("the stream has ended", () => inbox.ended);
  });

  test("gives the file of a symbol, with what it imports", async () => {
    const inbox = open();
    inbox.send({ fileContainingSymbol: "etcdserverpb.KV" });
    const { fileDescriptorResponse } = await inbox.next();
    // Root.fromDescriptor wants a FileDescriptorSet: each file as its field 1.
    const set = new protobuf.Writer();
    for (const file of fileDescriptorResponse.fileDescriptorProto) set.uint32(10).bytes(file);
    const { Root } = protobuf as unknown as {
      Root: { fromDescriptor(set: Uint8Array): protobuf.Root };
    };
    const root = Root.fromDescriptor(set.finish());
    const method = root.lookupService("etcdserverpb.KV").methods["Range"];
    expect(method?.requestType).toContain("RangeRequest");
    expect(root.lookupType("mvccpb.KeyValue").fields["key"]?.id).toBe(1);
    inbox.cancel();
  });

  test("an unknown symbol is an answer on the stream, which goes on", async () => {
    const inbox = open();
    inbox.send({ fileContainingSymbol: "no.such.Symbol" });
    expect((await inbox.next()).errorResponse.errorCode).toBe(status.NOT_FOUND);
    inbox.send({ fileByFilename: "mvccpb/kv.proto" });
    expect((await inbox.next()).fileDescriptorResponse.fileDescriptorProto.length).toBe(1);
    inbox.cancel();
  });
});
