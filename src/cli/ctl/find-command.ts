/**
 * Which command a command line means. Words may be shortened as long as they are unambiguous
 * (`compact`, `member l`), and global flags may stand before, between and after them.
 */
import type { ArgsDef } from "citty";
import { nearest } from "../../base/nearest.ts";
import { takesNext } from "../arguments.ts";
import { UsageError } from "../exit.ts";

interface Named {
  readonly name: string;
}

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
export function findCommand<C extends Named>(
  words: readonly string[],
  commands: readonly C[],
  globals: ArgsDef,
  program: string,
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
    path = step(path, word, commands, program);
    const command = commands.find((each) => each.name === path);
    if (command === undefined) continue;
    rest.push(...words.slice(at + 1));
    return { kind: "command", command, rest };
  }
  return { kind: "group", name: path, rest };
}

/** The path one word further. */
function step(path: string, word: string, commands: readonly Named[], program: string): string {
  const prefix = path === "" ? "" : `${path} `;
  const next = new Set<string>();
  for (const { name } of commands) {
    if (name.startsWith(prefix)) next.add(name.slice(prefix.length).split(" ")[0] as string);
  }
  if (next.has(word)) return prefix + word;
  const fitting = [...next].filter((each) => word !== "" && each.startsWith(word));
  const [only] = fitting;
  if (only !== undefined && fitting.length === 1) return prefix + only;
  throw unknownCommand(word, path === "" ? program : `${program} ${path}`, next);
}

/** As etcdctl complains, which takes an ambiguous word for an unknown one. */
function unknownCommand(word: string, where: string, known: ReadonlySet<string>): UsageError {
  const text = `unknown command ${JSON.stringify(word)} for ${JSON.stringify(where)}`;
  const begun = [...known].filter((each) => word !== "" && each.startsWith(word));
  const near = begun.length > 0 ? begun : [nearest(word, known) ?? []].flat();
  if (near.length === 0) return new UsageError(text);
  const list = near.map((each) => `\t${each}\n`).join("");
  return new UsageError(text, `\n\nDid you mean this?\n${list}`);
}
