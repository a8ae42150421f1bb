/**
 * Auth: who the users are, what they may do, and tokens for those who know their passwords. etcd's
 * face and ours have messages of the same shape.
 *
 * Changes go through the log and are judged there. Questions are answered from the state as of
 * everything decided before. A password never goes into the log: here it is hashed, or compared
 * with its hash, and what the log carries is the hash, or that the password was right.
 */
import { ByteWriter } from "../base/bytes.ts";
import { AetherError } from "../base/errors.ts";
import type { Log } from "../base/ports.ts";
import { sourceOfPeer } from "../base/source.ts";
import { KIB } from "../base/units.ts";
import type { Group } from "../node/group.ts";
import { AetherAuth, Authenticated } from "../proto/gen/aether.v1.ts";
import {
  Auth,
  AuthDisableRequest,
  AuthEnableRequest,
  AuthenticateRequest,
  AuthenticateResponse,
  AuthRoleAddRequest,
  AuthRoleDeleteRequest,
  AuthRoleGetRequest,
  AuthRoleGetResponse,
  AuthRoleGrantPermissionRequest,
  AuthRoleListRequest,
  AuthRoleListResponse,
  AuthRoleRevokePermissionRequest,
  AuthStatusRequest,
  AuthStatusResponse,
  AuthUserAddRequest,
  AuthUserAddResponse,
  AuthUserChangePasswordRequest,
  AuthUserDeleteRequest,
  AuthUserGetRequest,
  AuthUserGetResponse,
  AuthUserGrantRoleRequest,
  AuthUserListRequest,
  AuthUserListResponse,
  AuthUserRevokeRoleRequest,
  type ResponseHeader,
} from "../proto/gen/etcdserverpb.ts";
import type { MessageType } from "../proto/message.ts";
import type { AuthStore } from "../state/auth/auth-store.ts";
import { CommandKind } from "../state/command.ts";
import type { AuthResult } from "../state/results.ts";
import type { Method, ServerCall, UnaryMethod } from "../wire/grpc/server-call.ts";
import { checkSize, decodeRequest, fail, guarded, reply } from "./answer.ts";
import type { Authorizer } from "./authorize.ts";
import { headerAt, type Identity } from "./headers.ts";
import { LoginFailures } from "./login-failures.ts";
import type { Asker } from "./login-queue.ts";
import type { Passwords } from "./passwords.ts";
import { failProposal } from "./refused-proposal.ts";
import type { Tokens } from "./tokens.ts";

/** A password is checked again if users were changed meanwhile; a quiet moment comes soon. */
const ATTEMPTS_MAX = 20;

/** A login's bytes: a name, and the 72 bytes that count of a password. A thousand may wait. */
const LOGIN_BYTES_MAX = 16 * KIB;

/** Characters of a name that is kept as it is where names are counted; longer ones are hashed. */
const COUNTED_NAME_MAX = 128;

export interface AuthBackend {
  readonly group: Group;
  readonly identity: Identity;
  readonly auth: Authorizer;
  readonly tokens: Tokens;
  readonly passwords: Passwords;
  readonly log: Log;
}

type Handler = UnaryMethod["unary"];

export function authMethods(backend: AuthBackend): Method[] {
  const handlers = new AuthCalls(backend).handlers();
  return Object.entries(handlers).flatMap(([name, unary]) => {
    const method = name as keyof typeof Auth;
    return [Auth, AetherAuth].map((service) => ({ path: service[method].path, unary }));
  });
}

class AuthCalls {
  readonly #backend: AuthBackend;
  readonly #failures: LoginFailures;
  readonly #body = new ByteWriter(256);

  constructor(backend: AuthBackend) {
    this.#backend = backend;
    this.#failures = new LoginFailures(backend.log);
  }

  handlers(): Record<keyof typeof Auth, Handler> {
    const { authEnable, authDisable, userDelete, userGrantRole, userRevokeRole } = CommandKind;
    const { roleAdd, roleDelete, roleGrantPermission, roleRevokePermission } = CommandKind;
    return {
      AuthEnable: this.#change(authEnable, AuthEnableRequest),
      AuthDisable: this.#change(authDisable, AuthDisableRequest),
      AuthStatus: this.#status(),
      Authenticate: this.#authenticate(),
      UserAdd: this.#addUser(),
      UserGet: this.#userGet(),
      UserList: this.#userList(),
      UserDelete: this.#change(userDelete, AuthUserDeleteRequest),
      UserChangePassword: this.#changePassword(),
      UserGrantRole: this.#change(userGrantRole, AuthUserGrantRoleRequest),
      UserRevokeRole: this.#change(userRevokeRole, AuthUserRevokeRoleRequest),
      RoleAdd: this.#change(roleAdd, AuthRoleAddRequest),
      RoleGet: this.#roleGet(),
      RoleList: this.#roleList(),
      RoleDelete: this.#change(roleDelete, AuthRoleDeleteRequest),
      RoleGrantPermission: this.#change(roleGrantPermission, AuthRoleGrantPermissionRequest),
      RoleRevokePermission: this.#change(roleRevokePermission, AuthRoleRevokePermissionRequest),
    };
  }

