/** `role …`: what users who have the role may read and write. */
import type { ArgsDef } from "citty";
import { type Key, keyFromText } from "../../../base/bytes.ts";
import { Permission, PermissionType } from "../../../proto/gen/authpb.ts";
import {
  Auth,
  AuthRoleAddResponse,
  AuthRoleDeleteResponse,
  AuthRoleGrantPermissionResponse,
  AuthRoleRevokePermissionResponse,
} from "../../../proto/gen/etcdserverpb.ts";
import type { Arguments } from "../../arguments.ts";
import { EXIT, ExitError } from "../../exit.ts";
import type { Command } from "../command.ts";
import { MESSAGE_FORMATS } from "../command-info.ts";
import type { Invocation } from "../invocation.ts";
import { type KeyRange, prefixEnd } from "../key-range.ts";
import { doneAnswer, rangeText, roleAnswer, rolesAnswer } from "../output/users.ts";

const ROLE = {
  role: { type: "positional", required: true, description: "The role's name" },
} as const;

const KEYS: ArgsDef = {
  key: { type: "positional", required: true, description: "The key, or the first of a range" },
  endkey: { type: "positional", required: false, description: "The first key after the range" },
  prefix: { type: "boolean", description: "All keys that begin with the key" },
  "from-key": { type: "boolean", description: "All keys from the key on, in the order of bytes" },
};

export const roleAdd: Command = {
  name: "role add",
  summary: "Adds a role that grants nothing yet",
  args: ROLE,
  formats: MESSAGE_FORMATS,
  examples: ["role add reader"],
  async run(call) {
    const name = onlyRole(call, "role add command requires role name as its argument");
    const response = await call.call(Auth.RoleAdd, { name });
    const line = keyFromText(`Role ${name} created`);
    call.print(doneAnswer(AuthRoleAddResponse, response, line, call.style));
  },
};

export const roleDelete: Command = {
  name: "role delete",
  summary: "Deletes a role, and takes it from everybody",
  args: ROLE,
  formats: MESSAGE_FORMATS,
  examples: ["role delete reader"],
  async run(call) {
    const role = onlyRole(call, "role delete command requires role name as its argument");
    const response = await call.call(Auth.RoleDelete, { role });
    const line = keyFromText(`Role ${role} deleted`);
    call.print(doneAnswer(AuthRoleDeleteResponse, response, line, call.style));
  },
};

export const roleGet: Command = {
  name: "role get",
  summary: "Shows what a role grants",
  args: ROLE,
  formats: MESSAGE_FORMATS,
  examples: ["role get reader"],
  async run(call) {
    const role = onlyRole(call, "role get command requires role name as its argument");
    call.print(roleAnswer(role, await call.call(Auth.RoleGet, { role }), call.style));
  },
};

export const roleList: Command = {
  name: "role list",
  summary: "Lists the roles",
  args: {},
  formats: MESSAGE_FORMATS,
  examples: ["role list"],
  async run(call) {
    if (call.args.positionals.length > 0) throw bad("role list command requires no arguments");
    call.print(rolesAnswer(await call.call(Auth.RoleList, {}), call.style));
  },
};

export const roleGrantPermission: Command = {
  name: "role grant-permission",
  summary: "Lets a role read, write or do both to keys",
  args: {
    ...ROLE,
    type: { type: "positional", required: true, description: "read, write or readwrite" },
    ...KEYS,
  },
  formats: MESSAGE_FORMATS,
  examples: ["role grant-permission reader read --prefix services/"],
  async run(call) {
    const [name = "", type = "", ...keys] = call.args.positionals;
    if (keys.length === 0) {
      const what = "role name, permission type, and key [endkey]";
      throw bad(`role grant command requires ${what} as its argument`);
    }
    const permType = permissionType(type);
    const perm = Permission.create({ permType, ...permittedKeys(call.args, keys) });
    const response = await call.call(Auth.RoleGrantPermission, { name, perm });
    const line = keyFromText(`Role ${name} updated`);
    call.print(doneAnswer(AuthRoleGrantPermissionResponse, response, line, call.style));
  },
};

export const roleRevokePermission: Command = {
  name: "role revoke-permission",
  summary: "Takes the grant of a key or range from a role",
  about: "The range has to be one that was granted, not a part of one.",
  args: { ...ROLE, ...KEYS },
  formats: MESSAGE_FORMATS,
  examples: ["role revoke-permission reader --prefix services/"],
  async run(call) {
    const [role = "", ...keys] = call.args.positionals;
    const [given] = keys;
    if (given === undefined) {
      const what = "role name and key [endkey]";
      throw bad(`role revoke-permission command requires ${what} as its argument`);
    }
    const { key, rangeEnd } = permittedKeys(call.args, keys);
    const response = await call.call(Auth.RoleRevokePermission, { role, key, rangeEnd });
    const shown = keyFromText(given);
    const what = rangeEnd === "" ? `key ${shown}` : `range ${rangeText(shown, rangeEnd)}`;
    const line = `Permission of ${what} is revoked from role ${keyFromText(role)}`;
    call.print(doneAnswer(AuthRoleRevokePermissionResponse, response, line, call.style));
  },
};

/** The least key; as the end of a range: there is none. */
const ZERO = "\0";

/** As get and del mean ranges, but for "": alone it is the least key, not none. */
function permittedKeys(args: Arguments, words: readonly string[]): KeyRange {
  const [first = "", end] = words.map(keyFromText);
  const prefix = args.on("prefix");
  const fromKey = args.on("from-key");
  const both = prefix && fromKey;
  const exclusive = "--from-key and --prefix flags are mutually exclusive";
  if (first === "") {
    if (both) throw bad(exclusive);
    return { key: ZERO, rangeEnd: prefix || fromKey ? ZERO : "" };
  }
  if (end !== undefined) {
    if (prefix) throw bad("unexpected endkey argument with --prefix flag");
    if (fromKey) throw bad("unexpected endkey argument with --from-key flag");
    return { key: first, rangeEnd: end };
  }
  if (both) throw bad(exclusive);
  return { key: first, rangeEnd: endOf(first, prefix, fromKey) };
}

function endOf(key: Key, prefix: boolean, fromKey: boolean): Key {
  if (prefix) return prefixEnd(key);
  return fromKey ? ZERO : "";
}

function permissionType(word: string): PermissionType {
  const types: Readonly<Record<string, PermissionType>> = PermissionType;
  const name = word.toUpperCase();
  const type = Object.hasOwn(types, name) ? types[name] : undefined;
  if (type === undefined) throw bad(`invalid permission type: ${word}`);
  return type;
}

function onlyRole({ args }: Invocation, needs: string): string {
  const [role, more] = args.positionals;
  if (role === undefined || more !== undefined) throw bad(needs);
  return role;
}

function bad(message: string): ExitError {
  return new ExitError(EXIT.BAD_ARGUMENTS, message);
}
