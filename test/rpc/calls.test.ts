/** Calls that end in an unusual way: cancelled, garbage, too many messages, answers left unread. */
import { describe, expect, test } from "bun:test";
import { AetherKV, GetRequest } from "../../src/proto/gen/aether.v1.ts";
import {
  CompactionRequest,
  KV,
  Lease,
  LeaseKeepAliveRequest,
  PutRequest,
  RangeRequest,
  TxnRequest,
} from "../../src/proto/gen/etcdserverpb.ts";
import { Health, HealthCheckRequest } from "../../src/proto/gen/grpc.health.v1.ts";
import {
  ServerReflection,
  ServerReflectionRequest,
} from "../../src/proto/gen/grpc.reflection.v1.ts";
import { GrpcCode } from "../../src/wire/grpc/status.ts";
import { bytesOfMessage, Harness } from "./harness.ts";

const GARBAGE = new Uint8Array([0x0a, 0xff]);
const bytes = (text: string): Uint8Array => Buffer.from(text);

/** Enough keys that a range takes several slices. */
function filled(count: number): Harness {
  const harness = new Harness();
  for (let i = 0; i < count; i++) {
    harness.driven.put(`k${String(i).padStart(6, "0")}`, "v");
  }
  harness.driven.settle();
  return harness;
}

describe("a cancelled unary call", () => {
  // The wire counts a call as open until its handler has ended it, cancelled or not.
  const whole = RangeRequest.create({ key: "\0", rangeEnd: "\0" });

  test.each([
    ["Range", KV.Range.path, bytesOfMessage(RangeRequest, { key: "a" })],
    [
      "Txn that reads",
      KV.Txn.path,
      bytesOfMessage(TxnRequest, {
        success: [{ requestRange: RangeRequest.create({ key: "a" }) }] as never,
      }),
    ],
    ["Get", AetherKV.Get.path, bytesOfMessage(GetRequest, { key: "a" })],
  ])("%s is ended when its read may run", (_, path, body) => {
    const harness = new Harness({ unconfirmed: true });
    const call = harness.start(path, body);
    expect(call.endings).toBe(0);
    call.cancelled = true;
    harness.driven.settle();
    expect(call.endings).toBe(1);
  });

  test("a range in slices is ended and lets go of its revision", () => {
    const harness = filled(3000);
    const call = harness.start(KV.Range.path, bytesOfMessage(RangeRequest, whole));
    expect(call.endings).toBe(0);
    call.cancelled = true;
    harness.driven.settle();
    expect(call.endings).toBe(1);
    harness.driven.put("later");
    harness.driven.settle();
    harness.driven.compact(3002);
    harness.driven.settle();
    expect(harness.driven.group.machine.physicalTarget()).toBe(3002);
  });
});

describe("a stream that takes one request", () => {
  const request = bytesOfMessage(RangeRequest, { key: "\0", rangeEnd: "\0" });

  test("is refused a second one, and holds no revision afterwards", () => {
    const harness = filled(100);
    const call = harness.start(KV.RangeStream.path);
    harness.say(call, request);
    call.writable = false;
    harness.say(call, request);
    expect(call.ending?.code).toBe(GrpcCode.INTERNAL);
    harness.driven.put("later");
    harness.driven.settle();
    harness.driven.compact(102);
    harness.driven.settle();
    expect(harness.driven.group.machine.physicalTarget()).toBe(102);
  });

  test("fails when the client sends none", () => {
    const harness = new Harness();
    for (const path of [KV.RangeStream.path, Health.Watch.path]) {
      const call = harness.start(path);
      harness.halfClose(call);
      expect([path, call.ending?.code]).toEqual([path, GrpcCode.INTERNAL]);
    }
  });
});

describe("garbage on a stream", () => {
  test("ends it and leaves nothing behind", () => {
    const harness = new Harness();
    const call = harness.start(Lease.LeaseKeepAlive.path);
    harness.say(call, GARBAGE);
    expect(call.ending?.code).toBe(GrpcCode.INTERNAL);
    expect(harness.lease.streamCount).toBe(0);
  });

  test("as a unary request fails the call, nothing goes to the log", () => {
    const harness = new Harness();
    const paths = [KV.Put, KV.DeleteRange, KV.Txn, KV.Compact, Lease.LeaseGrant, Lease.LeaseRevoke];
    for (const { path } of paths) {
      const before = harness.driven.group.appliedIndex;
      const call = harness.start(path, GARBAGE);
      harness.driven.settle();
      expect([path, call.ending?.code]).toEqual([path, GrpcCode.INTERNAL]);
      expect(harness.driven.group.appliedIndex).toBe(before);
    }
  });
});

describe("a client that does not read its answers", () => {
  const requests: [string, Uint8Array][] = [
    [Lease.LeaseKeepAlive.path, bytesOfMessage(LeaseKeepAliveRequest, { ID: 1n })],
    [
      ServerReflection.ServerReflectionInfo.path,
      bytesOfMessage(ServerReflectionRequest, { fileContainingSymbol: "etcdserverpb.KV" }),
    ],
  ];
  test.each(requests)("is cut off on %s", (path, body) => {
    const harness = new Harness();
    const call = harness.start(path);
    call.queuedBytes = 64 * 1024 * 1024;
    harness.say(call, body);
    expect(call.ending?.code).toBe(GrpcCode.RESOURCE_EXHAUSTED);
    expect(harness.lease.streamCount).toBe(0);
  });
});

describe("requests for the log", () => {
  test("are bounded in size, whatever they ask", () => {
    const harness = new Harness();
    const big = Buffer.alloc(1.5 * 1024 * 1024 + 1);
    const padded = (body: Uint8Array): Uint8Array => {
      // Field 15, delimited, of 0x180000 bytes: unknown to all of them.
      return Buffer.concat([body, Buffer.from([0x7a, 0x80, 0x80, 0x60]), Buffer.alloc(0x180000)]);
    };
    const calls: [string, Uint8Array][] = [
      [KV.Put.path, bytesOfMessage(PutRequest, { key: "a", value: big })],
      [KV.Compact.path, padded(bytesOfMessage(CompactionRequest, { revision: 1 }))],
      [Lease.LeaseRevoke.path, padded(bytes("\x08\x01"))],
    ];
    for (const [path, body] of calls) {
      const call = harness.start(path, body);
      harness.driven.settle();
      expect([path, call.text]).toEqual([path, "3 etcdserver: request is too large"]);
    }
  });
});

describe("health", () => {
  test("a watch of an unknown service is ended with the others when the server stops", () => {
    const harness = new Harness();
    const call = harness.start(Health.Watch.path);
    harness.say(call, bytesOfMessage(HealthCheckRequest, { service: "nobody" }));
    expect(call.messages.length).toBe(1);
    harness.health.setServing(true);
    expect(call.messages.length).toBe(1);
    harness.health.close();
    expect(call.ending?.code).toBe(GrpcCode.UNAVAILABLE);
  });
});
