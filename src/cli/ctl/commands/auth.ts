/** `auth …`: whether users have to say who they are. */
import { GrpcError } from "../../../client/grpc-error.ts";
import { Auth, AuthStatusResponse } from "../../../proto/gen/etcdserverpb.ts";
import { EXIT, ExitError } from "../../exit.ts";
import type { Command } from "../command.ts";
import { PLAIN_FORMATS } from "../command-info.ts";
import type { Invocation } from "../invocation.ts";
import { messageForms } from "../output/key-values.ts";

export const authEnable: Command = {
  name: "auth enable",
  summary: "Lets in only who has a name and a password, or a certificate",
  about: "There has to be a user root. The role root is made and given to it where it is missing.",
  args: {},
  examples: ["auth enable"],
  async run(call) {
    requireNoArguments(call, "auth enable");
    const client = await call.client();
    try {
      await call.call(Auth.AuthEnable, {}, client);
    } catch (error) {
      if (!(error instanceof GrpcError) || error.message !== NO_ROOT_ROLE) throw error;
      await call.call(Auth.RoleAdd, { name: ROOT }, client);
      await call.call(Auth.UserGrantRole, { user: ROOT, role: ROOT }, client);
      await call.call(Auth.AuthEnable, {}, client);
    }
    call.say("Authentication Enabled");
  },
};

const ROOT = "root";
/** etcd's text for: root exists and has not the role of that name. */
const NO_ROOT_ROLE = "etcdserver: root user does not have root role";

export const authDisable: Command = {
  name: "auth disable",
  summary: "Lets everybody in",
  args: {},
  examples: ["auth disable --user root"],
  async run(call) {
    requireNoArguments(call, "auth disable");
    await call.call(Auth.AuthDisable, {});
    call.say("Authentication Disabled");
  },
};

export const authStatus: Command = {
  name: "auth status",
  summary: "Tells whether users have to say who they are",
  args: {},
  formats: PLAIN_FORMATS,
  examples: ["auth status"],
  async run(call) {
    requireNoArguments(call, "auth status");
    const response = await call.call(Auth.AuthStatus, {});
    call.print({
      ...messageForms(AuthStatusResponse, response),
      simple: (page) => {
        page.line(`Authentication Status: ${response.enabled}`);
        page.line(`AuthRevision: ${response.authRevision}`);
      },
    });
  },
};

function requireNoArguments({ args }: Invocation, name: string): void {
  if (args.positionals.length === 0) return;
  throw new ExitError(EXIT.BAD_ARGUMENTS, `${name} command does not accept any arguments`);
}
