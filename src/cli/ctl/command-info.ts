/** What is to be known of a client command without running it: for help, completion, checks. */
import type { ArgsDef } from "citty";
import type { Format } from "./output/answer.ts";

export interface CommandInfo {
  /** One word, or two: "lease grant". */
  readonly name: string;
  /** One line for the list of commands. */
  readonly summary: string;
  /** More, for its own help. */
  readonly about?: string;
  readonly args: ArgsDef;
  /** Command lines to try, after the program's name. */
  readonly examples: readonly string[];
  /** The forms its output has; absent: it has one, whatever `-w` says. */
  readonly formats?: readonly Format[];
}

/** A command that is loaded when it is needed. */
export interface CommandEntry {
  /** One word, or two: "lease grant". */
  readonly name: string;
  load(): Promise<CommandInfo>;
}

/** Of commands whose answer is a list of texts, which etcdctl has no fields for. */
export const PLAIN_FORMATS: readonly Format[] = ["simple", "json", "protobuf"];
export const MESSAGE_FORMATS: readonly Format[] = ["simple", "json", "fields", "protobuf"];
export const REPORT_FORMATS: readonly Format[] = ["simple", "json", "fields", "table"];
