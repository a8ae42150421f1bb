import { expect, test } from "bun:test";
import { peerTrust } from "../../src/server/peer-trust.ts";

type Words = Parameters<typeof peerTrust>[0];

const SHARED: Words = { listenPeer: [] };
const OWN: Words = { listenPeer: ["http://0.0.0.0:2380"] };

function isBelieved(words: Words, address: string, certificateName?: string): boolean {
  return peerTrust(words)({ address, certificateName }) === undefined;
}

test("a stranger of another machine has to prove that it belongs here, in both dialects", () => {
  for (const words of [SHARED, OWN]) {
    expect(isBelieved(words, "192.0.2.1:4000")).toBe(false);
    expect(isBelieved(words, "127.0.0.1:4000")).toBe(true);
  }
});

test("a certificate proves it where members alone come", () => {
  expect(isBelieved(OWN, "192.0.2.1:4000", "alice")).toBe(true);
});

test("where clients come as well, any client's certificate is not a member's", () => {
  expect(isBelieved(SHARED, "192.0.2.1:4000", "alice")).toBe(false);
});
