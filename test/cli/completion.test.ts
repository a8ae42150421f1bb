/** The completion scripts, each run by its shell where the shell is installed. */
import { describe, expect, test } from "bun:test";
import { COMMANDS } from "../../src/cli/ctl/command-table.ts";
import { completionScript, type Shell } from "../../src/cli/ctl/completion.ts";
import { GLOBAL_ARGS } from "../../src/cli/ctl/globals.ts";
import { runFake } from "./fake-io.ts";

const known = await Promise.all(COMMANDS.map((row) => row.load()));
const script = (shell: Shell, program = "aether ctl"): string =>
  completionScript(shell, known, GLOBAL_ARGS, program);

async function output(words: string[]): Promise<string[]> {
  const child = Bun.spawn(words, { stderr: "inherit", stdin: "ignore" });
  const text = await new Response(child.stdout).text();
  return text.split(/\s+/).filter((word) => word !== "");
}

/** What the function that bash (and zsh, which has it emulated) calls puts in COMPREPLY. */
function driven(shell: "bash" | "zsh", prologue: string, program?: string) {
  return (...words: string[]): Promise<string[]> => {
    const driver = words[0] === "aether" ? "_aether" : "_aetherctl";
    const list = words.map((word) => `'${word}'`).join(" ");
    const typed = `COMP_WORDS=(${list}); COMP_CWORD=${words.length - 1}`;
    const run = `${typed}; ${driver}; echo "\${COMPREPLY[@]}"`;
    return output([shell, "-c", `${prologue}\n${script(shell, program)}\n${run}`]);
  };
}

async function offersWhatIsTyped(
  complete: (...words: string[]) => Promise<string[]>,
): Promise<void> {
  expect(await complete("aetherctl", "wa")).toEqual(["watch"]);
  expect(await complete("aether", "ctl", "lease", "gr")).toEqual(["grant"]);
  expect(await complete("aether", "c")).toEqual(["ctl"]);
  expect(await complete("aetherctl", "--hex", "get", "key", "--prin")).toEqual([
    "--print-value-only",
  ]);
  expect(await complete("aetherctl", "lease", "--com")).toEqual(["--command-timeout"]);
  expect(await complete("aetherctl", "role", "rev")).toEqual(["revoke-permission"]);
  expect(await complete("aetherctl", "completion", "po")).toEqual(["powershell"]);
}

test.skipIf(Bun.which("bash") === null)("bash", () => offersWhatIsTyped(driven("bash", "")));

test.skipIf(Bun.which("zsh") === null)("zsh", () => {
  const prologue = "autoload -U compinit; compinit -D; setopt ksharrays shwordsplit";
  const complete = driven("zsh", prologue);
  // zsh's own matching takes those that begin as the last word does from what it is offered.
  return offersWhatIsTyped(async (...words) => {
    const offered = await complete(...words);
    return offered.filter((word) => word.startsWith(words.at(-1) ?? ""));
  });
});

describe.skipIf(Bun.which("fish") === null)("fish", () => {
  const complete = (line: string): Promise<string[]> =>
    output(["fish", "--no-config", "-c", `${script("fish")}\ncomplete -C '${line}' | cut -f1`]);

  test("words", async () => {
    expect(await complete("aetherctl wa")).toEqual(["watch"]);
    expect(await complete("aether ctl lease gr")).toEqual(["grant"]);
    expect(await complete("aetherctl role rev")).toEqual(["revoke-permission"]);
    expect(await complete("aetherctl completion po")).toEqual(["powershell"]);
  });

  test("flags", async () => {
    expect(await complete("aetherctl get key --prin")).toEqual(["--print-value-only"]);
    expect(await complete("aether ctl lease grant --com")).toEqual(["--command-timeout"]);
  });
});

describe("PowerShell", () => {
  test("the table has every command and its flags", () => {
    const text = script("powershell");
    expect(text).toContain("'lease' = @{ Words = @('grant', 'revoke', 'timetolive', 'list', 'keep");
    expect(text).toMatch(/'get' = @\{ Words = @\(\); Flags = @\('--prefix', /);
    expect(text).toContain("-CommandName aether, aetherctl -ScriptBlock");
  });

  test.skipIf(Bun.which("pwsh") === null)("offers what is typed", async () => {
    const ask = "(TabExpansion2 'aetherctl wa' 12).CompletionMatches.CompletionText";
    expect(await output(["pwsh", "-NoProfile", "-c", `${script("powershell")}\n${ask}`])).toEqual([
      "watch",
    ]);
  });
});

test("called as etcdctl, the scripts serve that name too", () => {
  expect(script("bash", "etcdctl")).toContain(
    "complete -o default -F _aetherctl aetherctl etcdctl",
  );
  expect(script("fish", "etcdctl")).toContain("complete -c etcdctl -f");
  expect(script("powershell", "etcdctl")).toContain("-CommandName aether, aetherctl, etcdctl ");
  expect(script("bash")).not.toContain("etcdctl etcdctl");
});

test("a shell that is none", async () => {
  expect(await runFake(["completion", "tcsh"])).toMatchObject({
    status: 1,
    stderr: 'Error: invalid argument "tcsh" for "aether ctl completion"\n',
  });
  expect(await runFake(["completion"])).toMatchObject({
    status: 1,
    stderr: "Error: accepts 1 arg(s), received 0\n",
  });
});
