import { expect, test } from "bun:test";
import type { PeerIdentity } from "../../src/net/peers/ports.ts";
import { PeerHello } from "../../src/proto/gen/aether.v1.ts";
import { loadConfig } from "../../src/server/config/config.ts";
import { peerTrust } from "../../src/server/peer-trust.ts";

const FAR: PeerIdentity = {
  address: "192.0.2.1:4000",
  certificateName: undefined,
  secret: undefined,
};

function isBelieved(words: Record<string, string>, secret: string, peer: PeerIdentity): boolean {
  const environment = secret === "" ? {} : { AETHER_CLUSTER_SECRET: secret };
  const config = loadConfig({ environment, flags: new Map(Object.entries(words)) });
  return peerTrust(config)(PeerHello.create({}), peer) === undefined;
}

test("in our words a stranger of another machine has to prove that it belongs here", () => {
  expect(isBelieved({}, "", FAR)).toBe(false);
  expect(isBelieved({}, "", { ...FAR, address: "127.0.0.1:4000" })).toBe(true);
  expect(isBelieved({}, "", { ...FAR, certificateName: "a" })).toBe(true);
  expect(isBelieved({}, "s", { ...FAR, secret: "s" })).toBe(true);
});

test("in etcd's words whoever comes in is believed, unless there is a secret", () => {
  expect(isBelieved({ name: "a" }, "", FAR)).toBe(true);
  expect(isBelieved({ name: "a" }, "s", FAR)).toBe(false);
  expect(isBelieved({ name: "a" }, "s", { ...FAR, secret: "s" })).toBe(true);
});
