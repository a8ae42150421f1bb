/** Secrets on the command line of a client: gone from where everybody could read them. */
import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { COMMANDS } from "../../src/cli/ctl/command-table.ts";
import { GLOBAL_ARGS } from "../../src/cli/ctl/globals.ts";
import { SECRET_FLAGS, USER_FLAGS } from "../../src/cli/hidden-arguments.ts";
import { until } from "../support/processes.ts";

const MAIN = join(import.meta.dir, "../../src/main.ts");

/** Listens and answers nothing, so that a client stays for as long as it is looked at. */
const silent = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
const PLACE = ["--endpoints", `127.0.0.1:${silent.port}`, "--dial-timeout", "60s"] as const;

/** The command line of a client that was started with `words`, once it is what we wait for. */
async function commandLine(words: readonly string[], expected: RegExp): Promise<readonly string[]> {
  const child = Bun.spawn([process.execPath, MAIN, "ctl", ...words, ...PLACE], {
    stdin: "ignore",
    stdout: "ignore",
    stderr: "ignore",
  });
  const read = (): string => readFileSync(`/proc/${child.pid}/cmdline`, "utf8");
  try {
    await until(`${words.join(" ")} hides what it must`, () => expected.test(read()));
    return read()
      .split("\0")
      .slice(3, 3 + words.length);
  } finally {
    child.kill("SIGKILL");
    await child.exited;
  }
}

describe.skipIf(!existsSync("/proc/self/cmdline"))("the process list shows stars", () => {
  const cases: readonly (readonly [given: string, shown: string])[] = [
    ["--user root:s3cret:x get k", "--user root:******** get k"],
    ["--user=root:s3cret get k", "--user=root:****** get k"],
    ["--user root --password s3cret get k", "--user root --password ****** get k"],
    ["get k --user root --password=a:s3cret", "get k --user root --password=********"],
    ["--auth-jwt-token s3cret get k", "--auth-jwt-token ****** get k"],
    ["user add alice:s3cret", "user add alice:******"],
    ["user add alice --new-user-password s3cret", "user add alice --new-user-password ******"],
    ["user add alice --user root:a --password b:c", "user add alice --user root:* --password ***"],
    ["put k pässwörd:x --password pässwörd", `put k pässwörd:x --password ${"*".repeat(10)}`],
  ];
  test.each([...cases])("%s", async (given, shown) => {
    expect(await commandLine(given.split(" "), /\*/)).toEqual(shown.split(" "));
  });
});

test("every flag that takes a secret is known", async () => {
  const known = new Set([...SECRET_FLAGS, ...USER_FLAGS]);
  const harmless = new Set(["password-file", "no-password", "initial-cluster-token"]);
  const found = new Set<string>();
  const commands = await Promise.all(COMMANDS.map((row) => row.load()));
  for (const { args } of [...commands, { args: GLOBAL_ARGS }]) {
    for (const [flag, { type }] of Object.entries(args)) {
      const mayBeSecret = /password|token|secret|user$/.test(flag) && type !== "positional";
      if (mayBeSecret && !harmless.has(flag)) found.add(flag);
    }
  }
  expect([...found].sort()).toEqual([...known].sort());
});
