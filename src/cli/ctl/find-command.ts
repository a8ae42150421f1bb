/**
 * Which command a command line means. Words may be shortened as long as they are unambiguous
 * (`compact`, `member l`), and global flags may stand before, between and after them.
 */
import type { ArgsDef } from "citty";
import { nearest } from "../../base/nearest.ts";
import { takesNext } from "../arguments.ts";
import { UsageError } from "../exit.ts";
import type { CommandInfo } from "./command-info.ts";

export type Found<C> =
  | {
      readonly kind: "command";
      readonly command: C;
      /** The command line without the command's own words. */
      readonly rest: readonly string[];
    }
  /** Only the first word of commands with two; "" when there was none at all. */
  | { readonly kind: "group"; readonly name: string; readonly rest: readonly string[] };

/** Throws UsageError when the words name no command, or several. */
export function findCommand<C extends CommandInfo>(
  words: readonly string[],
  commands: readonly C[],
  globals: ArgsDef,
): Found<C> {
  const rest: string[] = [];
  let path = "";
  for (let at = 0; at < words.length; at++) {
    const word = words[at] as string;
    if (word === "--") {
      rest.push(...words.slice(at));
      break;
    }
    rest.push(word);
    if (word.startsWith("-") && word !== "-") {
      if (takesNext(word, globals) && at + 1 < words.length) rest.push(words[++at] as string);
      continue;
    }
    rest.pop();
    path = step(path, word, commands);
    const command = commands.find((each) => each.name === path);
    if (command === undefined) continue;
    rest.push(...words.slice(at + 1));
    return { kind: "command", command, rest };
  }
  return { kind: "group", name: path, rest };
}

/** The path one word further. */
function step(path: string, word: string, commands: readonly CommandInfo[]): string {
  const prefix = path === "" ? "" : `${path} `;
  const next = new Set<string>();
  for (const { name } of commands) {
    if (name.startsWith(prefix)) next.add(name.slice(prefix.length).split(" ")[0] as string);
  }
  if (next.has(word)) return prefix + word;
  const fitting = [...next].filter((each) => word !== "" && each.startsWith(word));
  const [only] = fitting;
  if (only !== undefined && fitting.length === 1) return prefix + only;
  const where = path === "" ? "aether ctl" : `aether ctl ${path}`;
  if (fitting.length > 1) {
    throw new UsageError(`ambiguous command "${word}" for "${where}": ${fitting.join(", ")}`);
  }
  const near = nearest(word, next);
  const hint = near === undefined ? "" : `; did you mean ${near}?`;
  throw new UsageError(`unknown command "${word}" for "${where}"${hint}`);
}
