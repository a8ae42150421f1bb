/** The answers of the user and role commands. */

import { type Key, latin1 } from "../../../base/bytes.ts";
import { type Permission, PermissionType } from "../../../proto/gen/authpb.ts";
import {
  AuthRoleGetResponse,
  AuthRoleListResponse,
  AuthUserGetResponse,
  AuthUserListResponse,
  type ResponseHeader,
  type AuthRoleGetResponse as RoleGet,
} from "../../../proto/gen/etcdserverpb.ts";
import type { MessageType } from "../../../proto/message.ts";
import { quoteText } from "../../go-text.ts";
import { prefixEnd } from "../key-range.ts";
import type { Answer } from "./answer.ts";
import { fieldsHeader, messageForms, type Style } from "./key-values.ts";
import type { Page } from "./page.ts";

/** An answer that only says that it was done; `line` as bytes: keys need not be UTF-8. */
export function doneAnswer<T extends { header: ResponseHeader | undefined }>(
  type: MessageType<T>,
  response: T,
  line: Key,
  style: Style,
): Answer {
  return {
    ...messageForms(type, response),
    simple: (page) => page.raw(line).line(),
    fields: (page) => fieldsHeader(page, response.header, style),
  };
}

/** Of a user: whom it names and which roles it has. */
export function userAnswer(name: string, response: AuthUserGetResponse): Answer {
  return {
    ...messageForms(AuthUserGetResponse, response),
    simple: (page) => {
      page.line(`User: ${name}`);
      page.line(`Roles:${response.roles.map((role) => ` ${role}`).join("")}`);
    },
  };
}

export function usersAnswer(response: AuthUserListResponse): Answer {
  return {
    ...messageForms(AuthUserListResponse, response),
    simple: (page) => {
      for (const user of response.users) page.line(user);
    },
  };
}

export function rolesAnswer(response: AuthRoleListResponse, style: Style): Answer {
  const { header, roles } = response;
  return {
    ...messageForms(AuthRoleListResponse, response),
    simple: (page) => {
      for (const role of roles) page.line(role);
    },
    fields: (page) => {
      fieldsHeader(page, header, style);
      page.line(`"Roles" :${roles.map((role) => ` ${quoteText(role)}`).join("")}`);
    },
  };
}

/** Everything, whatever is granted. */
const ROOT = "root";
/** The end of a range that has none. */
const OPEN_END = "\0";

export function roleAnswer(name: string, response: RoleGet, style: Style): Answer {
  return {
    ...messageForms(AuthRoleGetResponse, response),
    simple: (page) => simpleRole(page, name, response.perm),
    fields: (page) => {
      fieldsHeader(page, response.header, style);
      for (const { permType, key, rangeEnd } of response.perm) {
        page.line(`"PermType" :  ${typeName(permType)}`); // two blanks, as etcdctl has them
        page.quoted("Key", key).quoted("RangeEnd", rangeEnd);
      }
    },
  };
}

function typeName(permType: number): string {
  const found = Object.entries(PermissionType).find(([, value]) => value === permType);
  return found?.[0] ?? String(permType);
}

function simpleRole(page: Page, name: string, permissions: readonly Permission[]): void {
  page.line(`Role ${name}`);
  const all = name === ROOT && permissions.length === 0;
  for (const [title, own] of [
    ["KV Read:", PermissionType.READ],
    ["KV Write:", PermissionType.WRITE],
  ] as const) {
    page.line(title);
    if (all) page.line("\t[, <open ended>");
    for (const permission of permissions) {
      const { permType } = permission;
      if (permType === own || permType === PermissionType.READWRITE) keysLine(page, permission);
    }
  }
}

function keysLine(page: Page, permission: Permission): void {
  const key = bytesOf(permission.key);
  const end = bytesOf(permission.rangeEnd);
  page.text("\t");
  if (end === "") {
    page.raw(key).line();
    return;
  }
  page.raw(rangeText(key, end));
  if (key !== "" && prefixEnd(key) === end) page.text(" (prefix ").raw(key).text(")");
  page.line();
}

/** `[a, b)`, or `[a, <open ended>`. */
export function rangeText(key: Key, end: Key): Key {
  return end === OPEN_END ? `[${key}, <open ended>` : `[${key}, ${end})`;
}

function bytesOf(key: Key | Uint8Array): Key {
  return typeof key === "string" ? key : latin1(key);
}
