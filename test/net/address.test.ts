import { describe, expect, test } from "bun:test";
import { addressText, parseAddress } from "../../src/net/address.ts";

describe("address", () => {
  test.each([
    ["127.0.0.1:2379", { kind: "tcp", secure: false, host: "127.0.0.1", port: 2379 }],
    ["http://node-1.local:0", { kind: "tcp", secure: false, host: "node-1.local", port: 0 }],
    ["https://[::1]:2379/", { kind: "tcp", secure: true, host: "::1", port: 2379 }],
    [":2379", { kind: "tcp", secure: false, host: "0.0.0.0", port: 2379 }],
    ["unix:///run/a.sock", { kind: "unix", secure: false, path: "/run/a.sock" }],
    ["unixs://localhost:m0", { kind: "unix", secure: true, path: "localhost:m0" }],
    ["unix:a.sock", { kind: "unix", secure: false, path: "a.sock" }],
  ] as const)("%s", (text, address) => expect(parseAddress(text)).toEqual(address));

  test("a bare host:port is as secure as the caller says, a scheme overrules it", () => {
    expect(parseAddress("h:1", true).secure).toBe(true);
    expect(parseAddress("http://h:1", true).secure).toBe(false);
  });

  test.each(["", "host", "http://", "host:port", "host:65536", "1:2:3", "ftp://h:1", "h:1/path"])(
    "refuses %p",
    (text) => expect(() => parseAddress(text)).toThrow("invalid_argument"),
  );

  test("is written back as a person writes it", () => {
    expect(addressText(parseAddress("https://[::1]:1"))).toBe("[::1]:1");
    expect(addressText(parseAddress("http://h:1"))).toBe("h:1");
    expect(addressText(parseAddress("unix:///a"))).toBe("unix:/a");
  });
});
