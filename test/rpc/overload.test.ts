import { describe, expect, test } from "bun:test";
import { AetherError } from "../../src/base/errors.ts";
import { CALLS_MAX } from "../../src/node/call-limit.ts";
import {
  CompactionRequest,
  KV,
  Lease,
  Maintenance,
  PutRequest,
} from "../../src/proto/gen/etcdserverpb.ts";
import { guarded } from "../../src/rpc/answer.ts";
import { failureOf } from "../../src/rpc/errors.ts";
import { FEW_CALLS, Overload, REFUSED_WHEN_FULL } from "../../src/rpc/overload.ts";
import { GrpcCode } from "../../src/wire/grpc/status.ts";
import { bytesOfMessage, FakeCall, Harness } from "./harness.ts";

function codeOf(overload: Overload, siblings: number): string {
  try {
    overload.check({ siblings, peer: `10.0.0.${siblings}:1` });
    return "taken";
  } catch (error) {
    return error instanceof AetherError ? error.code : String(error);
  }
}

describe("overload", () => {
  test("refuses those with many calls at the limit, those with few at twice of it", () => {
    const load = { waiting: 99, limit: 100 };
    const overload = new Overload(load);
    const seen = (): string[] => [1, FEW_CALLS, FEW_CALLS + 1].map((n) => codeOf(overload, n));
    expect(seen()).toEqual(["taken", "taken", "taken"]);
    load.waiting = 100;
    expect(seen()).toEqual(["taken", "taken", "too_many_requests"]);
    load.waiting = 199;
    expect(seen()).toEqual(["taken", "taken", "too_many_requests"]);
    load.waiting = 200;
    expect(seen()).toEqual(Array(3).fill("too_many_requests"));
    expect(overload.refusedCount).toBe(5);
    expect(overload.refusedPeer).toBe(`10.0.0.${FEW_CALLS + 1}:1`);
  });

  test("has etcd's text and the code of etcd's table", () => {
    expect(failureOf(new AetherError("too_many_requests"))).toEqual({
      code: GrpcCode.RESOURCE_EXHAUSTED,
      message: "etcdserver: too many requests",
    });
  });

  test("leaves alone what makes room and what tells how things are", () => {
    const never = [KV.Compact, Lease.LeaseRevoke, Maintenance.Status, Maintenance.Alarm];
    for (const { path } of never) expect(REFUSED_WHEN_FULL.has(path)).toBe(false);
    expect(REFUSED_WHEN_FULL.has(KV.Put.path)).toBe(true);
  });

  test("stands before the methods: one put too many is refused, a compaction is not", () => {
    const harness = new Harness();
    const put = bytesOfMessage(PutRequest, { key: "a" });
    const many = (path: string, bytes: Uint8Array): FakeCall => {
      const call = new FakeCall(path);
      call.siblings = FEW_CALLS + 1;
      const method = harness.methods.get(path);
      if (method === undefined || !("unary" in method)) throw new Error(path);
      guarded(call, () => method.unary(call, bytes, 0, bytes.length));
      return call;
    };
    let taken = 0;
    let last = many(KV.Put.path, put);
    for (; last.ending === undefined; last = many(KV.Put.path, put)) taken++;
    expect(last.text).toBe("8 etcdserver: too many requests");
    expect(taken).toBeLessThanOrEqual(CALLS_MAX);
    expect(taken).toBeGreaterThan(0.99 * CALLS_MAX); // their bytes count a little
    expect(harness.start(KV.Put.path, put).ending).toBeUndefined();
    const compact = bytesOfMessage(CompactionRequest, { revision: 1 });
    expect(many(KV.Compact.path, compact).ending).toBeUndefined();
    expect(harness.admission.overload.refusedCount).toBe(1);
    harness.driven.settle();
    expect(many(KV.Put.path, put).ending).toBeUndefined();
  });
});
