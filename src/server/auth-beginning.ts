/**
 * `auth.enabled`: a cluster begins with the user root, its password and auth switched on, in one
 * command of the log. Until that is applied here nobody is served (Authorizer's `mustBegin`), so
 * there is no moment at which anybody may do anything.
 *
 * It is done where nobody has ever made users or roles, by whichever member comes first; from then
 * on the password of the configuration is not looked at, and auth is as the users of the cluster
 * have it: who has switched it off is told so at each start, and not overruled.
 */
import { readFileSync, statSync } from "node:fs";
import { ByteWriter } from "../base/bytes.ts";
import { AetherError } from "../base/errors.ts";
import type { Log } from "../base/ports.ts";
import { Secret } from "../base/secret.ts";
import type { Group } from "../node/group.ts";
import { AuthUserAddRequest } from "../proto/gen/etcdserverpb.ts";
import { PASSWORD_BYTES_MAX, Passwords } from "../rpc/passwords.ts";
import { CommandKind } from "../state/command.ts";
import type { Outcome } from "../state/results.ts";
import type { AuthBeginning } from "./config/auth-options.ts";
import { ConfigError } from "./config/config-error.ts";

/** Between two attempts while nobody leads: an election takes longer. */
const RETRY_MS = 100;

/** Read, write or execute for the group or for everybody. */
const OTHERS_MODE = 0o077;

export interface AuthBeginningParts {
  readonly group: Group;
  /** Undefined: the configuration says nothing of auth, and there is nothing to do. */
  readonly beginning: AuthBeginning | undefined;
  readonly bcryptCost: number;
  readonly log: Log;
}

/**
 * Resolves when auth has begun, here and now or long ago. Rejects with ConfigError if it has not
 * and there is no password for root.
 */
export async function beginAuth(parts: AuthBeginningParts): Promise<void> {
  const { group, beginning, log } = parts;
  if (beginning === undefined) return;
  let hash: string | undefined;
  for (;;) {
    const failure = await new Promise<AetherError | undefined>((done) => group.read(done));
    if (failure?.code === "stopped") return;
    const { auth } = group.machine;
    if (failure === undefined && !auth.isUntouched) {
      if (!auth.enabled) log.warn("auth.enabled is set, but auth is switched off in the cluster");
      beginning.password?.clear();
      return;
    }
    if (failure === undefined) {
      hash ??= await hashOf(rootPasswordOf(beginning, log), parts.bcryptCost);
      const outcome = await propose(group, hash);
      if (!(outcome instanceof AetherError)) log.info("auth is enabled: root has a password");
    } else await Bun.sleep(RETRY_MS);
  }
}

/**
 * root's first password. Throws ConfigError: there is none, it is empty or too long for bcrypt, its
 * file cannot be read.
 */
export function rootPasswordOf({ password, passwordFile }: AuthBeginning, log: Log): Secret {
  const found = password ?? (passwordFile === undefined ? undefined : fromFile(passwordFile, log));
  if (found === undefined) {
    throw new ConfigError(
      "auth.enabled: a cluster begins with a password for root: " +
        "set auth.root_password_file or the variable AETHER_AUTH_ROOT_PASSWORD",
    );
  }
  if (found.bytesCount === 0) throw new ConfigError(`${passwordFile}: root's password is empty`);
  if (found.bytesCount > PASSWORD_BYTES_MAX) {
    const most = `at most ${PASSWORD_BYTES_MAX} bytes`;
    throw new ConfigError(`auth.enabled: root's password has ${most}, not ${found.bytesCount}`);
  }
  return found;
}

/** The file's text without the end of line that editors leave behind. */
function fromFile(path: string, log: Log): Secret {
  try {
    const isWide = (statSync(path).mode & OTHERS_MODE) !== 0;
    if (isWide) log.warn("others may read root's first password", { path });
    return new Secret(readFileSync(path, "utf8").replace(/\r?\n$/, ""));
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new ConfigError(`auth.root_password_file: ${why}`, { cause: error });
  }
}

/** The password is not needed any more once it is hashed. */
async function hashOf(password: Secret, bcryptCost: number): Promise<string> {
  try {
    return await new Passwords(bcryptCost).hash(password.reveal(), () => true);
  } finally {
    password.clear();
  }
}

/** What fails has been done by another member meanwhile, or is tried again. */
function propose(group: Group, hashedPassword: string): Promise<Outcome> {
  const body = new ByteWriter(256);
  AuthUserAddRequest.encode(AuthUserAddRequest.create({ hashedPassword }), body);
  const bytes = body.copy();
  return new Promise((resolve) => {
    group.propose(CommandKind.authBegin, bytes, 0, bytes.length, resolve);
  });
}
