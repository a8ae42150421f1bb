/** Services with auth enabled, users who may different things, and tokens for them. */
import { expect } from "bun:test";
import { AetherError } from "../../src/base/errors.ts";
import { Authenticated } from "../../src/proto/gen/aether.v1.ts";
import { PermissionType } from "../../src/proto/gen/authpb.ts";
import {
  AuthEnableRequest,
  AuthRoleAddRequest,
  AuthRoleGrantPermissionRequest,
  AuthUserAddRequest,
  AuthUserGrantRoleRequest,
  LeaseGrantRequest,
  PutRequest,
} from "../../src/proto/gen/etcdserverpb.ts";
import type { MessageType } from "../../src/proto/message.ts";
import { CommandKind } from "../../src/state/command.ts";
import type { Outcome } from "../../src/state/results.ts";
import { bytesOfMessage, Harness } from "./harness.ts";

export class AuthHarness extends Harness {
  /** Runs a command of the log on nobody's behalf, as before auth was switched on. */
  log<T>(kind: CommandKind, type: MessageType<T>, partial: Partial<T>): Outcome {
    const body = bytesOfMessage(type, partial);
    let answer: Outcome | undefined;
    this.driven.group.propose(kind, body, 0, body.length, (outcome) => {
      answer = outcome;
    });
    this.driven.settle();
    if (answer === undefined) throw new Error("the log does not answer");
    return answer;
  }

  /** A token of the user, as fields of a call. */
  token(name: string): string[] {
    const { revision: authRevision } = this.driven.group.machine.auth;
    const body = { name, token: "abcdefghijklmnop", authRevision };
    const outcome = this.log(CommandKind.authenticate, Authenticated, body);
    if (outcome instanceof AetherError) throw outcome;
    if (outcome.kind !== "auth" || outcome.change.of !== "token") throw new Error("no token");
    return ["token", outcome.change.token];
  }
}

/** root; u, who may read and write [k, l); n, who may nothing. */
export function enabled(): AuthHarness {
  const harness = new AuthHarness();
  for (const name of ["root", "u", "n"]) {
    harness.log(CommandKind.userAdd, AuthUserAddRequest, { name });
  }
  harness.log(CommandKind.roleAdd, AuthRoleAddRequest, { name: "r" });
  const perm = { permType: PermissionType.READWRITE, key: "k", rangeEnd: "l" };
  const grant = { name: "r", perm };
  harness.log(CommandKind.roleGrantPermission, AuthRoleGrantPermissionRequest, grant);
  harness.log(CommandKind.userGrantRole, AuthUserGrantRoleRequest, { user: "u", role: "r" });
  const root = { user: "root", role: "root" };
  harness.log(CommandKind.userGrantRole, AuthUserGrantRoleRequest, root);
  for (const ID of [1n, 2n])
    harness.log(CommandKind.leaseGrant, LeaseGrantRequest, { ID, TTL: 60 });
  harness.log(CommandKind.put, PutRequest, { key: "k", lease: 1n });
  harness.log(CommandKind.put, PutRequest, { key: "z", lease: 2n });
  harness.log(CommandKind.authEnable, AuthEnableRequest, {});
  expect(harness.auth.enabled).toBe(true);
  return harness;
}
