/**
 * Where each setting has its value from: flags over variables over the file over the default. What
 * etcd's words and Aether's words say of the same thing is refused, whatever its order would be.
 */
import { checkValue, fromText, type SettingValue } from "./check.ts";
import { ConfigError } from "./config-error.ts";
import { UNSUPPORTED_ETCD_FLAGS } from "./etcd-flags.ts";
import { type FileSettings, type Given, NO_FILE, type Peer, readConfigText } from "./file.ts";
import {
  ETCD_SETTINGS,
  environmentOf,
  etcdEnvironmentOf,
  flagOf,
  type Meaning,
  SETTINGS,
  type Setting,
  TOPOLOGY,
} from "./settings.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/** What a server is told. `flags` holds the text given for each flag, by its name. */
export interface ConfigSources {
  readonly file?: { readonly name: string; readonly text: string } | undefined;
  readonly environment: Environment;
  readonly flags: ReadonlyMap<string, string>;
}

/** Every setting's value. Settings are named by their path, those of etcd by `--flag`. */
export class Gathered {
  readonly peers: readonly Peer[];
  readonly #values: ReadonlyMap<string, SettingValue>;
  readonly #chosen: ReadonlyMap<string, string>;
  /** Somebody used a word that only etcd has. */
  readonly #etcdSpoken: boolean;

  constructor(parts: {
    readonly peers: readonly Peer[];
    readonly values: ReadonlyMap<string, SettingValue>;
    readonly chosen: ReadonlyMap<string, string>;
    readonly etcdSpoken: boolean;
  }) {
    this.peers = parts.peers;
    this.#values = parts.values;
    this.#chosen = parts.chosen;
    this.#etcdSpoken = parts.etcdSpoken;
  }

  number(name: string): number {
    return this.#values.get(name) as number;
  }

  text(name: string): string {
    return this.#values.get(name) as string;
  }

  on(name: string): boolean {
    return this.#values.get(name) === true;
  }

  /** Where it was chosen: `--addr`, `AETHER_ADDR`, `aether.toml:3: addr`; undefined: nowhere. */
  chosen(name: string): string | undefined {
    return this.#chosen.get(name);
  }

  /** The same for messages: its name if nobody chose it. */
  where(name: string): string {
    return this.#chosen.get(name) ?? name;
  }

  /** The node is told in etcd's words who it is, so it starts as etcd would. */
  get speaksEtcd(): boolean {
    return this.#etcdSpoken && !TOPOLOGY.some((path) => this.#chosen.has(path));
  }
}

/** Reads and checks every source. Throws ConfigError. */
export function gather(sources: ConfigSources): Gathered {
  checkEnvironmentNames(sources.environment);
  const { file: named } = sources;
  const file = named === undefined ? NO_FILE : readConfigText(named.text, named.name);
  const values = new Map<string, SettingValue>();
  const chosen = new Map<string, string>();
  let etcdSpoken = false;
  const take = (name: string, { initial }: Meaning, given: Given | undefined): void => {
    values.set(name, given?.value ?? initial);
    if (given !== undefined) chosen.set(name, given.where);
  };
  const [firstPeer] = file.peers;
  if (firstPeer !== undefined) chosen.set("cluster.peers", firstPeer.where);
  for (const setting of SETTINGS) {
    const own = givenInAether(setting, sources, file);
    const etcd = givenInEtcd(setting, setting.etcd, flagOf(setting), sources);
    if (own !== undefined && etcd !== undefined) throw bothDialects(etcd.where, own.where);
    etcdSpoken ||= etcd !== undefined;
    take(setting.path, setting, givenInBoth(setting, sources) ?? etcd ?? own);
  }
  for (const setting of ETCD_SETTINGS) {
    const given = givenInEtcd(setting, setting.etcd, undefined, sources);
    take(`--${setting.etcd}`, setting, given);
    if (given === undefined) continue;
    etcdSpoken = true;
    const other = setting.instead.find((path) => chosen.has(path));
    if (other !== undefined) throw bothDialects(given.where, chosen.get(other) ?? other);
  }
  return new Gathered({ peers: file.peers, values, chosen, etcdSpoken });
}

function bothDialects(etcd: string, own: string): ConfigError {
  return new ConfigError(
    `${etcd} and ${own}: the same thing twice; use etcd's words for it or Aether's, not both`,
  );
}

/** A flag that both dialects have, as --data-dir: it belongs to whichever is spoken. */
function givenInBoth(setting: Setting, { flags }: ConfigSources): Given | undefined {
  if (setting.etcd !== flagOf(setting)) return undefined;
  return parsed(setting, flags.get(setting.etcd), `--${setting.etcd}`);
}

function givenInAether(
  setting: Setting,
  { flags, environment }: ConfigSources,
  file: FileSettings,
): Given | undefined {
  const flag = flagOf(setting);
  const variable = environmentOf(setting);
  const flagText = setting.etcd === flag ? undefined : flags.get(flag);
  return (
    parsed(setting, flagText, `--${flag}`) ??
    parsed(setting, environment[variable], variable) ??
    file.values.get(setting.path)
  );
}

/** `shared` is a flag that is no word of etcd's alone. An empty variable is none, as in etcd. */
function givenInEtcd(
  setting: Meaning,
  flag: string | undefined,
  shared: string | undefined,
  { flags, environment }: ConfigSources,
): Given | undefined {
  if (flag === undefined) return undefined;
  const variable = etcdEnvironmentOf(flag);
  return (
    parsed(setting, flag === shared ? undefined : flags.get(flag), `--${flag}`) ??
    parsed(setting, environment[variable] || undefined, variable)
  );
}

function parsed(setting: Meaning, text: string | undefined, where: string): Given | undefined {
  if (text === undefined) return undefined;
  return { value: checkValue(setting, fromText(setting, text), where), where };
}

/** Variables of the program which are not server settings. */
const NOT_SETTINGS = new Set(["AETHER_HINTS", "AETHER_CONFIG"]);

/**
 * A misspelt AETHER_ variable would otherwise be silently without effect. Of ETCD_ variables only
 * etcd's own are refused: Kubernetes sets others for a service that is called etcd.
 */
function checkEnvironmentNames(environment: Environment): void {
  const known = new Set(SETTINGS.map(environmentOf));
  const unsupported = new Set([...UNSUPPORTED_ETCD_FLAGS].map(etcdEnvironmentOf));
  for (const [name, value] of Object.entries(environment)) {
    if (name.startsWith("AETHER_") && !known.has(name) && !NOT_SETTINGS.has(name)) {
      throw new ConfigError(`${name}: unknown environment variable`);
    }
    if (unsupported.has(name) && value !== "") {
      throw new ConfigError(`${name}: this version does not have this setting of etcd`);
    }
  }
}
