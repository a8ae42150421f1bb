/**
 * Users, roles and whether anybody is asked who he is: etcd's auth store (server/auth/store.go) as
 * a part of the replicated machine. Each change of users or roles, and disabling, raises the auth
 * revision; none makes a revision of the key space. A command that fails has changed nothing.
 *
 * The user root and the role root are special: the role allows everything, may be granted without
 * existing, and once auth is enabled neither of them goes, nor the one from the other.
 *
 * Signed tokens are nowhere but with their holders, so the state says which of them count: those
 * of an auth revision since which the user was neither made nor given another password, and auth
 * was not switched off. What signs them, where nobody has given a key, is drawn once and kept here.
 *
 * Invariants, checked by verify(): while auth is enabled the user root has the role root; the
 * roles of a user rise strictly; permissions are in order of key, each over a range that can be;
 * who has no password keeps no hash; tokens count from a revision on that has been.
 */
import { assert } from "../../base/assert.ts";
import type { Key } from "../../base/bytes.ts";
import { AetherError } from "../../base/errors.ts";
import { Secret } from "../../base/secret.ts";
import { type Permission, PermissionType } from "../../proto/gen/authpb.ts";
import type {
  AuthRoleGrantPermissionRequest,
  AuthRoleRevokePermissionRequest,
  AuthUserAddRequest,
  AuthUserChangePasswordRequest,
} from "../../proto/gen/etcdserverpb.ts";
import type { StateRecord } from "../ports.ts";
import {
  AUTH_ROLE_SPACE,
  AUTH_SPACE,
  AUTH_USER_SPACE,
  type AuthRole,
  type AuthUser,
  counterOf,
  ENABLED_KEY,
  enabledRecord,
  REVISION_KEY,
  revisionRecord,
  roleGone,
  roleOf,
  roleRecord,
  SIGNING_KEY,
  signingKeyRecord,
  TOKENS_FROM_KEY,
  tokensFromRecord,
  tokensOfUser,
  userGone,
  userOf,
  userRecord,
} from "./auth-records.ts";
import { isRange, KeyRanges, type NamedRange } from "./key-ranges.ts";
import { byName } from "./names.ts";

export const ROOT = "root";

/** Of a key that is drawn for web tokens: as many as HS256 has in its hash (RFC 7518 §3.2). */
export const SIGNING_KEY_BYTES = 32;

/** What the role root allows, as it is shown: everything (etcd's rootPerm). */
const ROOT_PERMISSION: Permission = {
  permType: PermissionType.READWRITE,
  key: "",
  rangeEnd: "\0",
};

export type Right = "read" | "write";

type Rights = Readonly<Record<Right, KeyRanges>>;

export class AuthStore {
  #enabled = false;
  #revision = 1;
  readonly #users = new Map<string, AuthUser>();
  readonly #roles = new Map<string, AuthRole>();
  #signingKey: Secret | undefined = undefined;
  /** From which auth revision on tokens count: of everybody, and of each user. */
  #allTokensFrom = 0;
  readonly #tokensOfUserFrom = new Map<string, number>();
  /** What users may do, merged from their roles when first asked; forgotten at each change. */
  readonly #rights = new Map<string, Rights>();

  get enabled(): boolean {
    return this.#enabled;
  }

  /** Begins with 1. */
  get revision(): number {
    return this.#revision;
  }

  /** What signs tokens where the configuration says nothing; undefined before the first login. */
  get signingKey(): Secret | undefined {
    return this.#signingKey;
  }

  /** Nobody has ever made users or roles here. */
  get isUntouched(): boolean {
    return this.#revision === 1;
  }

