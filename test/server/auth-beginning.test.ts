/** `auth.enabled`: root from the first moment on, once, and never over what users have decided. */
import { afterEach, describe, expect, test } from "bun:test";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Authorizer } from "../../src/rpc/authorize.ts";
import { rowOf } from "../../src/rpc/authorize-table.ts";
import { SimpleTokens } from "../../src/rpc/tokens.ts";
import { loadConfig } from "../../src/server/config/config.ts";
import { type RunningServer, startServer } from "../../src/server/server.ts";
import { AuthSession } from "../rpc/auth-session.ts";
import { FakeCall, Harness, loggingTo } from "../rpc/harness.ts";
import { AuthDriver } from "../state/auth/auth-driver.ts";

const EMPTY = "3 etcdserver: user name is empty";
const NEITHER =
  "auth.enabled: a cluster begins with a password for root: " +
  "set auth.root_password_file or the variable AETHER_AUTH_ROOT_PASSWORD";

const directories: string[] = [];
afterEach(() => {
  for (const path of directories.splice(0)) rmSync(path, { recursive: true, force: true });
});

function newDirectory(): string {
  const path = mkdtempSync(join(tmpdir(), "aether-auth-"));
  directories.push(path);
  return path;
}

const logged: string[] = [];

function start(directory: string, environment: Record<string, string>): Promise<RunningServer> {
  const data = { "data-dir": join(directory, "data"), "bcrypt-cost": "4" };
  const flags = { ...data, addr: "127.0.0.1:0", "metrics-listen-addr": "127.0.0.1:0" };
  const config = loadConfig({ environment, flags: new Map(Object.entries(flags)) });
  logged.length = 0;
  return startServer(config, loggingTo(logged));
}

async function failureOf(directory: string, environment: Record<string, string>): Promise<string> {
  try {
    await (await start(directory, environment)).stop();
    return "started";
  } catch (error) {
    return (error as Error).message;
  }
}

/** What root, whose password is this, and nobody are told. */
async function asked(server: RunningServer, password: string): Promise<string[]> {
  const session = new AuthSession(server.clientAddress);
  const request = { key: Buffer.from("k") };
  const login = { name: "root", password };
  const known = await session.run({ rpc: "Auth/Authenticate", request: login });
  const nobody = await session.run({ rpc: "KV/Put", request });
  session.close();
  return [known.replace(/^OK.*/, "OK"), nobody.replace(/^OK.*/, "OK")];
}

const ENABLED = { AETHER_AUTH_ENABLED: "true" };
const BAD = "3 etcdserver: authentication failed, invalid user ID or password";

describe("a node that begins with auth", () => {
  test("needs a password for root, and begins once it has one", async () => {
    const directory = newDirectory();
    expect(await failureOf(directory, ENABLED)).toBe(NEITHER);
    const file = join(directory, "pw");
    const withFile = { ...ENABLED, AETHER_AUTH_ROOT_PASSWORD_FILE: file };
    expect(await failureOf(directory, withFile)).toStartWith("auth.root_password_file: ENOENT");
    writeFileSync(file, "\n");
    expect(await failureOf(directory, withFile)).toBe(`${file}: root's password is empty`);
    writeFileSync(file, "ü".repeat(37));
    expect(await failureOf(directory, withFile)).toBe(
      "auth.enabled: root's password has at most 72 bytes, not 74",
    );
    writeFileSync(file, "from a file\r\n");
    chmodSync(file, 0o640);
    const server = await start(directory, withFile);
    expect(await asked(server, "from a file")).toEqual(["OK", EMPTY]);
    await server.stop();
    expect(logged.join("\n")).toContain("others may read root's first password");
    expect(logged.join("\n")).not.toContain("from a file");
  });

  test("looks at the password once, and knows tokens of before a restart", async () => {
    const directory = newDirectory();
    const first = { ...ENABLED, AETHER_AUTH_ROOT_PASSWORD: "first" };
    let server = await start(directory, first);
    const session = new AuthSession(server.clientAddress);
    const token = await tokenOf(server);
    expect(await session.run({ rpc: "KV/Put", request: {}, as: { token } })).toContain(
      "key is not",
    );
    session.close();
    await server.stop();
    server = await start(directory, { ...ENABLED, AETHER_AUTH_ROOT_PASSWORD: "second" });
    expect(await asked(server, "second")).toEqual([BAD, EMPTY]);
    expect(await asked(server, "first")).toEqual(["OK", EMPTY]);
    const again = new AuthSession(server.clientAddress);
    const put = { rpc: "KV/Put", request: { key: Buffer.from("k") }, as: { token } };
    expect(await again.run(put)).toStartWith("OK");
    await again.run({ as: "root", rpc: "Auth/AuthDisable" });
    again.close();
    await server.stop();
    server = await start(directory, ENABLED); // the password is not needed any more
    expect(await asked(server, "first")).toEqual([
      "9 etcdserver: authentication is not enabled",
      "OK",
    ]);
    await server.stop();
    expect(logged.join("\n")).toContain("auth is switched off in the cluster");
  });
});

async function tokenOf(server: RunningServer): Promise<string> {
  const answer = await fetch(`http://${server.clientAddress}/v3/auth/authenticate`, {
    method: "POST",
    body: JSON.stringify({ name: "root", password: "first" }),
  });
  return ((await answer.json()) as { token: string }).token;
}

test("until auth has begun nobody is served anything, at any address", () => {
  const { machine } = new AuthDriver();
  const driven = new Harness().driven;
  const { clock, turn } = driven;
  const tokens = new SimpleTokens(clock, 300);
  const group = { machine, appliedIndex: 0 };
  const auth = new Authorizer({
    group,
    tokens,
    clientCertAuth: false,
    mustBegin: true,
    clock,
    turn,
  });
  const served: string[] = [];
  const paths = [...new Harness().methods.keys()];
  const methods = auth.guard(
    paths.map((path) => ({ path, unary: (call) => served.push(call.path) })),
  );
  for (const { path, ...method } of methods) {
    if (!("unary" in method) || rowOf(path).needs === "nothing") continue;
    const run = (): void => method.unary(new FakeCall(path), new Uint8Array(0), 0, 0);
    expect(run).toThrow("unhealthy");
  }
  expect(served).toEqual([]);
  const begun = new AuthDriver();
  begun.begin("aGFzaA==");
  begun.user = "root";
  begun.disable();
  group.machine = begun.machine;
  const [first] = methods;
  if (first === undefined || !("unary" in first)) throw new Error("there are methods");
  first.unary(new FakeCall(first.path), new Uint8Array(0), 0, 0);
  expect(served).toEqual([first.path]); // users decide from now on
});
