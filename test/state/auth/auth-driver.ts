/** A machine with users and roles, asked for in few words, on somebody's behalf or nobody's. */
import { ByteWriter } from "../../../src/base/bytes.ts";
import { AetherError } from "../../../src/base/errors.ts";
import { Authenticated } from "../../../src/proto/gen/aether.v1.ts";
import { PermissionType } from "../../../src/proto/gen/authpb.ts";
import {
  AuthRoleAddRequest,
  AuthRoleDeleteRequest,
  AuthRoleGrantPermissionRequest,
  AuthRoleRevokePermissionRequest,
  AuthUserAddRequest,
  AuthUserChangePasswordRequest,
  AuthUserDeleteRequest,
  AuthUserGrantRoleRequest,
  AuthUserRevokeRoleRequest,
} from "../../../src/proto/gen/etcdserverpb.ts";
import type { Caller } from "../../../src/state/auth/caller.ts";
import {
  addCaller,
  addCommand,
  beginBatch,
  CommandKind,
  endBatch,
} from "../../../src/state/command.ts";
import type { AuthResult, Outcome } from "../../../src/state/results.ts";
import { type Command, Driver, encoded } from "../driver.ts";

const NOTHING = new Uint8Array(0);
const { READ, WRITE, READWRITE } = PermissionType;
export const TYPES = { read: READ, write: WRITE, both: READWRITE } as const;

export class AuthDriver extends Driver {
  /** On whose behalf commands are, at the present auth revision; undefined: nobody's. */
  user: string | undefined = undefined;

  get caller(): Caller | undefined {
    if (this.user === undefined) return undefined;
    return { user: this.user, authRevision: this.machine.auth.revision };
  }

  /** Applies one batch as it would lie in the log: each command on its caller's behalf. */
  batch(commands: readonly (Command & { readonly caller?: Caller | undefined })[]): Outcome[] {
    const out = new ByteWriter();
    beginBatch(out, 1n, 1);
    let last: Caller | undefined;
    for (const { kind, body, caller } of commands) {
      if (caller !== last) addCaller(out, caller);
      last = caller;
      addCommand(out, kind, body, 0, body.length);
    }
    const outcomes: Outcome[] = [];
    const payload = endBatch(out, commands.length);
    this.machine.apply(this.machine.appliedIndex + 1, this.term, payload, (at, outcome) => {
      outcomes[at] = outcome;
    });
    return outcomes;
  }

  override command(kind: CommandKind, body: Uint8Array): Outcome {
    return this.batch([{ kind, body, caller: this.caller }])[0] as Outcome;
  }

  enable = (): AuthResult => this.#auth(CommandKind.authEnable, NOTHING);
  disable = (): AuthResult => this.#auth(CommandKind.authDisable, NOTHING);

  authenticate(name: string, token: string, authRevision: number): AuthResult {
    const body = encoded(Authenticated, { name, token, authRevision });
    return this.#auth(CommandKind.authenticate, body);
  }

  /** Root with this hash, and auth on: what a cluster begins with. */
  begin(hashedPassword: string): AuthResult {
    const body = encoded(AuthUserAddRequest, { hashedPassword });
    return this.#auth(CommandKind.authBegin, body);
  }

  drawKey = (key: Uint8Array): AuthResult => this.#auth(CommandKind.signingKey, key);

  addUser(name: string, more: Partial<AuthUserAddRequest> = {}): AuthResult {
    return this.#auth(CommandKind.userAdd, encoded(AuthUserAddRequest, { name, ...more }));
  }

  deleteUser(name: string): AuthResult {
    return this.#auth(CommandKind.userDelete, encoded(AuthUserDeleteRequest, { name }));
  }

  changePassword(name: string, hashedPassword: string): AuthResult {
    const body = encoded(AuthUserChangePasswordRequest, { name, hashedPassword });
    return this.#auth(CommandKind.userChangePassword, body);
  }

  grantRole(user: string, role: string): AuthResult {
    const body = encoded(AuthUserGrantRoleRequest, { user, role });
    return this.#auth(CommandKind.userGrantRole, body);
  }

  revokeRole(name: string, role: string): AuthResult {
    const body = encoded(AuthUserRevokeRoleRequest, { name, role });
    return this.#auth(CommandKind.userRevokeRole, body);
  }

  addRole(name: string): AuthResult {
    return this.#auth(CommandKind.roleAdd, encoded(AuthRoleAddRequest, { name }));
  }

  deleteRole(role: string): AuthResult {
    return this.#auth(CommandKind.roleDelete, encoded(AuthRoleDeleteRequest, { role }));
  }

  permit(name: string, type: keyof typeof TYPES, key: string, rangeEnd = ""): AuthResult {
    const perm = { permType: TYPES[type], key, rangeEnd };
    const body = encoded(AuthRoleGrantPermissionRequest, { name, perm });
    return this.#auth(CommandKind.roleGrantPermission, body);
  }

  forbid(role: string, key: string, rangeEnd = ""): AuthResult {
    const body = encoded(AuthRoleRevokePermissionRequest, { role, key, rangeEnd });
    return this.#auth(CommandKind.roleRevokePermission, body);
  }

  /** The user root with the role root, auth switched on, and from then on root's behalf. */
  withRoot(): this {
    this.addUser("root");
    this.grantRole("root", "root");
    this.enable();
    this.user = "root";
    return this;
  }

  /** What `run` does on behalf of `user`, or of nobody. */
  as<T>(user: string | undefined, run: () => T): T {
    const before = this.user;
    this.user = user;
    try {
      return run();
    } finally {
      this.user = before;
    }
  }

  #auth(kind: CommandKind, body: Uint8Array): AuthResult {
    const outcome = this.command(kind, body);
    if (outcome instanceof AetherError) throw outcome;
    return outcome as AuthResult;
  }
}
