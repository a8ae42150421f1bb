/** Header fields as metadata and deadlines. */
import { describe, expect, test } from "bun:test";
import { metadataOf, timeoutMsOf } from "../../../src/gateway/json/metadata.ts";
import { HttpHeaders, type HttpRequest } from "../../../src/wire/http1/http.ts";

const request = (peer: string, ...fields: string[]): HttpRequest => ({
  ...{ method: "POST", path: "/v3/kv/range", query: "", body: new Uint8Array(0) },
  ...{ peer, siblings: 1, peerName: undefined, secure: false, headers: new HttpHeaders(fields) },
});
const metadata = (...fields: string[]): readonly string[] =>
  metadataOf(request("10.0.0.1:5", ...fields)).fields;
const CLIENT = ["x-forwarded-for", "10.0.0.1"];

describe("metadata", () => {
  test("has the token under both of its names", () => {
    expect(metadata("authorization", "t")).toEqual([
      ...["authorization", "t", "grpcgateway-authorization", "t", ...CLIENT],
    ]);
    expect(metadata("grpc-metadata-token", "t")).toEqual(["token", "t", ...CLIENT]);
  });

  test("has known fields under a prefix, and no others", () => {
    expect(metadata("user-agent", "curl", "x-other", "a", "accept", "*/*")).toEqual([
      ...["grpcgateway-user-agent", "curl", "grpcgateway-accept", "*/*", ...CLIENT],
    ]);
  });

  test("has no field that gRPC does not allow", () => {
    expect(metadata("grpc-metadata-a!b", "x", "grpc-metadata-c", "\xe9")).toEqual(CLIENT);
    expect(metadata("grpc-metadata-", "x")).toEqual(CLIENT);
  });

  test("has binary fields as base64, without padding", () => {
    expect(metadata("grpc-metadata-a-bin", "AAE=")).toEqual(["a-bin", "AAE", ...CLIENT]);
    expect(() => metadata("grpc-metadata-foo-bin", "!!")).toThrow(
      "invalid binary header Grpc-Metadata-Foo-Bin",
    );
  });

  test("says who asked whom", () => {
    expect(metadata("host", "me:1")).toEqual([
      ...["grpcgateway-host", "me:1", "x-forwarded-host", "me:1", ...CLIENT],
    ]);
    expect(metadata("x-forwarded-host", "front", "x-forwarded-for", "1.2.3.4")).toEqual([
      ...["x-forwarded-host", "front", "x-forwarded-for", "1.2.3.4, 10.0.0.1"],
    ]);
    expect(metadataOf(request("[::1]:5")).get("x-forwarded-for")).toBe("::1");
    expect(metadataOf(request("unix")).fields).toEqual([]);
  });
});

test("timeouts", () => {
  const timeout = (text: string): number => timeoutMsOf(request("a:1", "grpc-timeout", text));
  expect(timeoutMsOf(request("a:1"))).toBe(Number.POSITIVE_INFINITY);
  expect([timeout("2S"), timeout("500m"), timeout("3u"), timeout("1H")]).toEqual([
    2000, 500, 0.003, 3_600_000,
  ]);
  expect(timeout("-5S")).toBe(-5000);
  expect(timeout("0S")).toBe(Number.POSITIVE_INFINITY);
  expect(timeout("")).toBe(Number.POSITIVE_INFINITY);
  for (const text of ["abc", "5", "S", "5s", "1.5S", "0x1S", "9999999999999999999S"]) {
    expect(() => timeout(text)).toThrow(`invalid grpc-timeout: ${text}`);
  }
});
