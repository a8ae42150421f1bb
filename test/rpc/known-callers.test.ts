/** The same header block again: known by a look, but not for longer than its token is good. */
import { beforeEach, describe, expect, test } from "bun:test";
import {
  Auth,
  AuthEnableRequest,
  AuthRoleAddRequest,
  AuthUserAddRequest,
  AuthUserGrantRoleRequest,
  KV,
} from "../../src/proto/gen/etcdserverpb.ts";
import { Authorizer } from "../../src/rpc/authorize.ts";
import { SimpleTokens } from "../../src/rpc/tokens.ts";
import { CommandKind } from "../../src/state/command.ts";
import { bytesOfMessage, FakeCall, Harness } from "./harness.ts";

const TOKEN = "abcdefghijklmnop.5";
const TTL_S = 300;

/** Counts how often it is asked. */
class CountedTokens extends SimpleTokens {
  asked = 0;

  override callerOf(...args: Parameters<SimpleTokens["callerOf"]>) {
    this.asked++;
    return super.callerOf(...args);
  }
}

let harness: Harness;
let tokens: CountedTokens;
let authorizer: Authorizer;
/** One call after the other shows the same object, as the wire does it. */
const call = new FakeCall(KV.Range.path, ["token", TOKEN]);

beforeEach(() => {
  harness = new Harness();
  const { group, clock, turn } = harness.driven;
  const user = { name: "root", options: { noPassword: true } };
  harness.call(Auth.UserAdd.path, AuthUserAddRequest, user);
  const grant = { user: "root", role: "root" };
  harness.call(Auth.UserGrantRole.path, AuthUserGrantRoleRequest, grant);
  harness.call(Auth.AuthEnable.path, AuthEnableRequest);
  tokens = new CountedTokens(clock, TTL_S);
  authorizer = new Authorizer({ group, tokens, clientCertAuth: false, clock, turn });
  authorizer.onAuth({ of: "token", user: "root", token: TOKEN, index: 5 });
  expect(authorizer.callerOf(call)?.user).toBe("root");
});

describe("a header block that was judged", () => {
  test("is known at once, and another one like it is judged for itself", () => {
    expect(authorizer.callerOf(call)?.user).toBe("root");
    expect(tokens.asked).toBe(1);
    authorizer.callerOf(new FakeCall(KV.Range.path, ["token", TOKEN]));
    expect(tokens.asked).toBe(2);
  });

  test("is judged again when users have changed, and has the new revision then", () => {
    const before = authorizer.callerOf(call)?.authRevision ?? 0;
    const body = bytesOfMessage(AuthRoleAddRequest, { name: "r" });
    const { group } = harness.driven;
    const caller = authorizer.callerOf(call);
    group.propose(CommandKind.roleAdd, body, 0, body.length, () => {}, caller);
    harness.driven.settle();
    expect(authorizer.callerOf(call)?.authRevision).toBe(before + 1);
  });

  test("is nobody's as soon as its token is void", () => {
    authorizer.onAuth({ of: "user", user: "root" });
    expect(() => authorizer.callerOf(call)).toThrow("invalid_auth_token");
  });

  test("is nobody's a tick after its token has run out", () => {
    harness.driven.clock.nowMs += TTL_S * 1000;
    authorizer.tick();
    expect(() => authorizer.callerOf(call)).toThrow("invalid_auth_token");
  });

  test("keeps its token alive by being shown", () => {
    for (let i = 0; i < 3; i++) {
      harness.driven.clock.nowMs += TTL_S * 1000 - 1;
      authorizer.tick();
      expect(authorizer.callerOf(call)?.user).toBe("root");
    }
  });
});
