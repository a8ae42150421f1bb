/** Watchers whose users lose the right to what they watch: not an event more, and told why. */
import { describe, expect, test } from "bun:test";
import { AetherWatch } from "../../src/proto/gen/aether.v1.ts";
import {
  AuthDisableRequest,
  AuthEnableRequest,
  AuthRoleRevokePermissionRequest,
  AuthUserChangePasswordRequest,
  AuthUserDeleteRequest,
  PutRequest,
  Watch,
  WatchCreateRequest,
  WatchRequest,
  WatchResponse,
} from "../../src/proto/gen/etcdserverpb.ts";
import { CommandKind } from "../../src/state/command.ts";
import { type AuthHarness, enabled } from "./auth-harness.ts";
import { bytesOfMessage, type FakeCall } from "./harness.ts";

const DENIED = "rpc error: code = PermissionDenied desc = etcdserver: permission denied";
const EMPTY = "rpc error: code = InvalidArgument desc = etcdserver: user name is empty";

/** A stream of this token, or of nobody, that watches so many keys. */
function watching(
  harness: AuthHarness,
  shown: readonly string[],
  path = Watch.Watch.path,
  range = { key: "k", rangeEnd: "l" },
): FakeCall {
  const createRequest = WatchCreateRequest.create(range);
  const request = bytesOfMessage(WatchRequest, { createRequest });
  const call = harness.start(path, request, shown);
  harness.say(call, request);
  harness.driven.settle();
  expect(call.decode(WatchResponse)).toMatchObject({ created: true, canceled: false });
  call.messages.length = 0;
  return call;
}

/** As root, in the log; whatever changes before it in the same entry. */
function asRoot(harness: AuthHarness, kind: CommandKind, body: Uint8Array): void {
  const caller = { user: "root", authRevision: 1000 };
  harness.driven.group.propose(kind, body, 0, body.length, () => {}, caller);
}

const put = (harness: AuthHarness, key: string): void =>
  asRoot(harness, CommandKind.put, bytesOfMessage(PutRequest, { key }));

const forbid = bytesOfMessage(AuthRoleRevokePermissionRequest, {
  role: "r",
  key: "k",
  rangeEnd: "l",
});

/** What a watcher was told, in short. */
const told = (call: FakeCall): string[] =>
  call
    .decodeAll(WatchResponse)
    .map(({ events, canceled, cancelReason }) =>
      canceled ? `canceled ${cancelReason}` : events.map(({ kv }) => kv?.key).join(),
    );

for (const path of [Watch.Watch.path, AetherWatch.Watch.path]) {
  describe(path, () => {
    test("a right that is taken ends the watcher, before what comes behind it in the log", () => {
      const harness = enabled();
      const call = watching(harness, harness.token("u"), path);
      put(harness, "k1");
      harness.driven.settle();
      asRoot(harness, CommandKind.roleRevokePermission, forbid);
      put(harness, "k2"); // in the same batch
      harness.driven.settle();
      expect(told(call)).toEqual(["k1"]);
      harness.watch.tick();
      expect(told(call)).toEqual(["k1", `canceled ${DENIED}`]);
      put(harness, "k3");
      harness.driven.settle();
      expect(call.messages.length).toBe(2);
      expect(call.text).toBe("open");
    });

    test("so does the end of the user, and not another password of his", () => {
      const harness = enabled();
      const call = watching(harness, harness.token("u"), path);
      const change = bytesOfMessage(AuthUserChangePasswordRequest, { name: "u" });
      asRoot(harness, CommandKind.userChangePassword, change);
      put(harness, "k1");
      harness.driven.settle();
      harness.watch.tick();
      expect(told(call)).toEqual(["k1"]);
      const gone = bytesOfMessage(AuthUserDeleteRequest, { name: "u" });
      asRoot(harness, CommandKind.userDelete, gone);
      harness.driven.settle();
      harness.watch.tick(); // without an event, too
      expect(told(call)).toEqual(["k1", `canceled ${DENIED}`]);
    });
  });
}

test("who watched before auth was enabled has to say who he is", () => {
  const harness = enabled();
  asRoot(harness, CommandKind.authDisable, bytesOfMessage(AuthDisableRequest, {}));
  harness.driven.settle();
  const call = watching(harness, []);
  put(harness, "k1");
  harness.driven.settle();
  asRoot(harness, CommandKind.authEnable, bytesOfMessage(AuthEnableRequest, {}));
  put(harness, "k2");
  harness.driven.settle();
  harness.watch.tick();
  expect(told(call)).toEqual(["k1", `canceled ${EMPTY}`]);
});

test("others on the same stream, and those who may, see everything as before", () => {
  const harness = enabled();
  const root = watching(harness, harness.token("root"));
  const user = watching(harness, harness.token("u"));
  const all = { key: "\0", rangeEnd: "\0" };
  const everything = watching(harness, harness.token("root"), Watch.Watch.path, all);
  asRoot(harness, CommandKind.roleRevokePermission, forbid);
  put(harness, "k1");
  harness.driven.settle();
  for (let i = 0; i < 3; i++) harness.watch.tick();
  expect(told(root)).toEqual(["k1"]);
  expect(told(everything)).toEqual(["k1"]);
  expect(told(user)).toEqual([`canceled ${DENIED}`]);
});