  /** The auth revision from which on signed tokens of this user count. */
  tokensFrom(name: string): number {
    return Math.max(this.#allTokensFrom, this.#tokensOfUserFrom.get(name) ?? 0);
  }

  /** Whether a signed token of this user, given at an auth revision, still counts. */
  takesTokenOf(name: string, authRevision: number): boolean {
    return this.#users.has(name) && authRevision >= this.tokensFrom(name);
  }

  user(name: string): AuthUser | undefined {
    return this.#users.get(name);
  }

  /** In order of name. */
  users(): AuthUser[] {
    return [...this.#users.values()].sort((a, b) => byName(a.name, b.name));
  }

  /** In order of name. */
  roles(): AuthRole[] {
    return [...this.#roles.values()].sort((a, b) => byName(a.name, b.name));
  }

  /** What a role allows: role_not_found. The role root allows everything, whatever is stored. */
  permissionsOf(role: string): readonly Permission[] {
    const { permissions } = this.#role(role);
    return role === ROOT ? [ROOT_PERMISSION] : permissions;
  }

  hasRole(user: string, role: string): boolean {
    return this.#users.get(user)?.roles.includes(role) === true;
  }

  /** Whether the roles of the user allow it for the whole range; unknown users may nothing. */
  allows(user: string, right: Right, range: NamedRange): boolean {
    const known = this.#users.get(user);
    if (known === undefined) return false;
    return known.roles.includes(ROOT) || this.#rightsOf(known)[right].covers(range);
  }

  /** root_user_missing, root_role_missing. Again changes nothing, and is no change. */
  enable(records: StateRecord[]): void {
    if (this.#enabled) return;
    const root = this.#users.get(ROOT);
    if (root === undefined) throw new AetherError("root_user_missing");
    if (!root.roles.includes(ROOT)) throw new AetherError("root_role_missing");
    this.#enabled = true;
    records.push(enabledRecord(true));
  }

  disable(records: StateRecord[]): void {
    if (!this.#enabled) return;
    this.#enabled = false;
    records.push(enabledRecord(false));
    this.#changed(records);
    this.#allTokensFrom = this.#revision;
    records.push(tokensFromRecord(undefined, this.#revision));
  }

  /** Keeps the first key that is drawn; false if there is one. invalid_argument: a short one. */
  takeSigningKey(key: Uint8Array, records: StateRecord[]): boolean {
    if (key.length < SIGNING_KEY_BYTES) {
      throw new AetherError("invalid_argument", "a signing key is too short");
    }
    if (this.#signingKey !== undefined) return false;
    this.#signingKey = new Secret(key);
    records.push(signingKeyRecord(key));
    return true;
  }

  /**
   * Begins with auth: the user root with the role root, and nobody else, in one step. Only where
   * nobody has made users or roles before: invalid_auth_management, no_password_user.
   */
  begin(hashedPassword: string, records: StateRecord[]): void {
    if (!this.isUntouched) throw new AetherError("invalid_auth_management");
    this.addUser({ name: ROOT, password: "", options: undefined, hashedPassword }, records);
    this.addRole(ROOT, records);
    this.grantRole(ROOT, ROOT, records);
    this.enable(records);
  }

  /** user_empty, user_exists, no_password_user (the hash cannot be read). */
  addUser(request: AuthUserAddRequest, records: StateRecord[]): void {
    const { name, options, hashedPassword } = request;
    if (name === "") throw new AetherError("user_empty");
    if (this.#users.has(name)) throw new AetherError("user_exists");
    const noPassword = options?.noPassword === true;
    const password = noPassword ? NO_HASH : hashOf(hashedPassword);
    this.#putUser({ name, password, roles: [], noPassword }, records);
    this.#changed(records);
    this.#voidTokens(name, records);
  }

  /** invalid_auth_management (root, while enabled), user_not_found. */
  deleteUser(name: string, records: StateRecord[]): void {
    if (this.#enabled && name === ROOT) throw new AetherError("invalid_auth_management");
    this.#user(name);
    this.#users.delete(name);
    this.#tokensOfUserFrom.delete(name);
    records.push(userGone(name), tokensFromRecord(name, undefined));
    this.#changed(records);
  }

  /** user_not_found, no_password_user (the hash cannot be read). */
  changePassword(request: AuthUserChangePasswordRequest, records: StateRecord[]): void {
    const user = this.#user(request.name);
    const password = user.noPassword ? NO_HASH : hashOf(request.hashedPassword);
    this.#putUser({ ...user, password }, records);
    this.#changed(records);
    this.#voidTokens(request.name, records);
  }

  /** user_not_found, role_not_found. A role that the user has is no change. */
  grantRole(name: string, role: string, records: StateRecord[]): void {
    const user = this.#user(name);
    if (role !== ROOT) this.#role(role);
    if (user.roles.includes(role)) return;
    this.#putUser({ ...user, roles: [...user.roles, role].sort(byName) }, records);
    this.#changed(records);
  }

  /** invalid_auth_management (root of root, while enabled), user_not_found, role_not_granted. */
  revokeRole(name: string, role: string, records: StateRecord[]): void {
    const isRoots = name === ROOT && role === ROOT;
    if (this.#enabled && isRoots) throw new AetherError("invalid_auth_management");
    const user = this.#user(name);
    if (!user.roles.includes(role)) throw new AetherError("role_not_granted");
    this.#putUser(without(user, role), records);
    this.#changed(records);
  }

  /** role_empty, role_exists. */
  addRole(name: string, records: StateRecord[]): void {
    if (name === "") throw new AetherError("role_empty");
    if (this.#roles.has(name)) throw new AetherError("role_exists");
    this.#putRole({ name, permissions: [] }, records);
    this.#changed(records);
  }

  /** Takes the role from everybody, too. invalid_auth_management (root, while enabled),
   * role_not_found. */
  deleteRole(name: string, records: StateRecord[]): void {
    if (this.#enabled && name === ROOT) throw new AetherError("invalid_auth_management");
    this.#role(name);
    this.#roles.delete(name);
    records.push(roleGone(name));
    for (const user of this.#users.values()) {
      if (user.roles.includes(name)) this.#putUser(without(user, name), records);
    }
    this.#changed(records);
  }

  /** permission_not_given, invalid_auth_management (no such range), role_not_found. */
  grantPermission(request: AuthRoleGrantPermissionRequest, records: StateRecord[]): void {
    const { name, perm } = request;
    if (perm === undefined) throw new AetherError("permission_not_given");
    if (!isRange(perm)) throw new AetherError("invalid_auth_management");
    const { permissions } = this.#role(name);
    const at = permissions.findIndex((each) => isSameRange(each, perm));
    const others = permissions.filter((each) => !isSameRange(each, perm));
    const changed = at >= 0 ? others.toSpliced(at, 0, perm) : [...others, perm].sort(byKey);
    this.#putRole({ name, permissions: changed }, records);
    this.#changed(records);
  }

  /** role_not_found, permission_not_granted: the range must be exactly one that was granted. */
  revokePermission(request: AuthRoleRevokePermissionRequest, records: StateRecord[]): void {
    const { permissions } = this.#role(request.role);
    const left = permissions.filter((each) => !isSameRange(each, request));
    if (left.length === permissions.length) throw new AetherError("permission_not_granted");
    this.#putRole({ name: request.role, permissions: left }, records);
    this.#changed(records);
  }

  /** Takes over a record; false if it is not one of auth. */
  restore(space: string, key: Key, value: Uint8Array): boolean {
    if (space === AUTH_USER_SPACE) {
      const user = userOf(key, value);
      this.#users.set(user.name, user);
    } else if (space === AUTH_ROLE_SPACE) {
      const role = roleOf(key, value);
      this.#roles.set(role.name, role);
    } else if (space === AUTH_SPACE) this.#restoreSetting(key, value);
    else return false;
    return true;
  }

  #restoreSetting(key: Key, value: Uint8Array): void {
    const user = tokensOfUser(key);
    if (user !== undefined) this.#tokensOfUserFrom.set(user, counterOf(value));
    else if (key === ENABLED_KEY) this.#enabled = value[0] === 1;
    else if (key === REVISION_KEY) this.#revision = counterOf(value);
    else if (key === TOKENS_FROM_KEY) this.#allTokensFrom = counterOf(value);
    else if (key === SIGNING_KEY) this.#signingKey = new Secret(value);
  }

  /** What holds of users and settings, whoever made them. */
  verify(): void {
    assert(!this.#enabled || this.hasRole(ROOT, ROOT), "while auth is enabled, root is root");
    assert(this.#revision >= 1, "the auth revision begins with 1");
    for (const { roles, password, noPassword } of this.#users.values()) {
      const rise = roles.every((role, i) => i === 0 || byName(roles[i - 1] as string, role) < 0);
      assert(rise, "the roles of a user rise");
      assert(!noPassword || password.length === 0, "who has no password keeps no hash");
    }
    for (const [name, from] of [...this.#tokensOfUserFrom, ["", this.#allTokensFrom] as const]) {
      assert(name === "" || this.#users.has(name), "tokens are those of somebody");
      assert(from <= this.#revision, "tokens count from a revision on that has been");
    }
    const key = this.#signingKey;
    const isLong = key === undefined || key.bytesCount >= SIGNING_KEY_BYTES;
    assert(isLong, "a signing key is long enough");
  }

  /** Permissions that were granted here; old databases of etcd's may hold others. */
  verifyPermissions(): void {
    for (const { permissions } of this.#roles.values()) {
      const rise = permissions.every(({ key }, i) => i === 0 || key >= keyAt(permissions, i - 1));
      assert(rise, "the permissions of a role rise");
      assert(permissions.every(isRange), "a permission is over a range");
    }
  }

  #user(name: string): AuthUser {
    const user = this.#users.get(name);
    if (user === undefined) throw new AetherError("user_not_found");
    return user;
  }

  #role(name: string): AuthRole {
    const role = this.#roles.get(name);
    if (role === undefined) throw new AetherError("role_not_found");
    return role;
  }

  #putUser(user: AuthUser, records: StateRecord[]): void {
    this.#users.set(user.name, user);
    records.push(userRecord(user));
  }

  #putRole(role: AuthRole, records: StateRecord[]): void {
    this.#roles.set(role.name, role);
    records.push(roleRecord(role));
  }

  /** Whatever was given to the user until now is void. */
  #voidTokens(name: string, records: StateRecord[]): void {
    this.#tokensOfUserFrom.set(name, this.#revision);
    records.push(tokensFromRecord(name, this.#revision));
  }

  #changed(records: StateRecord[]): void {
    this.#revision++;
    this.#rights.clear();
    records.push(revisionRecord(this.#revision));
  }

  #rightsOf({ name, roles }: AuthUser): Rights {
    const known = this.#rights.get(name);
    if (known !== undefined) return known;
    const all = roles.flatMap((role) => this.#roles.get(role)?.permissions ?? []);
    const allowing = (type: PermissionType): KeyRanges =>
      new KeyRanges(
        all.filter(({ permType }) => permType === type || permType === PermissionType.READWRITE),
      );
    const rights = { read: allowing(PermissionType.READ), write: allowing(PermissionType.WRITE) };
    this.#rights.set(name, rights);
    return rights;
  }
}

const NO_HASH = new Uint8Array(0);

/** The hash that a request brings, in base64; an empty one lets nobody in. */
function hashOf(base64: string): Uint8Array {
  const isBase64 = base64.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(base64);
  if (!isBase64) throw new AetherError("no_password_user", "the hash is not base64");
  return new Uint8Array(Buffer.from(base64, "base64"));
}

function without(user: AuthUser, role: string): AuthUser {
  return { ...user, roles: user.roles.filter((each) => each !== role) };
}

function isSameRange(a: NamedRange, b: NamedRange): boolean {
  return a.key === b.key && a.rangeEnd === b.rangeEnd;
}

function byKey(a: Permission, b: Permission): number {
  return a.key < b.key ? -1 : a.key > b.key ? 1 : 0;
}

function keyAt(permissions: readonly Permission[], at: number): Key {
  return (permissions[at] as Permission).key;
}
