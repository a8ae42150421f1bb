/**
 * Where each setting has its value from: flags over variables over the file over the default. What
 * etcd's words and Aether's words say of the same thing is refused, whatever its order would be.
 */
import { checkValue, fromText, type SettingValue } from "./check.ts";
import { ConfigError } from "./config-error.ts";
import { ETCD_SETTINGS } from "./etcd/etcd-settings.ts";
import { readYamlText } from "./etcd/yaml-file.ts";
import { type FileSettings, type Given, NO_FILE, type Peer, readConfigText } from "./file.ts";
import { type Notice, Notices } from "./notices.ts";
import type { Meaning, Setting } from "./setting.ts";
import { environmentOf, etcdEnvironmentOf, flagOf, SETTINGS, TOPOLOGY } from "./settings.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/** Called as etcd, a server takes etcd's words alone, and as etcd takes them. */
export type Role = "aether" | "etcd";

interface NamedText {
  readonly name: string;
  readonly text: string;
}

/** What a server is told. `flags` holds the text given for each flag, by its name. */
export interface ConfigSources {
  /** By default "aether". */
  readonly role?: Role;
  /** aether.toml */
  readonly file?: NamedText | undefined;
  /** etcd's --config-file: its other flags and its variables are ignored then. */
  readonly yaml?: NamedText | undefined;
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
  /** What to say about the settings once there is a log. */
  readonly notices: readonly Notice[];

  constructor(parts: {
    readonly peers: readonly Peer[];
    readonly values: ReadonlyMap<string, SettingValue>;
    readonly chosen: ReadonlyMap<string, string>;
    readonly etcdSpoken: boolean;
    readonly notices: readonly Notice[];
  }) {
    this.peers = parts.peers;
    this.#values = parts.values;
    this.#chosen = parts.chosen;
    this.#etcdSpoken = parts.etcdSpoken;
    this.notices = parts.notices;
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
  const { file: named, role } = sources;
  const notices = new Notices();
  checkEnvironmentNames(sources.environment);
  if (role === "etcd") checkEtcdEnvironment(sources, notices);
  const file = named === undefined ? NO_FILE : readConfigText(named.text, named.name);
  const etcd = etcdWords(sources, notices);
  const values = new Map<string, SettingValue>();
  const chosen = new Map<string, string>();
  let etcdSpoken = role === "etcd" || sources.yaml !== undefined;
  const take = (name: string, { initial }: Meaning, given: Given | undefined): void => {
    values.set(name, given?.value ?? initial);
    if (given !== undefined) chosen.set(name, given.where);
  };
  const [firstPeer] = file.peers;
  if (firstPeer !== undefined) chosen.set("cluster.peers", firstPeer.where);
  for (const setting of SETTINGS) {
    const own = givenInAether(setting, sources, file);
    const theirs = setting.etcd === undefined ? undefined : etcd(setting, setting.etcd);
    const { etcd: flag = "" } = setting;
    const isShared = flag === flagOf(setting) && theirs?.where === `--${flag}`;
    if (own !== undefined && theirs !== undefined && !isShared) {
      throw bothDialects(theirs.where, own.where);
    }
    const byVariable = isShared && isSet(sources, flag);
    etcdSpoken ||= theirs !== undefined && (!isShared || byVariable);
    take(setting.path, setting, theirs ?? own);
  }
  for (const setting of ETCD_SETTINGS) {
    const given = etcd(setting, setting.etcd);
    take(`--${setting.etcd}`, setting, given);
    if (given === undefined) continue;
    etcdSpoken = true;
    if (setting.inert !== undefined) notices.inert(given.where, setting.inert);
    const other = setting.instead?.find((path) => chosen.has(path));
    if (other !== undefined) throw bothDialects(given.where, chosen.get(other) ?? other);
  }
  return new Gathered({ peers: file.peers, values, chosen, etcdSpoken, notices: notices.all() });
}

/** Whether etcd's variable for a flag says something. */
function isSet({ environment, yaml }: ConfigSources, flag: string): boolean {
  return yaml === undefined && (environment[etcdEnvironmentOf(flag)] ?? "") !== "";
}

function bothDialects(etcd: string, own: string): ConfigError {
  return new ConfigError(
    `${etcd} and ${own}: the same thing twice; use etcd's words for it or Aether's, not both`,
  );
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

interface Named {
  readonly twins?: readonly string[];
}

/** Looks for what is said of a setting in etcd's words: in its file, or else flags, variables. */
function etcdWords(
  { yaml, flags, environment }: ConfigSources,
  notices: Notices,
): (setting: Meaning & Named, flag: string) => Given | undefined {
  if (yaml !== undefined) {
    const file = readYamlText(yaml.text, yaml.name);
    const ignored = etcdNames().filter((name) => {
      return flags.has(name) || (environment[etcdEnvironmentOf(name)] ?? "") !== "";
    });
    notices.fromFile(yaml.name, ignored);
    return (_setting, flag) => file.get(flag);
  }
  // An empty variable is none, as in etcd.
  return (setting, flag) => {
    for (const name of [flag, ...(setting.twins ?? [])]) {
      const variable = etcdEnvironmentOf(name);
      const given =
        parsed(setting, flags.get(name), `--${name}`) ??
        parsed(setting, environment[variable] || undefined, variable);
      if (given !== undefined) return given;
    }
    return undefined;
  };
}

/** Every flag of etcd's that is a setting. */
export function etcdNames(): string[] {
  const rows: readonly (Named & { readonly etcd?: string; readonly yamlOnly?: true })[] = [
    ...SETTINGS,
    ...ETCD_SETTINGS,
  ];
  return rows.flatMap(({ etcd, twins = [], yamlOnly }) => {
    return etcd === undefined || yamlOnly === true ? [] : [etcd, ...twins];
  });
}

function parsed(setting: Meaning, text: string | undefined, where: string): Given | undefined {
  if (text === undefined) return undefined;
  return { value: checkValue(setting, fromText(setting, text), where), where };
}

/** Variables of the program which are not server settings. */
const NOT_SETTINGS = new Set(["AETHER_HINTS", "AETHER_CONFIG"]);

/** A misspelt AETHER_ variable would otherwise be silently without effect. */
function checkEnvironmentNames(environment: Environment): void {
  const known = new Set(SETTINGS.map(environmentOf));
  for (const name of Object.keys(environment)) {
    if (name.startsWith("AETHER_") && !known.has(name) && !NOT_SETTINGS.has(name)) {
      throw new ConfigError(`${name}: unknown environment variable`);
    }
  }
}

/** Variables that are etcd's and no flag's. */
const ETCD_OTHER_VARIABLES = new Set(["ETCD_CONFIG_FILE", "ETCD_UNSUPPORTED_ARCH"]);

/**
 * As etcd: the same thing by flag and by variable is an error, and a variable that is none of its
 * own is named. Only when called so: Kubernetes sets variables for a service that is called etcd.
 */
function checkEtcdEnvironment({ environment, flags, yaml }: ConfigSources, notices: Notices): void {
  if (yaml !== undefined) return;
  const known = new Map(etcdNames().map((name) => [etcdEnvironmentOf(name), name]));
  for (const [variable, value = ""] of Object.entries(environment)) {
    if (!variable.startsWith("ETCD_") || ETCD_OTHER_VARIABLES.has(variable)) continue;
    const flag = known.get(variable);
    if (flag === undefined) notices.unknownVariable(variable);
    else if (flags.has(flag)) {
      throw new ConfigError(`${variable} and --${flag} say the same thing: unset one of them`);
    } else if (value !== "") notices.usedVariable(variable);
  }
}
