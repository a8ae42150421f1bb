/** The commands of auth as they lie in the log. */
import { unreachable } from "../../base/assert.ts";
import { AetherError } from "../../base/errors.ts";
import { Authenticated } from "../../proto/gen/aether.v1.ts";
import {
  AuthDisableRequest,
  AuthEnableRequest,
  AuthRoleAddRequest,
  AuthRoleDeleteRequest,
  AuthRoleGrantPermissionRequest,
  AuthRoleRevokePermissionRequest,
  AuthUserAddRequest,
  AuthUserChangePasswordRequest,
  AuthUserDeleteRequest,
  AuthUserGrantRoleRequest,
  AuthUserRevokeRoleRequest,
} from "../../proto/gen/etcdserverpb.ts";
import { CommandKind } from "../command.ts";
import type { StateRecord } from "../ports.ts";
import type { AuthChange } from "../results.ts";
import type { AuthStore } from "./auth-store.ts";

type AuthKind = {
  [Name in keyof typeof CommandKind]: Name extends
    | `auth${string}`
    | `user${string}`
    | `role${string}`
    | "signingKey"
    ? (typeof CommandKind)[Name]
    : never;
}[keyof typeof CommandKind];

interface AuthCommand {
  readonly payload: Buffer;
  readonly start: number;
  readonly end: number;
  /** The index of its entry: a part of simple tokens. */
  readonly index: number;
}

const RULES: AuthChange = { of: "rules" };

export function isAuthCommand(kind: number): kind is AuthKind {
  return kind >= CommandKind.authEnable && kind <= CommandKind.authBegin;
}

/** Runs a command; what it changed is added to `records`. Fails as the store and authenticate. */
export function runAuth(
  store: AuthStore,
  kind: AuthKind,
  command: AuthCommand,
  records: StateRecord[],
): AuthChange {
  switch (kind) {
    case CommandKind.authEnable:
      AuthEnableRequest.decode(command.payload, command.start, command.end);
      store.enable(records);
      return RULES;
    case CommandKind.authDisable:
      AuthDisableRequest.decode(command.payload, command.start, command.end);
      store.disable(records);
      return { of: "everybody" };
    case CommandKind.authenticate:
      return authenticate(store, command);
    case CommandKind.signingKey:
      store.takeSigningKey(command.payload.subarray(command.start, command.end), records);
      return { of: "key" };
    case CommandKind.authBegin: {
      const { hashedPassword } = AuthUserAddRequest.decode(
        ...([command.payload, command.start, command.end] as const),
      );
      store.begin(hashedPassword, records);
      return RULES;
    }
    case CommandKind.userAdd:
    case CommandKind.userDelete:
    case CommandKind.userChangePassword:
    case CommandKind.userGrantRole:
    case CommandKind.userRevokeRole:
      return runOfUser(store, kind, command, records);
    default:
      runOfRole(store, kind, command, records);
      return RULES;
  }
}

/**
 * Gives a user who knew his password a token: the random part that was proposed and the index of
 * the entry, by which a member knows whether it should have seen it. Fails with auth_old_revision
 * if anything has changed since the password was checked, perhaps the password.
 */
function authenticate(store: AuthStore, { payload, start, end, index }: AuthCommand): AuthChange {
  const { name, token, authRevision } = Authenticated.decode(payload, start, end);
  if (!store.enabled) throw new AetherError("auth_not_enabled");
  const user = store.user(name);
  if (user === undefined || user.noPassword) throw new AetherError("auth_failed");
  if (authRevision !== store.revision) throw new AetherError("auth_old_revision");
  return { of: "token", user: name, token: token === "" ? "" : `${token}.${index}`, index };
}

type UserKind = Extract<AuthKind, 18 | 19 | 20 | 21 | 22>;

function runOfUser(
  store: AuthStore,
  kind: UserKind,
  { payload, start, end }: AuthCommand,
  records: StateRecord[],
): AuthChange {
  switch (kind) {
    case CommandKind.userAdd:
      store.addUser(AuthUserAddRequest.decode(payload, start, end), records);
      return RULES;
    case CommandKind.userDelete: {
      const { name } = AuthUserDeleteRequest.decode(payload, start, end);
      store.deleteUser(name, records);
      return { of: "user", user: name };
    }
    case CommandKind.userChangePassword: {
      const request = AuthUserChangePasswordRequest.decode(payload, start, end);
      store.changePassword(request, records);
      return { of: "user", user: request.name };
    }
    case CommandKind.userGrantRole: {
      const { user, role } = AuthUserGrantRoleRequest.decode(payload, start, end);
      store.grantRole(user, role, records);
      return RULES;
    }
    case CommandKind.userRevokeRole: {
      const { name, role } = AuthUserRevokeRoleRequest.decode(payload, start, end);
      store.revokeRole(name, role, records);
      return RULES;
    }
    default:
      unreachable(kind);
  }
}

function runOfRole(
  store: AuthStore,
  kind: Exclude<AuthKind, UserKind | 15 | 16 | 17 | 27 | 28>,
  { payload, start, end }: AuthCommand,
  records: StateRecord[],
): void {
  switch (kind) {
    case CommandKind.roleAdd:
      store.addRole(AuthRoleAddRequest.decode(payload, start, end).name, records);
      break;
    case CommandKind.roleDelete:
      store.deleteRole(AuthRoleDeleteRequest.decode(payload, start, end).role, records);
      break;
    case CommandKind.roleGrantPermission:
      store.grantPermission(AuthRoleGrantPermissionRequest.decode(payload, start, end), records);
      break;
    case CommandKind.roleRevokePermission:
      store.revokePermission(AuthRoleRevokePermissionRequest.decode(payload, start, end), records);
      break;
    default:
      unreachable(kind);
  }
}
