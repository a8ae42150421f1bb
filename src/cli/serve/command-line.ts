/** The server's command line: one flag a setting, and those that are no settings. */
import type { ArgsDef } from "citty";
import { VERSION } from "../../base/version.ts";
import { ETCD_SETTINGS } from "../../server/config/etcd/etcd-settings.ts";
import { FEATURE_TWINS } from "../../server/config/etcd/features.ts";
import type { Meaning } from "../../server/config/setting.ts";
import { flagOf, SETTINGS } from "../../server/config/settings.ts";
import { parseArguments } from "../arguments.ts";
import { UsageError } from "../exit.ts";
import type { Help } from "../usage.ts";

/** Read when no --config is given, if it is there. */
export const DEFAULT_CONFIG_FILE = "aether.toml";

const OTHER_ARGS: ArgsDef = {
  config: {
    type: "string",
    valueHint: "file",
    description: `Configuration file; ${DEFAULT_CONFIG_FILE} when it is there`,
  },
  "config-file": {
    type: "string",
    valueHint: "file",
    description: "etcd's configuration file (YAML); its other flags and variables are ignored then",
  },
  version: { type: "boolean", description: "Show the version" },
  help: { type: "boolean", alias: "h", description: "Show this" },
};

const HINTS = {
  integer: "n",
  string: "text",
  address: "host:port",
  choice: "word",
  boolean: "",
  duration: "5s",
  list: "a,b",
  origins: "urls",
  urls: "urls",
  members: "name=url,…",
};

/** One row for each flag; those of etcd that are the same setting as one of ours say so. */
const SETTING_ARGS: ArgsDef = Object.fromEntries([
  ...SETTINGS.filter((setting) => !setting.secret).map((setting) => [
    flagOf(setting),
    definitionOf(setting),
  ]),
  ...SETTINGS.flatMap((setting) => {
    const { etcd, twins = [], yamlOnly } = setting;
    const names = [...(etcd === undefined || yamlOnly === true ? [] : [etcd]), ...twins];
    const help = `etcd's word for --${flagOf(setting)}`;
    return names
      .filter((name) => name !== flagOf(setting))
      .map((name) => [name, definitionOf({ ...setting, help })]);
  }),
  ...ETCD_SETTINGS.filter(({ yamlOnly }) => yamlOnly !== true).flatMap((setting) => {
    const definition = definitionOf({ ...setting, help: `etcd: ${setting.help}` });
    return [setting.etcd, ...(setting.twins ?? [])].map((name) => [name, definition]);
  }),
]);

/** What changes nothing in this version, or can only be left alone, is not shown; nor old names. */
const HIDDEN: ReadonlySet<string> = new Set([
  ...SETTINGS.filter((setting) => setting.refused !== undefined).map(flagOf),
  ...ETCD_SETTINGS.filter((row) => (row.refused ?? row.inert) !== undefined).map(nameOf),
  ...[...SETTINGS, ...ETCD_SETTINGS].flatMap(({ twins = [] }) => twins),
  ...FEATURE_TWINS.map(([flag]) => flag),
]);

function nameOf({ etcd }: { readonly etcd: string }): string {
  return etcd;
}

export type ServeCommand =
  | { readonly kind: "help" }
  | { readonly kind: "version" }
  | {
      readonly kind: "serve";
      /** The file of --config: TOML, ours. */
      readonly configFile: string | undefined;
      /** The file of --config-file: YAML, etcd's. */
      readonly etcdFile: string | undefined;
      /** The text given for each setting's flag. */
      readonly flags: ReadonlyMap<string, string>;
    };

/** What the words ask for. Throws UsageError, one line, for anything that is not understood. */
export function readCommandLine(words: readonly string[]): ServeCommand {
  const args = parseArguments(words.map(withTwoDashes), { ...OTHER_ARGS, ...SETTING_ARGS });
  if (args.on("help")) return { kind: "help" };
  if (args.on("version")) return { kind: "version" };
  const [stray] = args.positionals;
  if (stray !== undefined) {
    const hint = "client commands begin with ctl: aether ctl --help";
    throw new UsageError(`unexpected argument ${JSON.stringify(stray)} (${hint})`);
  }
  const flags = new Map<string, string>();
  for (const flag of Object.keys(SETTING_ARGS)) {
    const given = args.given(flag).at(-1);
    if (given !== undefined) flags.set(flag, given);
  }
  const [configFile, etcdFile] = [args.given("config").at(-1), args.given("config-file").at(-1)];
  return { kind: "serve", configFile, etcdFile, flags };
}

/** `-name` as `--name`: Go's programs do not tell them apart, and so neither do unit files. */
function withTwoDashes(word: string): string {
  const [, dashes, flag = ""] = /^(--?)([a-z][a-z0-9-]+)(?:=|$)/s.exec(word) ?? [];
  if (dashes === undefined) return word;
  const known = Object.hasOwn(SETTING_ARGS, flag) || Object.hasOwn(OTHER_ARGS, flag);
  return known && dashes === "-" ? `-${word}` : word;
}

export function serveHelp(): Help {
  const args: ArgsDef = { ...OTHER_ARGS };
  for (const [flag, definition] of Object.entries(SETTING_ARGS)) {
    if (!HIDDEN.has(flag)) args[flag] = definition;
  }
  return {
    name: "aether",
    summary: `A node of a strongly consistent key-value store, version ${VERSION}`,
    about:
      "Settings come from the configuration file, from AETHER_* variables (AETHER_DATA_DIR, …)\n" +
      "and from flags; the later wins. etcd's flags and ETCD_* variables are understood too.\n" +
      "The client is `aether ctl`: see aether ctl --help.",
    args,
    examples: [
      "aether                                       one node, data in ./data",
      "aether --config node1.toml",
      "aether --node-id 1 --addr 0.0.0.0:2379 --data-dir /data",
      "aether --name a                              as etcd: data in ./a.etcd",
      "aether ctl put greeting hello",
    ],
  };
}

function definitionOf(setting: Meaning): ArgsDef[string] {
  const { help, initial } = setting;
  const description = initial === "" || initial === false ? help : `${help} (Default: ${initial})`;
  if (setting.kind === "boolean") return { type: "boolean", description };
  return {
    type: "string",
    description,
    valueHint: setting.choices?.filter((word) => word !== "").join("|") ?? HINTS[setting.kind],
  };
}
