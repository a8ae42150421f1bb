/**
 * How auth is stored: records with the keys and values of etcd's buckets auth, authUsers and
 * authRoles (server/storage/schema/auth*.go), so that a database of etcd's and our state hold the
 * same bytes. Passwords are bcrypt hashes, here as everywhere.
 */
import { assert } from "../../base/assert.ts";
import { ByteWriter, type Key, keyFromText } from "../../base/bytes.ts";
import { type Permission, Role, User } from "../../proto/gen/authpb.ts";
import type { StateRecord } from "../ports.ts";
import { byName, nameOf } from "./names.ts";

export const AUTH_SPACE = "auth";
export const AUTH_USER_SPACE = "auth-user";
export const AUTH_ROLE_SPACE = "auth-role";

/** Keys of AUTH_SPACE: a byte 0 or 1, and a u64, big-endian. */
export const ENABLED_KEY = "authEnabled";
export const REVISION_KEY = "authRevision";

/**
 * Keys of AUTH_SPACE that are ours: etcd looks for its own two by name and passes over others, so
 * they travel in snapshots of its form. The key that signs web tokens (bytes as they are); from
 * which auth revision on tokens count, of everybody, and of one user behind the slash (u64).
 */
export const SIGNING_KEY = "aetherSigningKey";
export const TOKENS_FROM_KEY = "aetherTokensFrom";
const TOKENS_FROM_PREFIX = `${TOKENS_FROM_KEY}/`;

export interface AuthUser {
  readonly name: string;
  /** A bcrypt hash; empty for a user who cannot give a password. */
  readonly password: Uint8Array;
  /** Strictly in order of name. */
  readonly roles: readonly string[];
  /** Known by the common name of a certificate only. */
  readonly noPassword: boolean;
}

export interface AuthRole {
  readonly name: string;
  /** In order of key; of equal keys the older first. */
  readonly permissions: readonly Permission[];
}

export function enabledRecord(isEnabled: boolean): StateRecord {
  return { space: AUTH_SPACE, key: ENABLED_KEY, value: new Uint8Array([isEnabled ? 1 : 0]) };
}

export function revisionRecord(revision: number): StateRecord {
  return { space: AUTH_SPACE, key: REVISION_KEY, value: counter(revision) };
}

export function signingKeyRecord(key: Uint8Array): StateRecord {
  return { space: AUTH_SPACE, key: SIGNING_KEY, value: new Uint8Array(key) };
}

/** From which auth revision on tokens count: of a user, or of everybody; undefined: he is gone. */
export function tokensFromRecord(
  user: string | undefined,
  revision: number | undefined,
): StateRecord {
  const key = user === undefined ? TOKENS_FROM_KEY : TOKENS_FROM_PREFIX + keyFromText(user);
  return { space: AUTH_SPACE, key, value: revision === undefined ? undefined : counter(revision) };
}

/** Whose tokens a record of AUTH_SPACE is about; undefined if it is another record. */
export function tokensOfUser(key: Key): string | undefined {
  if (!key.startsWith(TOKENS_FROM_PREFIX)) return undefined;
  return nameOf(key.slice(TOKENS_FROM_PREFIX.length));
}

/** A u64, big-endian, as etcd's counters are. */
export function counterOf(value: Uint8Array): number {
  return Number(Buffer.from(value).readBigUInt64BE(0));
}

function counter(revision: number): Buffer {
  const value = Buffer.alloc(8);
  value.writeBigUInt64BE(BigInt(revision));
  return value;
}

export function userRecord(user: AuthUser): StateRecord {
  const { name, password, roles, noPassword } = user;
  const key = keyFromText(name);
  const message = { name: key, password, roles: [...roles], options: { noPassword } };
  const out = new ByteWriter(256);
  User.encode(message, out);
  return { space: AUTH_USER_SPACE, key, value: out.copy() };
}

export function userGone(name: string): StateRecord {
  return { space: AUTH_USER_SPACE, key: keyFromText(name), value: undefined };
}

export function roleRecord({ name, permissions }: AuthRole): StateRecord {
  const key = keyFromText(name);
  const out = new ByteWriter(256);
  Role.encode({ name: key, keyPermission: [...permissions] }, out);
  return { space: AUTH_ROLE_SPACE, key, value: out.copy() };
}

export function roleGone(name: string): StateRecord {
  return { space: AUTH_ROLE_SPACE, key: keyFromText(name), value: undefined };
}

/** The user that a record keeps; etcd before 3.4 wrote no options. */
export function userOf(key: Key, value: Uint8Array): AuthUser {
  const { name, password, roles, options } = User.decode(value, 0, value.length);
  assert(name === key, "a user's record lies under his name");
  const sorted = [...roles].sort(byName);
  return { name: nameOf(name), password, roles: sorted, noPassword: options?.noPassword === true };
}

export function roleOf(key: Key, value: Uint8Array): AuthRole {
  const { name, keyPermission } = Role.decode(value, 0, value.length);
  assert(name === key, "a role's record lies under its name");
  return { name: nameOf(name), permissions: keyPermission };
}
