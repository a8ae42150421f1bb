import { expect, test } from "bun:test";
import type { PeerCertificate } from "node:tls";
import { unnamedCaller } from "../../src/net/caller-name.ts";

const naming = (subjectaltname: string): PeerCertificate => {
  return { subjectaltname } as PeerCertificate;
};

/** As etcd's listener decides (transport/listener_tls.go): addresses first, then names by DNS. */
const table: readonly (readonly [names: string, caller: string, isNamed: boolean])[] = [
  ["", "192.0.2.1", true],
  ["email:a@b.example", "192.0.2.1", true],
  ["IP Address:192.0.2.1", "192.0.2.1", true],
  ["IP Address:192.0.2.2", "192.0.2.1", false],
  ["DNS:somewhere, IP Address:192.0.2.2, IP Address:192.0.2.1", "192.0.2.1", true],
  ["IP Address:0:0:0:0:0:0:0:1", "::1", true],
  ["DNS:localhost", "127.0.0.1", true],
  ["DNS:localhost, IP Address:192.0.2.2", "127.0.0.1", true],
  ["DNS:nowhere.invalid", "127.0.0.1", false],
  ["DNS:*.invalid", "127.0.0.1", false],
];

test.each(table)("%p names %s: %p", async (names, caller, isNamed) => {
  expect((await unnamedCaller(naming(names), caller)) === undefined).toBe(isNamed);
});
