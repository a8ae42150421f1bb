/**
 * The strict reading of a command line against citty's definitions, in one place: citty itself
 * accepts unknown flags and missing values in silence. The forms are those of etcdctl's flags:
 *
 *   --name=value  --name value  --bool  --bool=false  --no-bool  -w json  -wjson  -iw json  --
 *
 * Flags may stand between arguments; what follows `--` are arguments. A flag given twice has two
 * values, of which most readers take the last.
 */
import type { ArgDef, ArgsDef } from "citty";
import { nearest } from "../base/nearest.ts";
import { UsageError } from "./exit.ts";
import { parseInt64 } from "./integers.ts";

/** A command line taken apart; the readers throw UsageError for a value of the wrong kind. */
export class Arguments {
  readonly positionals: readonly string[];
  /** How many arguments stood before `--`; undefined without one. */
  readonly beforeDashes: number | undefined;
  readonly #definitions: ArgsDef;
  readonly #values: ReadonlyMap<string, readonly string[]>;

  constructor(
    definitions: ArgsDef,
    values: ReadonlyMap<string, readonly string[]>,
    positionals: readonly string[],
    beforeDashes: number | undefined,
  ) {
    this.#definitions = definitions;
    this.#values = values;
    this.positionals = positionals;
    this.beforeDashes = beforeDashes;
  }

  /** Every value given for the flag, in order; empty when it was not given. */
  given(flag: string): readonly string[] {
    return this.#values.get(flag) ?? [];
  }

  /** The last value given, or the default of the definition, or "". */
  text(flag: string): string {
    const initial = this.#definitions[flag]?.default;
    return this.given(flag).at(-1) ?? (initial === undefined ? "" : String(initial));
  }

  /** Whether a boolean flag is on. */
  on(flag: string): boolean {
    return this.text(flag) === "true";
  }

  /** A whole number; 0x… is understood. */
  integer(flag: string): number {
    const text = this.text(flag);
    try {
      return Number(parseInt64(text === "" ? "0" : text, 0, "counter"));
    } catch (error) {
      throw new UsageError(`invalid argument "${text}" for "--${flag}" flag: ${reason(error)}`);
    }
  }
}

function reason(error: unknown): string {
  if (!(error instanceof Error)) throw error;
  return error.message;
}

/**
 * Takes `words` apart. Throws UsageError for what `definitions` do not have. `otherwise` has the
 * values of flags that are not given (from the environment, say), checked as if they had been.
 */
export function parseArguments(
  words: readonly string[],
  definitions: ArgsDef,
  otherwise: ReadonlyMap<string, string> = new Map(),
): Arguments {
  const values = new Map<string, string[]>();
  const positionals: string[] = [];
  let beforeDashes: number | undefined;
  const add = (name: string, value: string): void => {
    const list = values.get(name);
    if (list === undefined) values.set(name, [value]);
    else list.push(value);
  };
  let at = 0;
  const following = (): string | undefined => words[at++];
  while (at < words.length) {
    const word = words[at++] as string;
    if (word === "--") {
      beforeDashes = positionals.length;
      positionals.push(...words.slice(at));
      break;
    }
    if (word.startsWith("--")) takeLong(word, definitions, following, add);
    else if (word.startsWith("-") && word !== "-") takeShort(word, definitions, following, add);
    else positionals.push(word);
  }
  for (const [name, value] of otherwise) {
    if (!values.has(name)) takeLong(`--${name}=${value}`, definitions, following, add);
  }
  return new Arguments(definitions, values, positionals, beforeDashes);
}

type Following = () => string | undefined;
type Add = (name: string, value: string) => void;

