/** Observers of an election who lose the right to its keys: not a value more, and told why. */
import { expect, test } from "bun:test";
import {
  AuthDisableRequest,
  AuthEnableRequest,
  AuthUserRevokeRoleRequest,
  PutRequest,
} from "../../src/proto/gen/etcdserverpb.ts";
import { Election, LeaderRequest, LeaderResponse } from "../../src/proto/gen/v3electionpb.ts";
import { ElectionService } from "../../src/rpc/election.ts";
import { WaitingCalls } from "../../src/rpc/waiting-calls.ts";
import { CommandKind } from "../../src/state/command.ts";
import type { StreamMethod } from "../../src/wire/grpc/server-call.ts";
import { type AuthHarness, enabled } from "./auth-harness.ts";
import { bytesOfMessage, CLUSTER, FakeCall } from "./harness.ts";

/** An election among k/…, which u may read. */
const NAME = "k";

/** Lets promises and turns go on until neither has anything to do. */
async function settle(harness: AuthHarness): Promise<void> {
  for (let round = 0; round < 20; round++) {
    harness.driven.settle();
    await new Promise((resolve) => setImmediate(resolve));
  }
}

const proclaimed = (harness: AuthHarness, text: string): void => {
  const value = Buffer.from(text);
  const body = bytesOfMessage(PutRequest, { key: `${NAME}/1`, value });
  const caller = { user: "root", authRevision: 1000 };
  harness.driven.group.propose(CommandKind.put, body, 0, body.length, () => {}, caller);
};

async function observing(harness: AuthHarness, shown: readonly string[]): Promise<FakeCall> {
  const { group, random } = harness.driven;
  const identity = { clusterId: CLUSTER, memberId: 1n };
  const backend = { group, random, identity, auth: harness.auth, ttlSecondsMin: 2 };
  const service = new ElectionService(backend, new WaitingCalls(backend));
  const isWanted = ({ path }: { path: string }): boolean => path === Election.Observe.path;
  const call = new FakeCall(Election.Observe.path, shown);
  call.handler = (service.methods().find(isWanted) as StreamMethod).stream(call);
  harness.say(call, bytesOfMessage(LeaderRequest, { name: NAME }));
  await settle(harness);
  return call;
}

const seen = (call: FakeCall): string[] =>
  call.decodeAll(LeaderResponse).map(({ kv }) => Buffer.from(kv?.value ?? []).toString());

test("who loses his role sees no later value of the leader", async () => {
  const harness = enabled();
  proclaimed(harness, "one");
  const call = await observing(harness, harness.token("u"));
  proclaimed(harness, "two");
  await settle(harness);
  expect([seen(call), call.text]).toEqual([["one", "two"], "open"]);
  const lost = bytesOfMessage(AuthUserRevokeRoleRequest, { name: "u", role: "r" });
  const root = { user: "root", authRevision: 1000 };
  const { group } = harness.driven;
  group.propose(CommandKind.userRevokeRole, lost, 0, lost.length, () => {}, root);
  proclaimed(harness, "secret");
  await settle(harness);
  expect([seen(call), call.text]).toEqual([["one", "two"], "2 etcdserver: permission denied"]);
});

test("who never said who he is sees nothing more once auth is enabled", async () => {
  const harness = enabled();
  const { group } = harness.driven;
  const root = { user: "root", authRevision: 1000 };
  const off = bytesOfMessage(AuthDisableRequest, {});
  group.propose(CommandKind.authDisable, off, 0, off.length, () => {}, root);
  proclaimed(harness, "one");
  const call = await observing(harness, []);
  harness.log(CommandKind.authEnable, AuthEnableRequest, {});
  proclaimed(harness, "secret");
  await settle(harness);
  expect([seen(call), call.text]).toEqual([["one"], "2 etcdserver: user name is empty"]);
});
