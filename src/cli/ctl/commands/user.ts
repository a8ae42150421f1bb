/** `user …`: who may use the cluster. */
import type { ArgsDef } from "citty";
import { keyFromText } from "../../../base/bytes.ts";
import { UserAddOptions } from "../../../proto/gen/authpb.ts";
import {
  Auth,
  AuthUserAddResponse,
  AuthUserChangePasswordResponse,
  AuthUserDeleteResponse,
  AuthUserGrantRoleResponse,
  AuthUserRevokeRoleResponse,
} from "../../../proto/gen/etcdserverpb.ts";
import { EXIT, ExitError } from "../../exit.ts";
import { LineReader } from "../../io.ts";
import type { Command } from "../command.ts";
import { MESSAGE_FORMATS, PLAIN_FORMATS } from "../command-info.ts";
import type { Invocation } from "../invocation.ts";
import { doneAnswer, roleAnswer, userAnswer, usersAnswer } from "../output/users.ts";

const USER = {
  name: { type: "positional", required: true, description: "The user's name" },
} as const;
const ROLE = {
  role: { type: "positional", required: true, description: "The role's name" },
} as const;

const INTERACTIVE: ArgsDef = {
  interactive: {
    type: "boolean",
    default: true,
    description: "Ask for the password twice; false: take one word of standard input",
  },
};

export const userAdd: Command = {
  name: "user add",
  summary: "Adds a user",
  args: {
    name: { type: "positional", required: true, description: "name, or name:password" },
    ...INTERACTIVE,
    "new-user-password": { type: "string", valueHint: "text", description: "The password" },
    "no-password": {
      type: "boolean",
      description: "Known by the common name of a certificate only",
    },
  },
  formats: MESSAGE_FORMATS,
  examples: ["user add alice", "user add bob --no-password"],
  async run(call) {
    const [given] = exactly(call, 1, "user add command requires user name as its argument");
    call.requireFormat();
    const { name, password, noPassword } = await newUser(call, given as string);
    const options = UserAddOptions.create({ noPassword });
    const response = await call.call(Auth.UserAdd, { name, password, options });
    call.print(
      doneAnswer(AuthUserAddResponse, response, keyFromText(`User ${name} created`), call.style),
    );
  },
};

interface NewUser {
  readonly name: string;
  readonly password: string;
  readonly noPassword: boolean;
}

async function newUser(call: Invocation, given: string): Promise<NewUser> {
  if (call.args.on("no-password")) return { name: given, password: "", noPassword: true };
  const flag = call.args.text("new-user-password");
  if (flag !== "") return { name: given, password: flag, noPassword: false };
  const colon = given.indexOf(":");
  if (colon === -1) {
    return { name: given, password: await newPassword(call, given), noPassword: false };
  }
  const name = given.slice(0, colon);
  if (name === "") throw bad("empty user name is not allowed");
  return { name, password: given.slice(colon + 1), noPassword: false };
}

async function newPassword(call: Invocation, user: string): Promise<string> {
  if (!call.args.on("interactive")) {
    const line = await new LineReader(call.io.stdin).last();
    const [word = ""] = Buffer.from(line, "latin1").toString("utf8").trim().split(/\s/);
    return word;
  }
  const first = await call.io.askSecret(`Password of ${user}: `);
  if (first === "") throw bad("empty password");
  const second = await call.io.askSecret(`Password of ${user}, once more: `);
  if (first !== second) throw bad("given passwords are different");
  return first;
}

export const userDelete: Command = {
  name: "user delete",
  summary: "Deletes a user",
  args: USER,
  formats: MESSAGE_FORMATS,
  examples: ["user delete alice"],
  async run(call) {
    const needs = "user delete command requires user name as its argument";
    const [name = ""] = exactly(call, 1, needs);
    const response = await call.call(Auth.UserDelete, { name });
    const line = keyFromText(`User ${name} deleted`);
    call.print(doneAnswer(AuthUserDeleteResponse, response, line, call.style));
  },
};

export const userGet: Command = {
  name: "user get",
  summary: "Shows the roles of a user",
  args: { ...USER, detail: { type: "boolean", description: "And what they are granted" } },
  formats: PLAIN_FORMATS,
  examples: ["user get alice", "user get alice --detail"],
  async run(call) {
    const [name = ""] = exactly(call, 1, "user get command requires user name as its argument");
    const client = await call.client();
    const response = await call.call(Auth.UserGet, { name }, client);
    if (!call.args.on("detail")) {
      call.print(userAnswer(name, response));
      return;
    }
    call.say(`User: ${name}`);
    for (const role of response.roles) {
      call.say("");
      call.print(roleAnswer(role, await call.call(Auth.RoleGet, { role }, client), call.style));
    }
  },
};

export const userList: Command = {
  name: "user list",
  summary: "Lists the users",
  args: {},
  formats: PLAIN_FORMATS,
  examples: ["user list"],
  async run(call) {
    exactly(call, 0, "user list command requires no arguments");
    call.print(usersAnswer(await call.call(Auth.UserList, {})));
  },
};

export const userPasswd: Command = {
  name: "user passwd",
  summary: "Changes the password of a user",
  args: { ...USER, ...INTERACTIVE },
  formats: MESSAGE_FORMATS,
  examples: ["user passwd alice", "user passwd alice --interactive=false < password-file"],
  async run(call) {
    const needs = "user passwd command requires user name as its argument";
    const [name = ""] = exactly(call, 1, needs);
    call.requireFormat();
    const password = await newPassword(call, name);
    const response = await call.call(Auth.UserChangePassword, { name, password });
    const line = keyFromText("Password updated");
    call.print(doneAnswer(AuthUserChangePasswordResponse, response, line, call.style));
  },
};

export const userGrantRole: Command = {
  name: "user grant-role",
  summary: "Gives a role to a user",
  args: { ...USER, ...ROLE },
  formats: MESSAGE_FORMATS,
  examples: ["user grant-role alice reader"],
  async run(call) {
    const needs = "user grant command requires user name and role name as its argument";
    const [user = "", role = ""] = exactly(call, 2, needs);
    const response = await call.call(Auth.UserGrantRole, { user, role });
    const line = keyFromText(`Role ${role} is granted to user ${user}`);
    call.print(doneAnswer(AuthUserGrantRoleResponse, response, line, call.style));
  },
};

export const userRevokeRole: Command = {
  name: "user revoke-role",
  summary: "Takes a role from a user",
  args: { ...USER, ...ROLE },
  formats: MESSAGE_FORMATS,
  examples: ["user revoke-role alice reader"],
  async run(call) {
    const needs = "user revoke-role requires user name and role name as its argument";
    const [name = "", role = ""] = exactly(call, 2, needs);
    const response = await call.call(Auth.UserRevokeRole, { name, role });
    const line = keyFromText(`Role ${role} is revoked from user ${name}`);
    call.print(doneAnswer(AuthUserRevokeRoleResponse, response, line, call.style));
  },
};

function exactly({ args }: Invocation, count: number, needs: string): readonly string[] {
  if (args.positionals.length !== count) throw bad(needs);
  return args.positionals;
}

function bad(message: string): ExitError {
  return new ExitError(EXIT.BAD_ARGUMENTS, message);
}
