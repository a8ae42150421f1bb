/** The server's command line: one flag a setting, and those that are no settings. */
import type { ArgsDef } from "citty";
import { VERSION } from "../../base/version.ts";
import { flagOf, SETTINGS, type Setting } from "../../server/config/settings.ts";
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
  version: { type: "boolean", description: "Show the version" },
  help: { type: "boolean", alias: "h", description: "Show this" },
};

const HINTS = { integer: "n", string: "text", address: "host:port", choice: "word", boolean: "" };

const SETTING_ARGS: ArgsDef = Object.fromEntries(
  SETTINGS.map((setting) => [flagOf(setting), definitionOf(setting)]),
);

export type ServeCommand =
  | { readonly kind: "help" }
  | { readonly kind: "version" }
  | {
      readonly kind: "serve";
      /** The file of --config. */
      readonly configFile: string | undefined;
      /** The text given for each setting's flag. */
      readonly flags: ReadonlyMap<string, string>;
    };

/** What the words ask for. Throws UsageError, one line, for anything that is not understood. */
export function readCommandLine(words: readonly string[]): ServeCommand {
  const args = parseArguments(words, { ...OTHER_ARGS, ...SETTING_ARGS });
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
  return { kind: "serve", configFile: args.given("config").at(-1), flags };
}

/** Settings that can only be left alone in this version are not shown. */
export function serveHelp(): Help {
  const shown = SETTINGS.filter((setting) => setting.refused === undefined).map(flagOf);
  const args: ArgsDef = { ...OTHER_ARGS };
  for (const flag of shown) {
    const definition = SETTING_ARGS[flag];
    if (definition !== undefined) args[flag] = definition;
  }
  return {
    name: "aether",
    summary: `A node of a strongly consistent key-value store, version ${VERSION}`,
    about:
      "Settings come from the configuration file, from AETHER_* variables (AETHER_DATA_DIR, …)\n" +
      "and from flags; the later wins. The client is `aether ctl`: see aether ctl --help.",
    args,
    examples: [
      "aether                                       one node, data in ./data",
      "aether --config node1.toml",
      "aether --node-id 1 --addr 0.0.0.0:2379 --data-dir /data",
      "aether ctl put greeting hello",
    ],
  };
}

function definitionOf(setting: Setting): ArgsDef[string] {
  const description = setting.help;
  if (setting.kind === "boolean") return { type: "boolean", description };
  const initial = String(setting.initial);
  return {
    type: "string",
    description: initial === "" ? description : `${description} (Default: ${initial})`,
    valueHint: setting.choices?.join("|") ?? HINTS[setting.kind],
  };
}
