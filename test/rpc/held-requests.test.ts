/** Calls with tokens that are not known yet: what they hold together is bounded, and given back. */
import { expect, test } from "bun:test";
import { KIB, MIB } from "../../src/base/units.ts";
import {
  KV,
  PutRequest,
  Watch,
  WatchCreateRequest,
  WatchRequest,
  WatchResponse,
} from "../../src/proto/gen/etcdserverpb.ts";
import { HELD_REQUESTS_BYTES_MAX } from "../../src/rpc/held-requests.ts";
import { type AuthHarness, enabled } from "./auth-harness.ts";
import { bytesOfMessage, type FakeCall } from "./harness.ts";

const BAD_TOKEN = "16 etcdserver: invalid auth token";
const MANY = 8;

/** A token of an entry that will not come. */
const early = ({ driven }: AuthHarness): string[] => [
  ...["token", `abcdefghijklmnop.${driven.group.appliedIndex + 1000}`],
];

/** Five seconds later nobody waits any more. */
function giveUp(harness: AuthHarness): void {
  harness.driven.clock.nowMs += 5000;
  harness.auth.tick();
}

test("unary calls beyond the bound are refused, and the others give back what they held", () => {
  const harness = enabled();
  const value = new Uint8Array(MIB);
  const request = bytesOfMessage(PutRequest, { key: "k", value });
  const fitting = Math.floor(HELD_REQUESTS_BYTES_MAX / request.length);
  const calls: FakeCall[] = [];
  for (let count = 0; count < fitting + MANY; count++) {
    calls.push(harness.start(KV.Put.path, request, early(harness)));
  }
  expect(calls.filter(({ text }) => text === "open").length).toBe(fitting);
  expect(calls.at(-1)?.text).toStartWith("8 ");
  expect(harness.auth.held.refusedCount).toBe(MANY);
  giveUp(harness);
  expect(calls[0]?.text).toBe(BAD_TOKEN);
  expect(harness.auth.held.heldBytes).toBe(0);
});

test("calls that find no place to wait hold nothing", () => {
  const harness = enabled();
  const request = bytesOfMessage(PutRequest, { key: "k" });
  const calls = Array.from({ length: 1000 + MANY }, () =>
    harness.start(KV.Put.path, request, early(harness)),
  );
  expect(calls.filter(({ text }) => text === "open").length).toBe(1000);
  expect(calls.at(-1)?.text).toStartWith("8 ");
  expect(harness.auth.held.heldBytes).toBe(1000 * request.length);
  giveUp(harness);
  expect(harness.auth.held.heldBytes).toBe(0);
});

test("streams are bounded with them, and give back what they held however they end", () => {
  const harness = enabled();
  const createRequest = WatchCreateRequest.create({ key: "k".repeat(200 * KIB) });
  const said = bytesOfMessage(WatchRequest, { createRequest });
  const fitting = Math.floor(HELD_REQUESTS_BYTES_MAX / said.length);
  const calls: FakeCall[] = [];
  for (let count = 0; count < fitting + MANY; count++) {
    const call = harness.start(Watch.Watch.path, undefined, early(harness));
    harness.say(call, said);
    calls.push(call);
  }
  expect(calls.filter(({ text }) => text === "open").length).toBe(fitting);
  expect(calls.at(-1)?.text).toStartWith("8 ");
  const [greedy, gone] = calls;
  if (greedy !== undefined) harness.say(greedy, said); // more than one stream may keep
  gone?.cancel();
  expect(greedy?.text).toStartWith("8 ");
  expect(harness.auth.held.heldBytes).toBe((fitting - 2) * said.length);
  giveUp(harness);
  expect(calls[2]?.decode(WatchResponse).cancelReason).toContain("invalid auth token");
  expect(harness.auth.held.heldBytes).toBe(0);
});
