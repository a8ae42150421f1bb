/**
 * A command line as Go's flag package reads one, for programs that were written against etcd:
 *
 *   -name value  -name=value  --name …  -bool  -bool=false  --
 *
 * Flags end at the first word that is none. The complaints are Go's: scripts know them.
 */
import { UsageError } from "../exit.ts";

/** `boolean` takes a value only after `=`; `optional` is any text or none; undefined: unknown. */
export type GoFlagKind = "boolean" | "value" | "optional" | undefined;

export interface GoFlags {
  /** The last value given for each flag. */
  readonly values: ReadonlyMap<string, string>;
  /** What follows the flags. */
  readonly rest: readonly string[];
}

/** Throws UsageError. `help` and `h` end the reading: they have the value "true". */
export function parseGoFlags(
  words: readonly string[],
  kindOf: (name: string) => GoFlagKind,
): GoFlags {
  const values = new Map<string, string>();
  let at = 0;
  for (; at < words.length; at++) {
    const word = words[at] as string;
    if (word === "--") return { values, rest: words.slice(at + 1) };
    if (word.length < 2 || !word.startsWith("-")) break;
    const [, name, given] = /^--?([^-=][^=]*)(?:=(.*))?$/s.exec(word) ?? [];
    if (name === undefined) throw new UsageError(`bad flag syntax: ${word}`);
    const kind = kindOf(name);
    if (kind === undefined) {
      if (name !== "help" && name !== "h") {
        throw new UsageError(`flag provided but not defined: -${name}`);
      }
      return { values: new Map([["help", "true"]]), rest: [] };
    }
    const value = given ?? (kind === "value" ? words[++at] : "true");
    if (value === undefined) throw new UsageError(`flag needs an argument: -${name}`);
    values.set(name, value);
  }
  return { values, rest: words.slice(at) };
}
