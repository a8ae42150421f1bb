/** Where logins come from: who may have as many addresses as he likes is one guesser with them. */
import { expect, test } from "bun:test";
import { Auth, AuthenticateRequest } from "../../src/proto/gen/etcdserverpb.ts";
import { authMethods } from "../../src/rpc/auth.ts";
import { Passwords } from "../../src/rpc/passwords.ts";
import { SimpleTokens } from "../../src/rpc/tokens.ts";
import type { UnaryMethod } from "../../src/wire/grpc/server-call.ts";
import { MEMBER } from "../node/driven-group.ts";
import { enabled } from "./auth-harness.ts";
import { bytesOfMessage, CLUSTER, FakeCall, loggingTo } from "./harness.ts";

/** Failures in a row that cost nothing, and one. */
const FAILURES = 4;

test.each([
  ["addresses of one /64", (at: number): string => `[2001:db8::${at}]:4100${at}`, 1],
  ["ports of one IPv4 address", (at: number): string => `10.0.0.1:4100${at}`, 1],
  [
    "one IPv4 address in two spellings",
    (at: number) => `${["[::ffff:10.0.0.1]", "10.0.0.1"][at % 2]}:1`,
    1,
  ],
  ["networks of IPv6", (at: number): string => `[2001:db8:0:${at}::1]:41000`, 0],
])("wrong passwords from %s", async (_, peerAt, penalties) => {
  const { auth, driven } = enabled();
  const { group, clock } = driven;
  const passwords = new Passwords(4, 1);
  const methods = authMethods({
    ...{ group, auth, passwords, identity: { clusterId: CLUSTER, memberId: MEMBER } },
    ...{ tokens: new SimpleTokens(clock, 300), log: loggingTo([]) },
  });
  const login = methods.find(({ path }) => path === Auth.Authenticate.path) as UnaryMethod;
  const body = bytesOfMessage(AuthenticateRequest, { name: "root", password: "wrong" });
  for (let at = 0; at < FAILURES; at++) {
    const call = Object.assign(new FakeCall(login.path), { peer: peerAt(at) });
    login.unary(call, body, 0, body.length);
    driven.settle();
    while (call.ending === undefined) await Bun.sleep(0);
    expect(call.text).toContain("authentication failed");
  }
  expect(passwords.load.penaltyCount).toBe(penalties);
});
