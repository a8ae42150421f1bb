/** Completion for the program called etcdutl: words first, then the flags of what was typed. */
import type { CommandInfo } from "../ctl/command-info.ts";
import { UTL_GLOBAL_ARGS } from "./global-args.ts";

export const SHELLS = ["bash", "zsh", "fish", "powershell"] as const;
export type Shell = (typeof SHELLS)[number];

/** What may follow each path of words. */
function wordsAfter(commands: readonly CommandInfo[]): Map<string, string[]> {
  const next = new Map<string, string[]>([["", []]]);
  const globals = Object.keys(UTL_GLOBAL_ARGS).map((flag) => `--${flag}`);
  for (const { name, args } of commands) {
    const words = name.split(" ");
    for (let at = 0; at < words.length; at++) {
      const path = words.slice(0, at).join(" ");
      const known = next.get(path) ?? [];
      const word = words[at] as string;
      if (!known.includes(word)) next.set(path, [...known, word]);
    }
    const flags = Object.entries(args).filter(([, each]) => each.type !== "positional");
    next.set(name, [...flags.map(([flag]) => `--${flag}`), ...globals]);
  }
  return next;
}

/** The script for a shell. */
export function completionScript(shell: Shell, commands: readonly CommandInfo[]): string {
  const table = wordsAfter(commands);
  if (shell === "fish") return fish(table);
  if (shell === "powershell") return powershell(table);
  const cases = [...table].map(([path, words]) => `    "${path}") words="${words.join(" ")}" ;;`);
  const bash = [
    "_etcdutl() {",
    '  local path="" words="" word',
    `  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do`,
    `    [[ $word == -* ]] || path="\${path:+$path }$word"`,
    "  done",
    '  case "$path" in',
    ...cases,
    "  esac",
    `  COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))`,
    "}",
    "complete -o default -F _etcdutl etcdutl",
  ];
  const zsh = shell === "zsh" ? ["autoload -U +X bashcompinit && bashcompinit"] : [];
  return `${[...zsh, ...bash].join("\n")}\n`;
}

function fish(table: ReadonlyMap<string, string[]>): string {
  const lines: string[] = [];
  for (const [path, words] of table) {
    const seen = path.split(" ").filter((word) => word !== "");
    const typed = seen.map((word) => `__fish_seen_subcommand_from ${word}`);
    const condition = seen.length === 0 ? "__fish_use_subcommand" : typed.join("; and ");
    for (const word of words) {
      const what = word.startsWith("--") ? `-l ${word.slice(2)}` : `-f -a ${word}`;
      lines.push(`complete -c etcdutl -n '${condition}' ${what}`);
    }
  }
  return `${lines.join("\n")}\n`;
}

function powershell(table: ReadonlyMap<string, string[]>): string {
  const cases = [...table].map(([path, words]) => {
    return `    '${path}' = @(${words.map((word) => `'${word}'`).join(", ")})`;
  });
  const lines = [
    "Register-ArgumentCompleter -Native -CommandName etcdutl -ScriptBlock {",
    "  param($typed, $ast, $position)",
    "  $words = @{",
    ...cases,
    "  }",
    '  $path = ($ast.CommandElements | Select-Object -Skip 1 | ForEach-Object { "$_" } |',
    "    Where-Object { $_ -notlike '-*' -and $_ -ne $typed }) -join ' '",
    '  $words[$path] | Where-Object { $_ -like "$typed*" }',
    "}",
  ];
  return `${lines.join("\n")}\n`;
}