function takeLong(word: string, definitions: ArgsDef, following: Following, add: Add): void {
  const equals = word.indexOf("=");
  const name = word.slice(2, equals === -1 ? undefined : equals);
  const given = equals === -1 ? undefined : word.slice(equals + 1);
  const definition = flagNamed(name, definitions);
  if (definition === undefined) {
    const plain = name.startsWith("no-") ? name.slice(3) : "";
    if (given !== undefined || flagNamed(plain, definitions)?.type !== "boolean") {
      throw unknownFlag(name, definitions);
    }
    add(plain, "false");
  } else if (definition.type === "boolean") {
    add(name, given === undefined ? "true" : booleanOf(given, name));
  } else {
    const value = given ?? following();
    if (value === undefined) throw new UsageError(`flag needs an argument: --${name}`);
    add(name, oneOf(value, name, definition));
  }
}

/** `-iw json`: boolean letters, then perhaps one with a value, joined, after `=` or apart. */
function takeShort(word: string, definitions: ArgsDef, following: Following, add: Add): void {
  for (let at = 1; at < word.length; at++) {
    const letter = word[at] as string;
    const found = Object.entries(definitions).find(([, each]) => hasAlias(each, letter));
    if (found === undefined) {
      throw new UsageError(`unknown shorthand flag: '${letter}' in ${word}`);
    }
    const [name, definition] = found;
    const rest = word.slice(at + 1);
    if (definition.type === "boolean") {
      if (!rest.startsWith("=")) {
        add(name, "true");
        continue;
      }
      add(name, booleanOf(rest.slice(1), name));
      return;
    }
    const joined = rest.startsWith("=") ? rest.slice(1) : rest;
    const value = rest === "" ? following() : joined;
    if (value === undefined) {
      throw new UsageError(`flag needs an argument: '${letter}' in ${word}`);
    }
    add(name, oneOf(value, name, definition));
    return;
  }
}

function flagNamed(name: string, definitions: ArgsDef): ArgDef | undefined {
  if (!Object.hasOwn(definitions, name)) return undefined;
  const definition = definitions[name];
  return definition?.type === "positional" ? undefined : definition;
}

/** Whether `letter` is a short form of the flag. */
export function hasAlias(definition: ArgDef, letter: string): boolean {
  if (!("alias" in definition)) return false;
  return [definition.alias ?? []].flat().includes(letter);
}

/** Whether `word` is a flag that takes the next word as its value; unknown flags take none. */
export function takesNext(word: string, definitions: ArgsDef): boolean {
  if (word.includes("=")) return false;
  if (word.startsWith("--")) {
    const definition = flagNamed(word.slice(2), definitions);
    return definition !== undefined && definition.type !== "boolean";
  }
  const last = word.at(-1) ?? "";
  const long = word.slice(1, -1);
  const [, definition] = Object.entries(definitions).find(([, each]) => hasAlias(each, last)) ?? [];
  if (definition === undefined || definition.type === "boolean") return false;
  return [...long].every((letter) =>
    Object.values(definitions).some((each) => each.type === "boolean" && hasAlias(each, letter)),
  );
}

function unknownFlag(name: string, definitions: ArgsDef): UsageError {
  const flags = Object.keys(definitions).filter((each) => flagNamed(each, definitions));
  const near = nearest(name, flags);
  const hint = near === undefined ? "" : `; did you mean --${near}?`;
  return new UsageError(`unknown flag: --${name}${hint}`);
}

const TRUE = new Set(["1", "t", "T", "true", "TRUE", "True"]);
const FALSE = new Set(["0", "f", "F", "false", "FALSE", "False"]);

function booleanOf(text: string, name: string): "true" | "false" {
  if (TRUE.has(text)) return "true";
  if (FALSE.has(text)) return "false";
  const why = `strconv.ParseBool: parsing ${JSON.stringify(text)}: invalid syntax`;
  throw new UsageError(`invalid argument "${text}" for "--${name}" flag: ${why}`);
}

function oneOf(value: string, name: string, definition: ArgDef): string {
  if (definition.type !== "enum" || definition.options?.includes(value)) return value;
  const words = definition.options?.join(", ") ?? "";
  throw new UsageError(`invalid argument "${value}" for "--${name}" flag: expected ${words}`);
}
