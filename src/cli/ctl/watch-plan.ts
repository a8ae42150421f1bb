/**
 * What a watch command line asks for, whether typed in a shell or as a line of `watch -i`:
 *
 *   watch [flags] key [range_end] [-- program argument…]
 *
 * ETCDCTL_WATCH_KEY and ETCDCTL_WATCH_RANGE_END may stand for the key and the range end.
 */
import type { ArgsDef } from "citty";
import { type Key, keyFromText } from "../../base/bytes.ts";
import { type Arguments, parseArguments } from "../arguments.ts";
import { EXIT, ExitError } from "../exit.ts";
import { type KeyRange, keyRange } from "./key-range.ts";
import { textOf } from "./words.ts";

export const WATCH_ARGS: ArgsDef = {
  key: { type: "positional", required: false, description: "The key, or the first of a range" },
  range_end: { type: "positional", required: false, description: "The first key after the range" },
  prefix: { type: "boolean", description: "All keys that begin with the key" },
  rev: { type: "string", default: "0", valueHint: "n", description: "Begin at this revision" },
  "prev-kv": { type: "boolean", description: "Print what was there before, too" },
  "progress-notify": {
    type: "boolean",
    description: "Let the server say now and then how far it is",
  },
  interactive: {
    type: "boolean",
    alias: "i",
    description: "Read watch commands from standard input",
  },
};

export interface WatchPlan extends KeyRange {
  /** 0: from now on. */
  readonly startRevision: number;
  readonly prevKv: boolean;
  readonly progressNotify: boolean;
  /** Run after each event; empty: nothing. */
  readonly program: readonly string[];
}

/** The key and range end of the environment. */
export interface WatchVariables {
  readonly key: string;
  readonly rangeEnd: string;
}

/** AETHERCTL_WATCH_KEY and AETHERCTL_WATCH_RANGE_END, or etcdctl's names for them. */
export function watchVariables(
  environment: Readonly<Record<string, string | undefined>>,
): WatchVariables {
  const read = (name: string): string =>
    environment[`AETHERCTL_${name}`] || environment[`ETCDCTL_${name}`] || "";
  const variables = { key: read("WATCH_KEY"), rangeEnd: read("WATCH_RANGE_END") };
  if (variables.key === "" && variables.rangeEnd !== "") {
    const got = `got ETCDCTL_WATCH_RANGE_END=${JSON.stringify(variables.rangeEnd)}`;
    throw bad(`ETCDCTL_WATCH_KEY is empty but ${got}`);
  }
  return variables;
}

/** The plan of a shell's command line. Throws ExitError BAD_ARGUMENTS. */
export function planWatch(args: Arguments, variables: WatchVariables): WatchPlan {
  return plan(args, args.positionals.map(keyFromText), args.positionals, variables);
}

/** The plan of a line of `watch -i` after its first word. Throws ExitError or UsageError. */
export function planWatchLine(words: readonly Key[], variables: WatchVariables): WatchPlan {
  const args = parseArguments(words, WATCH_ARGS);
  return plan(args, args.positionals, args.positionals.map(textOf), variables);
}

function plan(
  args: Arguments,
  keys: readonly Key[],
  texts: readonly string[],
  variables: WatchVariables,
): WatchPlan {
  const typed = keys.slice(0, args.beforeDashes);
  const program = args.beforeDashes === undefined ? [] : texts.slice(args.beforeDashes);
  if (args.beforeDashes !== undefined && program.length === 0) {
    throw bad("bad number of arguments (found separator --, but no commands)");
  }
  if (variables.key !== "" && typed.length > 0) {
    throw bad("bad number of arguments (found conflicting environment key)");
  }
  const given = variables.key === "" ? typed : variableKeys(variables);
  if (given.length === 0 || given.length > 2) throw bad("bad number of arguments");
  const prefix = args.on("prefix");
  if (prefix && given.length === 2) throw bad("`range_end` and `--prefix` are mutually exclusive");
  return {
    ...keyRange(given, { prefix, fromKey: false }),
    startRevision: args.integer("rev"),
    prevKv: args.on("prev-kv"),
    progressNotify: args.on("progress-notify"),
    program,
  };
}

function variableKeys({ key, rangeEnd }: WatchVariables): Key[] {
  return (rangeEnd === "" ? [key] : [key, rangeEnd]).map(keyFromText);
}

function bad(message: string): ExitError {
  return new ExitError(EXIT.BAD_ARGUMENTS, message);
}
