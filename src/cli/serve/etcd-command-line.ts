/**
 * The command line of a server that is called `etcd`: etcd's flags by etcd's rules, and its form of
 * --version and --help, as far as scripts look at them.
 */
import { arch } from "node:os";
import { formatDuration } from "../../base/durations.ts";
import { ETCD_VERSION, VERSION } from "../../base/version.ts";
import { checkValue, fromText } from "../../server/config/check.ts";
import { ConfigError } from "../../server/config/config-error.ts";
import { ETCD_SETTINGS } from "../../server/config/etcd/etcd-settings.ts";
import type { Meaning } from "../../server/config/setting.ts";
import { SETTINGS } from "../../server/config/settings.ts";
import { UsageError } from "../exit.ts";
import type { ServeCommand } from "./command-line.ts";
import { type GoFlagKind, parseGoFlags } from "./go-flags.ts";

/** What etcd complains of after its flags were read; it ends with 1 then. */
export class StrayWordError extends Error {
  override readonly name = "StrayWordError";
}

type Row = Meaning & { readonly valueOptional?: true };

const FLAGS: ReadonlyMap<string, Row> = new Map<string, Row>([
  ...SETTINGS.flatMap((setting) => {
    const { etcd, twins = [], yamlOnly } = setting;
    if (etcd === undefined || yamlOnly === true) return [];
    return [etcd, ...twins].map((name): [string, Row] => [name, setting]);
  }),
  ...ETCD_SETTINGS.filter(({ yamlOnly }) => yamlOnly !== true).flatMap((setting) => {
    const { etcd, twins = [] } = setting;
    return [etcd, ...twins].map((name): [string, Row] => [name, setting]);
  }),
]);

/** Programs of etcd's that are started by its first word. */
const OTHER_PROGRAMS = new Set(["gateway", "grpc-proxy"]);

/** Throws UsageError for what Go's flags would not take, StrayWordError for what etcd would not. */
export function readEtcdCommandLine(words: readonly string[]): ServeCommand {
  const [first = ""] = words;
  if (OTHER_PROGRAMS.has(first)) {
    throw new StrayWordError(`etcd ${first} is not in this version (Aether ${VERSION})`);
  }
  const { values, rest } = parseGoFlags(words, kindOf);
  if (values.get("help") === "true") return { kind: "help" };
  for (const [name, text] of values) checkFlag(name, text);
  const [stray] = rest;
  if (stray !== undefined) throw new StrayWordError(`${JSON.stringify(stray)} is not a valid flag`);
  if (values.get("version") === "true") return { kind: "version" };
  const flags = new Map([...values].filter(([name]) => FLAGS.has(name)));
  const etcdFile = values.get("config-file") || undefined;
  return { kind: "serve", configFile: undefined, etcdFile, flags };
}

function kindOf(name: string): GoFlagKind {
  if (name === "version") return "boolean";
  if (name === "config-file") return "value";
  const row = FLAGS.get(name);
  if (row === undefined) return undefined;
  if (row.valueOptional === true) return "optional";
  return row.kind === "boolean" ? "boolean" : "value";
}

/** A value of the wrong kind ends with 2, as Go's flags do; one that is refused is our own word. */
function checkFlag(name: string, text: string): void {
  const row = FLAGS.get(name);
  if (row === undefined) return;
  try {
    const { refused: _refused, ...meaning } = row;
    checkValue(meaning, fromText(row, text), `--${name}`);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const kind = row.kind === "boolean" ? "boolean value" : "value";
    const reason = error.message.slice(`--${name}: `.length);
    throw new UsageError(`invalid ${kind} ${JSON.stringify(text)} for flag -${name}: ${reason}`);
  }
}

/** etcd's four lines; those that say what built etcd say what this is. */
export function etcdVersion(): string {
  const goArch = { x64: "amd64" }[arch() as string] ?? arch();
  return [
    `etcd Version: ${ETCD_VERSION}`,
    `Git SHA: none (this is Aether ${VERSION}, which answers as etcd ${ETCD_VERSION})`,
    `Go Version: none (Bun ${Bun.version})`,
    `Go OS/Arch: ${process.platform}/${goArch}`,
    "",
  ].join("\n");
}

/** Every flag with its default and what it means here. */
export function etcdHelp(): string {
  const rows = [...FLAGS].map(([name, row]) => {
    const { kind, initial, help, inert, refused } = row as Row & { inert?: string };
    const duration = kind === "duration" ? formatDuration(Number(initial) * NS_PER_MS) : initial;
    const shown = name === "data-dir" ? OWN_DIRECTORY : duration;
    const note = inert ?? refused;
    const about =
      note === undefined ? help : `${help} (${refused ? "not here" : "no effect"}: ${note})`;
    return `  --${name} '${shown}'\n    ${about}\n`;
  });
  return [
    `Aether ${VERSION}, called as etcd: a server that answers as etcd ${ETCD_VERSION}.`,
    "",
    "Usage:",
    "  etcd [flags]                 a member; each flag has a variable, ETCD_NAME for --name",
    "  etcd --config-file <file>    the same from a YAML file; flags and variables are ignored",
    "  etcd --version",
    "  etcd --help",
    "",
    "Flags:",
    ...rows,
  ].join("\n");
}

const NS_PER_MS = 1e6;

/** What etcd's --data-dir is when nobody says. */
const OWN_DIRECTORY = "$" + "{name}.etcd";

/** After a command line that was not understood. */
export const ETCD_USAGE = "Usage: etcd [flags], etcd --config-file <file>, etcd --help\n";
