import { describe, expect, test } from "bun:test";
import { Prng } from "../../src/base/prng.ts";
import { GrpcError } from "../../src/client/grpc-error.ts";
import {
  isRead,
  jittered,
  leaderOf,
  mayRetry,
  RETRY_MS_MAX,
  RETRY_MS_MIN,
  retryPauseMs,
} from "../../src/client/retry.ts";
import {
  AlarmAction,
  AlarmRequest,
  KV,
  Lease,
  Maintenance,
  PutRequest,
  RangeRequest,
  RequestOp,
  TxnRequest,
} from "../../src/proto/gen/etcdserverpb.ts";
import { SERVICES } from "../../src/proto/gen/registry.ts";
import { FieldList } from "../../src/wire/grpc/metadata.ts";
import { GrpcCode } from "../../src/wire/grpc/status.ts";

const read = RequestOp.create({ requestRange: RangeRequest.create() });
const write = RequestOp.create({ requestPut: PutRequest.create() });

describe("what is a read", () => {
  test("the table of methods (etcd's client: retry.go)", () => {
    const reads: string[] = [];
    for (const service of SERVICES) {
      if (!service.typeName.startsWith("etcdserverpb.")) continue;
      for (const { path, request } of Object.values(service.methods)) {
        if (isRead(path, request.create())) reads.push(path.replace("/etcdserverpb.", ""));
      }
    }
    expect(reads.sort()).toEqual([
      "Auth/AuthStatus",
      "Auth/RoleGet",
      "Auth/RoleList",
      "Auth/UserGet",
      "Auth/UserList",
      "Cluster/MemberList",
      "KV/Range",
      "KV/RangeStream",
      "KV/Txn", // the empty one
      "Lease/LeaseLeases",
      "Lease/LeaseTimeToLive",
      "Maintenance/Alarm", // GET
      "Maintenance/Hash",
      "Maintenance/HashKV",
      "Maintenance/Status",
    ]);
  });

  test("ours are those that etcd's are", () => {
    const reads: string[] = [];
    for (const service of SERVICES) {
      if (!service.typeName.startsWith("aether.v1.")) continue;
      for (const { path, request } of Object.values(service.methods)) {
        if (isRead(path, request.create())) reads.push(path.replace("/aether.v1.Aether", ""));
      }
    }
    expect(reads.sort()).toEqual([
      "Cluster/MemberList",
      "KV/Get",
      "KV/Range",
      "KV/Txn", // the empty one
      "Lease/LeaseLeases",
      "Lease/LeaseTimeToLive",
      "Maintenance/AlarmList",
      "Maintenance/Hash",
      "Maintenance/Status",
    ]);
  });

  test("a transaction is one if both branches only read, at any depth", () => {
    const nested = (op: RequestOp): RequestOp =>
      RequestOp.create({ requestTxn: TxnRequest.create({ success: [op] }) });
    const isReadTxn = (txn: Partial<TxnRequest>): boolean =>
      isRead(KV.Txn.path, TxnRequest.create(txn));
    expect(isReadTxn({ success: [read], failure: [read, nested(read)] })).toBe(true);
    expect(isReadTxn({ success: [read, write] })).toBe(false);
    expect(isReadTxn({ success: [read], failure: [write] })).toBe(false);
    expect(isReadTxn({ success: [nested(write)] })).toBe(false);
  });

  test("an alarm request is one if it only asks", () => {
    const alarm = (action: number): boolean =>
      isRead(Maintenance.Alarm.path, AlarmRequest.create({ action }));
    expect(alarm(AlarmAction.GET)).toBe(true);
    expect(alarm(AlarmAction.DEACTIVATE)).toBe(false);
  });
});

describe("what may be tried again", () => {
  const unavailable = new GrpcError(GrpcCode.UNAVAILABLE, "etcdserver: leader changed");

  test("reads on UNAVAILABLE, writes not", () => {
    expect(mayRetry(unavailable, true, 1)).toBe(true);
    expect(mayRetry(unavailable, false, 3)).toBe(false);
  });

  test("anything that was certainly not processed", () => {
    const refused = new GrpcError(GrpcCode.UNAVAILABLE, "refused", { unprocessed: true });
    expect(mayRetry(refused, false, 1)).toBe(true);
  });

  test("no other failure, reads included", () => {
    for (const code of [GrpcCode.UNKNOWN, GrpcCode.DEADLINE_EXCEEDED, GrpcCode.INTERNAL]) {
      expect(mayRetry(new GrpcError(code, "no"), true, 3)).toBe(false);
    }
  });

  test("what a learner refused, if there is somebody else", () => {
    const text = "etcdserver: rpc not supported for learner";
    const refused = new GrpcError(GrpcCode.FAILED_PRECONDITION, text);
    expect(mayRetry(refused, isRead(Lease.LeaseGrant.path, {}), 1)).toBe(false);
    expect(mayRetry(refused, false, 2)).toBe(true);
  });
});

describe("what is tried again elsewhere, and not at the only server", () => {
  const trailers = new FieldList(["x-aether-leader", "10.0.0.1:2379"]);
  const failures: readonly [string, GrpcError][] = [
    ["no leader", new GrpcError(GrpcCode.UNAVAILABLE, "etcdserver: no leader")],
    ["not forwarded", new GrpcError(GrpcCode.UNAVAILABLE, "it does not forward", { trailers })],
  ];
  test.each(failures)("%s", (_name, failure) => {
    expect(mayRetry(failure, false, 3)).toBe(true);
    expect(mayRetry(failure, false, 1)).toBe(false);
  });

  test("where the leader is stands in a trailer", () => {
    expect(failures.map(([, failure]) => leaderOf(failure))).toEqual([undefined, "10.0.0.1:2379"]);
  });
});

describe("pauses", () => {
  test("none until every endpoint was asked, then doubling up to the bound, with jitter", () => {
    const random = new Prng(1);
    expect([1, 2].map((attempt) => retryPauseMs(attempt, 3, random))).toEqual([0, 0]);
    let plainMs = RETRY_MS_MIN;
    for (let attempt = 1; attempt < 40; attempt++) {
      const ms = retryPauseMs(attempt, 1, random);
      expect(ms).toBeGreaterThanOrEqual(plainMs * 0.8);
      expect(ms).toBeLessThanOrEqual(plainMs * 1.2);
      plainMs = Math.min(plainMs * 2, RETRY_MS_MAX);
    }
  });

  test("jitter spreads over a fifth to both sides", () => {
    const random = new Prng(2);
    const values = Array.from({ length: 1000 }, () => jittered(100, random));
    expect(Math.min(...values)).toBeLessThan(82);
    expect(Math.max(...values)).toBeGreaterThan(118);
  });
});
