/** What is served, and the small services: health, reflection, the error table. */
import { describe, expect, test } from "bun:test";
import { AetherError, type ErrorCode } from "../../src/base/errors.ts";
import { AetherKV, AetherLease, AetherWatch } from "../../src/proto/gen/aether.v1.ts";
import { KV, Lease, Watch } from "../../src/proto/gen/etcdserverpb.ts";
import {
  Health,
  HealthCheckRequest,
  HealthCheckResponse,
  ServingStatus,
} from "../../src/proto/gen/grpc.health.v1.ts";
import {
  ServerReflection,
  ServerReflectionRequest,
  ServerReflectionResponse,
} from "../../src/proto/gen/grpc.reflection.v1.ts";
import { SERVICES } from "../../src/proto/gen/registry.ts";
import { expectedFailure, failureOf, textOf } from "../../src/rpc/errors.ts";
import { bytesOfMessage, Harness } from "./harness.ts";

describe("methods", () => {
  const harness = new Harness();

  test("of the key-value, watch and lease services are all served", () => {
    const services = [KV, Watch, Lease, AetherKV, AetherWatch, AetherLease];
    const paths = services.flatMap((service) => Object.values(service).map(({ path }) => path));
    expect(paths.length).toBeGreaterThan(20);
    expect(paths.filter((path) => !harness.methods.has(path))).toEqual([]);
  });

  test("have the shape that the schema says", () => {
    const wrong: string[] = [];
    for (const { methods } of SERVICES) {
      for (const { path, clientStream, serverStream } of Object.values(methods)) {
        const method = harness.methods.get(path);
        if (method === undefined) continue;
        if ("unary" in method === (clientStream || serverStream)) wrong.push(path);
      }
    }
    expect(wrong).toEqual([]);
  });

  test("are in the schema", () => {
    const known = new Set<string>();
    for (const { methods } of SERVICES) {
      for (const { path } of Object.values(methods)) known.add(path);
    }
    expect([...harness.methods.keys()].filter((path) => !known.has(path))).toEqual([]);
  });
});

describe("health", () => {
  const check = (harness: Harness, service: string): string => {
    const call = harness.call(Health.Check.path, HealthCheckRequest, { service });
    if (call.ending?.code !== 0) return call.text;
    return String(call.decode(HealthCheckResponse).status);
  };

  test("is that of the server, for it and each of its services", () => {
    const harness = new Harness();
    expect(check(harness, "")).toBe(String(ServingStatus.NOT_SERVING));
    harness.health.setServing(true);
    expect(check(harness, "")).toBe(String(ServingStatus.SERVING));
    expect(check(harness, "etcdserverpb.KV")).toBe(String(ServingStatus.SERVING));
    expect(check(harness, "nobody")).toBe("5 unknown service");
  });

  test("is told to who watches, once for each change", () => {
    const harness = new Harness();
    const call = harness.start(Health.Watch.path);
    harness.say(call, bytesOfMessage(HealthCheckRequest, { service: "" }));
    call.handler?.onHalfClose();
    for (const serving of [true, true, false]) harness.health.setServing(serving);
    const { NOT_SERVING, SERVING } = ServingStatus;
    const statuses = call.decodeAll(HealthCheckResponse).map(({ status }) => status);
    expect(statuses).toEqual([NOT_SERVING, SERVING, NOT_SERVING]);
    call.cancel();
    harness.health.setServing(true);
    expect(call.messages.length).toBe(3);
  });
});

describe("reflection", () => {
  const ask = (partial: Partial<ServerReflectionRequest>): ServerReflectionResponse => {
    const harness = new Harness();
    const call = harness.start(ServerReflection.ServerReflectionInfo.path);
    harness.tell(call, ServerReflectionRequest, partial);
    harness.halfClose(call);
    expect(call.text).toBe("0");
    return call.decode(ServerReflectionResponse);
  };
  const filesOf = (symbol: string): number =>
    ask({ fileContainingSymbol: symbol }).fileDescriptorResponse?.fileDescriptorProto.length ?? 0;

  test("lists what is served", () => {
    const { listServicesResponse } = ask({ listServices: "" });
    expect(listServicesResponse?.service).toEqual([{ name: "etcdserverpb.KV" }]);
  });

  test("finds services, methods, messages and fields, with what their file imports", () => {
    for (const symbol of [
      "etcdserverpb.KV",
      ".etcdserverpb.KV",
      "etcdserverpb.KV.Range",
      "etcdserverpb.RangeRequest",
    ]) {
      expect([symbol, filesOf(symbol) > 1]).toEqual([symbol, true]);
    }
  });

  test("says what it does not know inside the stream", () => {
    for (const unknown of ["", ".", "nobody", "constructor", "etcdserverpb.Nobody"]) {
      const { errorResponse, validHost } = ask({ fileContainingSymbol: unknown, host: "h" });
      expect([errorResponse?.errorCode, validHost]).toEqual([5, "h"]);
    }
    expect(ask({ fileByFilename: "../secret" }).errorResponse?.errorCode).toBe(5);
    expect(ask({ allExtensionNumbersOfType: "a.B" }).errorResponse?.errorCode).toBe(5);
    expect(ask({}).errorResponse?.errorCode).toBe(5);
  });
});

describe("errors", () => {
  test("have etcd's codes and texts", () => {
    const rows: [ErrorCode, number, string][] = [
      ["too_many_requests", 8, "etcdserver: too many requests"],
      ["no_leader", 14, "etcdserver: no leader"],
      ["not_leader", 9, "etcdserver: not leader"],
      ["leader_changed", 14, "etcdserver: leader changed"],
      ["no_space", 8, "etcdserver: mvcc: database space exceeded"],
      ["corrupt", 15, "etcdserver: corrupt cluster"],
      ["not_primary_lessor", 2, "not a primary lessor"],
      ["member_not_found", 5, "etcdserver: member not found"],
      ["unhealthy", 14, "etcdserver: unhealthy cluster"],
      ["canceled", 1, "etcdserver: request canceled"],
      ["deadline_exceeded", 4, "context deadline exceeded"],
    ];
    for (const [code, number, text] of rows) {
      const error = new AetherError(code, "a detail");
      expect(failureOf(error)).toEqual({ code: number, message: text } as never);
      expect(textOf(error)).toBe(text);
    }
  });

  test("without a text of etcd's show their detail; causes are never shown", () => {
    const error = new AetherError("invalid_argument", "what is wrong", { cause: new Error("s") });
    expect(failureOf(error)).toEqual({ code: 3, message: "what is wrong" } as never);
  });

  test("that nobody expected are not answered", () => {
    expect(expectedFailure(new Error("ours"))).toBeUndefined();
    expect(expectedFailure(undefined)).toBeUndefined();
    expect(expectedFailure(new AetherError("stopped"))?.code as number).toBe(14);
  });
});