  get #auth(): AuthStore {
    return this.#backend.group.machine.auth;
  }

  #header(): ResponseHeader {
    const { identity, group } = this.#backend;
    return headerAt(identity, group.machine.revision, group.term);
  }

  /** A request whose bytes are the command; its answer is a header. */
  #change(kind: CommandKind, type: MessageType<unknown>): Handler {
    return (call, bytes, start, end) => {
      decodeRequest(type, bytes, start, end);
      checkSize(start, end);
      this.#propose(call, kind, bytes, start, end);
    };
  }

  #propose(
    call: ServerCall,
    kind: CommandKind,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): void {
    const { group, auth } = this.#backend;
    const caller = auth.callerOf(call);
    const onOutcome: Parameters<Group["propose"]>[4] = (outcome) => {
      if (outcome instanceof AetherError) failProposal(call, group, outcome);
      else reply(call, AuthUserAddResponse, { header: this.#header() }); // all of them look alike
    };
    group.propose(kind, bytes, start, end, onOutcome, caller);
  }

  #proposeMessage<T>(call: ServerCall, kind: CommandKind, type: MessageType<T>, message: T): void {
    const body = this.#encode(type, message);
    checkSize(0, body.length);
    this.#propose(call, kind, body, 0, body.length);
  }

  /** Borrowed until the next call. */
  #encode<T>(type: MessageType<T>, message: T): Uint8Array {
    this.#body.reset();
    type.encode(message, this.#body);
    return this.#body.view();
  }

  /** etcd hashes what comes as a password, also an empty one, whatever comes as a hash. */
  #addUser(): Handler {
    return (call, bytes, start, end) => {
      const request = decodeRequest(AuthUserAddRequest, bytes, start, end);
      const isNative = call.path === AetherAuth.UserAdd.path;
      const propose = (hashedPassword: string): void => {
        const message = { ...request, password: "", hashedPassword };
        this.#proposeMessage(call, CommandKind.userAdd, AuthUserAddRequest, message);
      };
      if (request.options?.noPassword === true) propose("");
      else if (isNative && request.password === "" && request.hashedPassword !== "") {
        propose(request.hashedPassword);
      } else this.#hash(call, request.password, propose);
    };
  }

  /** etcd takes an empty password for "the hash is given", which may be empty, too. */
  #changePassword(): Handler {
    return (call, bytes, start, end) => {
      const request = decodeRequest(AuthUserChangePasswordRequest, bytes, start, end);
      const propose = (hashedPassword: string): void => {
        const message = { ...request, password: "", hashedPassword };
        const type = AuthUserChangePasswordRequest;
        this.#proposeMessage(call, CommandKind.userChangePassword, type, message);
      };
      if (request.password === "") propose(request.hashedPassword);
      else this.#hash(call, request.password, propose);
    };
  }

  /** Hashes for those who may set passwords only: it takes long. */
  #hash(call: ServerCall, password: string, use: (hash: string) => void): void {
    this.#whenRead(call, () => {
      this.#backend.auth.checkRoot(call);
      this.#later(call, this.#backend.passwords.hash(password, wanting(call)), use);
    });
  }

  #authenticate(): Handler {
    return (call, bytes, start, end) => {
      if (end - start > LOGIN_BYTES_MAX) throw new AetherError("request_too_large");
      const { name, password } = decodeRequest(AuthenticateRequest, bytes, start, end);
      this.#attempt(call, name, password, ATTEMPTS_MAX);
    };
  }

  /** Compares the password with what everybody agrees on, and says so in the log. */
  #attempt(call: ServerCall, name: string, password: string, attemptsLeft: number): void {
    this.#whenRead(call, () => {
      if (!this.#auth.enabled) throw new AetherError("auth_not_enabled");
      const { noPassword = true, password: hash } = this.#auth.user(name) ?? {};
      const { revision } = this.#auth;
      const { passwords } = this.#backend;
      const given = passwords.isOf(password, noPassword ? undefined : hash, askerOf(call, name));
      this.#later(call, given, (isOf) => {
        if (!isOf) throw this.#refused(call, name);
        this.#giveToken(call, name, revision, () => {
          if (attemptsLeft <= 0) throw new AetherError("auth_old_revision");
          this.#attempt(call, name, password, attemptsLeft - 1);
        });
      });
    });
  }

  /**
   * Whoever guards a cluster wants to see who tries. The client is not told whether it was the name
   * or the password, nor, as etcd would, that there is a user of this name without a password.
   */
  #refused({ peer }: ServerCall, name: string): AetherError {
    this.#failures.failed(name, peer);
    return new AetherError("auth_failed");
  }

  /** `again` runs if users were changed after the password was compared. */
  #giveToken(call: ServerCall, name: string, authRevision: number, again: () => void): void {
    const { group, tokens } = this.#backend;
    const body = this.#encode(Authenticated, { name, token: tokens.draw(), authRevision });
    group.propose(CommandKind.authenticate, body, 0, body.length, (outcome) => {
      guarded(call, () => {
        if (outcome instanceof AetherError) {
          if (outcome.code === "auth_old_revision") again();
          else failProposal(call, group, outcome);
        } else if (outcome.kind === "auth") this.#answerToken(call, outcome);
      });
    });
  }

  /** Where tokens are signed by a key that nobody has given, the first one has it drawn. */
  #answerToken(call: ServerCall, { change, authRevision }: AuthResult): void {
    if (change.of !== "token") throw new AetherError("auth_failed", "the log gave no token");
    const { group, tokens } = this.#backend;
    const issue = (): void => {
      this.#later(call, tokens.issue({ ...change, authRevision }, this.#auth), (token) => {
        reply(call, AuthenticateResponse, { header: this.#header(), token });
      });
    };
    const key = tokens.drawKey(this.#auth);
    if (key === undefined) issue();
    else {
      group.propose(CommandKind.signingKey, key, 0, key.length, (outcome) => {
        if (outcome instanceof AetherError) failProposal(call, group, outcome);
        else guarded(call, issue);
      });
    }
  }

  #status(): Handler {
    return this.#ask(AuthStatusRequest, (call) => {
      const { enabled, revision: authRevision } = this.#auth;
      reply(call, AuthStatusResponse, { header: this.#header(), enabled, authRevision });
    });
  }

  /** A user may ask about himself. */
  #userGet(): Handler {
    return this.#ask(AuthUserGetRequest, (call, { name }) => {
      const { auth } = this.#backend;
      if (auth.callerOf(call)?.user !== name) auth.checkRoot(call);
      const user = this.#auth.user(name);
      if (user === undefined) throw new AetherError("user_not_found");
      reply(call, AuthUserGetResponse, { header: this.#header(), roles: [...user.roles] });
    });
  }

  #userList(): Handler {
    return this.#ask(AuthUserListRequest, (call) => {
      this.#backend.auth.checkRoot(call);
      const users = this.#auth.users().map(({ name }) => name);
      reply(call, AuthUserListResponse, { header: this.#header(), users });
    });
  }

  /** A user may ask about the roles that he has. */
  #roleGet(): Handler {
    return this.#ask(AuthRoleGetRequest, (call, { role }) => {
      const { auth } = this.#backend;
      const user = auth.callerOf(call)?.user;
      if (user === undefined || !this.#auth.hasRole(user, role)) auth.checkRoot(call);
      const perm = [...this.#auth.permissionsOf(role)];
      reply(call, AuthRoleGetResponse, { header: this.#header(), perm });
    });
  }

  #roleList(): Handler {
    return this.#ask(AuthRoleListRequest, (call) => {
      this.#backend.auth.checkRoot(call);
      const roles = this.#auth.roles().map(({ name }) => name);
      reply(call, AuthRoleListResponse, { header: this.#header(), roles });
    });
  }

  /** A question about the state as of everything decided before. */
  #ask<T>(type: MessageType<T>, answer: (call: ServerCall, request: T) => void): Handler {
    return (call, bytes, start, end) => {
      const request = decodeRequest(type, bytes, start, end);
      this.#whenRead(call, () => answer(call, request));
    };
  }

  #whenRead(call: ServerCall, act: () => void): void {
    this.#backend.group.read((error) => {
      if (error !== undefined) fail(call, error);
      else guarded(call, act);
    });
  }

  /** Goes on with what a thread has worked out. */
  #later<T>(call: ServerCall, work: Promise<T>, use: (value: T) => void): void {
    work.then(
      (value) => guarded(call, () => use(value)),
      (error: unknown) =>
        guarded(call, () => {
          throw error;
        }),
    );
  }
}

/** Whose turn it is to have his password looked at is a matter of who and from where. */
function askerOf(call: ServerCall, name: string): Asker {
  const user = name.length > COUNTED_NAME_MAX ? Bun.hash(name).toString(36) : name;
  return { user, host: sourceOfPeer(call.peer), isWanted: wanting(call) };
}

/** Whether somebody waits for the answer. */
function wanting(call: ServerCall): () => boolean {
  return () => !call.cancelled;
}
