/**
 * The configuration of a server: defaults, then the file, then AETHER_* variables, then flags.
 * Whole and checked before anything is opened; wrong values are one ConfigError.
 */
import { ConfigError, checkValue, fromText, type SettingValue } from "./check.ts";
import { type FileSettings, type Peer, readConfigText } from "./file.ts";
import { environmentOf, flagOf, SETTINGS } from "./settings.ts";

export interface Config {
  readonly nodeId: number;
  readonly addr: string;
  readonly dataDir: string;
  readonly peers: readonly Peer[];
  readonly heartbeatIntervalMs: number;
  readonly electionTimeoutMs: number;
  readonly snapshotTriggerLogEntries: number;
  readonly leasesMax: number;
  readonly leaseTtlSecondsMax: number;
  readonly logLevel: LogLevel;
  readonly logJson: boolean;
  readonly metricsAddr: string;
  /** A taken metrics address is an error if somebody chose it, a free port otherwise. */
  readonly metricsAddrChosen: boolean;
}

export type LogLevel = "trace" | "debug" | "info" | "warn" | "error";

/** Where the settings come from. `flags` holds the text given for each flag, by its name. */
export interface ConfigSources {
  readonly file?: { readonly name: string; readonly text: string } | undefined;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly flags: ReadonlyMap<string, string>;
}

/** An election needs several missed heartbeats, or one lost packet starts it (etcd's rule). */
const HEARTBEATS_PER_ELECTION_MIN = 5;

export function loadConfig(sources: ConfigSources): Config {
  const file: FileSettings =
    sources.file === undefined
      ? { values: new Map(), peers: [] }
      : readConfigText(sources.file.text, sources.file.name);
  checkEnvironmentNames(sources.environment);
  const values = new Map<string, SettingValue>();
  const chosen = new Set<string>();
  for (const setting of SETTINGS) {
    const flag = flagOf(setting);
    const flagText = sources.flags.get(flag);
    const variable = environmentOf(setting);
    const variableText = sources.environment[variable];
    const fileValue = file.values.get(setting.path);
    let value: SettingValue = setting.initial;
    if (flagText !== undefined) {
      value = checkValue(setting, fromText(setting, flagText), `--${flag}`);
    } else if (variableText !== undefined) {
      value = checkValue(setting, fromText(setting, variableText), variable);
    } else if (fileValue !== undefined) value = fileValue;
    if ((flagText ?? variableText ?? fileValue) !== undefined) chosen.add(setting.path);
    values.set(setting.path, value);
  }
  return assemble(values, chosen, file.peers);
}

/** A misspelt AETHER_ variable would otherwise be silently without effect. */
function checkEnvironmentNames(environment: Readonly<Record<string, string | undefined>>): void {
  const known = new Set(SETTINGS.map(environmentOf));
  for (const name of Object.keys(environment)) {
    if (!name.startsWith("AETHER_") || known.has(name) || NOT_SETTINGS.has(name)) continue;
    throw new ConfigError(`${name}: unknown environment variable`);
  }
}

/** Variables of the program which are not server settings. */
const NOT_SETTINGS = new Set(["AETHER_HINTS", "AETHER_CONFIG"]);

function assemble(
  values: ReadonlyMap<string, SettingValue>,
  chosen: ReadonlySet<string>,
  peers: readonly Peer[],
): Config {
  const number = (path: string): number => values.get(path) as number;
  const text = (path: string): string => values.get(path) as string;
  const config: Config = {
    nodeId: number("node_id"),
    addr: text("addr"),
    dataDir: text("data_dir"),
    peers,
    heartbeatIntervalMs: number("cluster.heartbeat_interval_ms"),
    electionTimeoutMs: number("cluster.election_timeout_ms"),
    snapshotTriggerLogEntries: number("cluster.snapshot_trigger_log_entries"),
    leasesMax: number("lease.max_leases"),
    leaseTtlSecondsMax: number("lease.max_ttl"),
    logLevel: text("log.level") as LogLevel,
    logJson: values.get("log.json") === true,
    metricsAddr: text("metrics.listen_addr"),
    metricsAddrChosen: chosen.has("metrics.listen_addr"),
  };
  if (config.electionTimeoutMs < HEARTBEATS_PER_ELECTION_MIN * config.heartbeatIntervalMs) {
    throw new ConfigError(
      `cluster.election_timeout_ms: expected at least ${HEARTBEATS_PER_ELECTION_MIN} times ` +
        `cluster.heartbeat_interval_ms (${config.heartbeatIntervalMs}), ` +
        `got ${config.electionTimeoutMs}`,
    );
  }
  const others = peers.filter((peer) => peer.nodeId !== config.nodeId);
  if (others.length > 0) {
    throw new ConfigError("cluster.peers: this version runs one node; remove the other members");
  }
  return config;
}
