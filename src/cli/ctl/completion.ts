/**
 * Completion scripts for shells, made from the command table: each knows the words that may follow
 * and the flags of each command, and offers files for nothing else. They serve `aetherctl` and
 * `aether ctl` alike, and `etcdctl` when that is what we are called.
 */
import type { ArgsDef } from "citty";
import type { CommandInfo } from "./command-info.ts";
import { type Position, powershellScript } from "./completion-powershell.ts";

export const SHELLS = ["bash", "zsh", "fish", "powershell"] as const;
export type Shell = (typeof SHELLS)[number];

/** The script that a shell reads. */
export function completionScript(
  shell: Shell,
  commands: readonly CommandInfo[],
  globals: ArgsDef,
  program: string,
): string {
  const clients = program === "etcdctl" ? ["aetherctl", "etcdctl"] : ["aetherctl"];
  if (shell === "fish") return fishScript(commands, globals, clients);
  const positions = positionsOf(commands, globals);
  if (shell === "powershell") return powershellScript(positions, clients);
  const bash = bashScript(positions, clients);
  // zsh runs bash's functions once it is told to emulate bash's complete.
  return shell === "bash" ? bash : `autoload -U +X bashcompinit && bashcompinit\n${bash}`;
}

function flagsOf(args: ArgsDef): string[] {
  return Object.entries(args)
    .filter(([, definition]) => definition.type !== "positional")
    .map(([name]) => `--${name}`);
}

function positionsOf(commands: readonly CommandInfo[], globals: ArgsDef): Position[] {
  const shared = flagsOf(globals);
  const words = new Map<string, Set<string>>([["", new Set()]]);
  for (const { name } of commands) {
    const [first = "", second] = name.split(" ");
    words.get("")?.add(first);
    if (second === undefined) continue;
    if (!words.has(first)) words.set(first, new Set());
    words.get(first)?.add(second);
  }
  const groups = [...words].map(([path, next]) => ({ path, words: [...next], flags: shared }));
  const leaves = commands.map(({ name, args }) => {
    const next = name === "completion" ? [...SHELLS] : [];
    return { path: name, words: next, flags: [...flagsOf(args), ...shared] };
  });
  return [...groups, ...leaves];
}

function bashScript(positions: readonly Position[], clients: readonly string[]): string {
  const cases = positions.map(({ path, words, flags }) => {
    return `    "${path}") words="${words.join(" ")}"; flags="${flags.join(" ")}" ;;`;
  });
  const known = positions.map(({ path }) => `"${path}"`).join("|");
  return `# Completion for aetherctl and aether ctl.
# Load it with: source <(aether ctl completion bash)
_aetherctl() {
  local current="\${COMP_WORDS[COMP_CWORD]}" at="" try="" words="" flags="" i
  local first=1
  if [[ "\${COMP_WORDS[1]}" == ctl ]]; then first=2; fi
  for ((i = first; i < COMP_CWORD; i++)); do
    [[ "\${COMP_WORDS[i]}" == -* ]] && continue
    try="\${at:+$at }\${COMP_WORDS[i]}"
    case "$try" in
    ${known}) at="$try" ;;
    esac
  done
  case "$at" in
${cases.join("\n")}
  esac
  if [[ "$current" == -* ]]; then words="$flags"; fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
_aether() {
  if [[ COMP_CWORD -eq 1 ]]; then
    local known="ctl --help --version --config --addr --data-dir"
    COMPREPLY=($(compgen -W "$known" -- "\${COMP_WORDS[1]}"))
  elif [[ "\${COMP_WORDS[1]}" == ctl ]]; then
    _aetherctl
  fi
}
complete -o default -F _aetherctl ${clients.join(" ")}
complete -o default -F _aether aether
`;
}

function fishScript(
  commands: readonly CommandInfo[],
  globals: ArgsDef,
  clients: readonly string[],
): string {
  const lines = [
    "# Completion for aetherctl and aether ctl. Load it with: aether ctl completion fish | source",
    "function __aetherctl_at --description 'the words typed so far are these'",
    "  set -l typed (commandline -opc)[2..-1]",
    '  test "$typed[1]" = ctl; and set -e typed[1]',
    "  set -l words (string match -v -- '-*' $typed)",
    '  test "$words" = "$argv"',
    "end",
    "function __aetherctl_in --description 'the words typed so far begin with these'",
    "  set -l typed (commandline -opc)[2..-1]",
    '  test "$typed[1]" = ctl; and set -e typed[1]',
    "  set -l words (string match -v -- '-*' $typed)",
    "  set -l length (count $argv)",
    '  test "$words[1..$length]" = "$argv"',
    "end",
    "complete -c aether -n 'test (count (commandline -opc)) -eq 1' -a ctl -d Client",
  ];
  const groups = new Set<string>();
  for (const { name, summary, args } of commands) {
    const [first = "", second] = name.split(" ");
    if (second === undefined) lines.push(...fishWord(clients, "", first, summary));
    else {
      if (!groups.has(first)) {
        lines.push(...fishWord(clients, "", first, `Commands about ${first}`));
      }
      groups.add(first);
      lines.push(...fishWord(clients, first, second, summary));
    }
    lines.push(...fishFlags(clients, `__aetherctl_in ${name}`, args));
  }
  const [completion] = commands.filter(({ name }) => name === "completion");
  for (const shell of completion === undefined ? [] : SHELLS) {
    lines.push(...fishWord(clients, "completion", shell, `The script for ${shell}`));
  }
  lines.push(...fishFlags(clients, "true", globals));
  return `${lines.join("\n")}\n`;
}

function fishWord(
  clients: readonly string[],
  path: string,
  word: string,
  summary: string,
): string[] {
  return [...clients, "aether"].map((program) => {
    const client = program === "aether" ? "contains ctl (commandline -opc); and " : "";
    const condition = `'${client}__aetherctl_at ${path}'`;
    return `complete -c ${program} -f -n ${condition} -a ${word} -d ${quoted(summary)}`;
  });
}

function fishFlags(clients: readonly string[], condition: string, args: ArgsDef): string[] {
  const lines: string[] = [];
  for (const [name, definition] of Object.entries(args)) {
    if (definition.type === "positional") continue;
    const value = definition.type === "boolean" ? "" : " -r";
    const text = quoted(definition.description ?? "");
    for (const each of clients) {
      lines.push(`complete -c ${each} -n '${condition}' -l ${name}${value} -d ${text}`);
    }
    const client = `contains ctl (commandline -opc); and ${condition}`;
    lines.push(`complete -c aether -n '${client}' -l ${name}${value} -d ${text}`);
  }
  return lines;
}

function quoted(text: string): string {
  return `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
}
