/**
 * The configuration of a server: defaults, then the file, then variables, then flags, in Aether's
 * words or in etcd's. Whole and checked before anything is opened; what is wrong is a ConfigError.
 */
import { Secret } from "../../base/secret.ts";
import type { LogOptions } from "../../observe/log.ts";
import { ConfigError } from "./config-error.ts";
import { logOptionsOf } from "./log-options.ts";
import { type Options, optionsOf } from "./options.ts";
import { SETTINGS } from "./settings.ts";
import { type ConfigSources, type Gathered, gather, type Role } from "./sources.ts";
import { type TlsFiles, tlsFilesOf } from "./tls-files.ts";
import { type Topology, topologyOf } from "./topology.ts";

export interface Config extends Topology, Options {
  /** How the program was called. */
  readonly role: Role;
  /** The node is told in etcd's words who it is. */
  readonly speaksEtcd: boolean;
  readonly log: Required<LogOptions>;
  /** What clients' https addresses need; undefined: there are none. */
  readonly clientTls: TlsFiles | undefined;
  /** The same for other members, both ways. */
  readonly peerTls: TlsFiles | undefined;
  /** Whether a node without data founds the cluster with `founders` or joins theirs. */
  readonly initialState: "new" | "existing";
  readonly token: string;
  /** What members prove to each other; undefined: certificates or this machine have to do. */
  readonly secret: Secret | undefined;
  /** The one before, while it is changed. */
  readonly previousSecret: Secret | undefined;
  /** The configuration file, if a secret stands in it. */
  readonly secretsFile: string | undefined;
  /** Followers pass writes on to the leader. */
  readonly forward: boolean;
  /** The leader answers reads on its lease; undefined: reads are confirmed by the others. */
  readonly leaseReads: { readonly clockDriftPercentMax: number } | undefined;
  /** 0: never. */
  readonly corruptCheckIntervalS: number;
  readonly learnersMax: number;
  readonly strictReconfigCheck: boolean;
  /** Of all snapshots that this node sends, together. */
  readonly snapshotBytesPerSecondMax: number;
  readonly heartbeatIntervalMs: number;
  readonly electionTimeoutMs: number;
  readonly snapshotTriggerLogEntries: number;
  readonly leasesMax: number;
  readonly leaseTtlSecondsMax: number;
}

/** An election needs several missed heartbeats, or one lost packet starts it (etcd's rule). */
const HEARTBEATS_PER_ELECTION_MIN = 5;

const MS_PER_S = 1000;

/** Throws ConfigError. */
export function loadConfig(sources: ConfigSources): Config {
  const settings = gather(sources);
  const role = sources.role ?? "aether";
  const options = optionsOf(settings);
  const topology = topologyOf(settings);
  const tls = tlsFilesOf(settings, topology);
  const config: Config = {
    ...topology,
    ...clusterOf(settings),
    secretsFile: secretsFileOf(settings, sources),
    ...options,
    notices: [...options.notices, ...topology.notices, ...tls.notices],
    role,
    speaksEtcd: settings.speaksEtcd,
    log: logOptionsOf(settings, role),
    clientTls: tls.client,
    peerTls: tls.peer,
    leasesMax: settings.number("lease.max_leases"),
    leaseTtlSecondsMax: settings.number("lease.max_ttl"),
  };
  if (config.electionTimeoutMs < HEARTBEATS_PER_ELECTION_MIN * config.heartbeatIntervalMs) {
    throw new ConfigError(
      `cluster.election_timeout_ms: expected at least ${HEARTBEATS_PER_ELECTION_MIN} times ` +
        `cluster.heartbeat_interval_ms (${config.heartbeatIntervalMs}), ` +
        `got ${config.electionTimeoutMs}`,
    );
  }
  return config;
}

function clusterOf(settings: Gathered) {
  const number = (key: string): number => settings.number(`cluster.${key}`);
  const clockDriftPercentMax = number("clock_drift_percent_max");
  const secretOf = (key: string): Secret | undefined => {
    const text = settings.text(`cluster.${key}`);
    return text === "" ? undefined : new Secret(text);
  };
  return {
    initialState: settings.text("cluster.state") as Config["initialState"],
    token: settings.text("cluster.token"),
    secret: secretOf("secret"),
    previousSecret: secretOf("secret_previous"),
    forward: settings.on("cluster.forward"),
    leaseReads: settings.on("cluster.lease_reads") ? { clockDriftPercentMax } : undefined,
    corruptCheckIntervalS: corruptCheckIntervalS(settings),
    learnersMax: number("max_learners"),
    strictReconfigCheck: settings.on("cluster.strict_reconfig_check"),
    snapshotBytesPerSecondMax: number("snapshot_bytes_per_second_max"),
    heartbeatIntervalMs: number("heartbeat_interval_ms"),
    electionTimeoutMs: number("election_timeout_ms"),
    snapshotTriggerLogEntries: number("snapshot_trigger_log_entries"),
  };
}

function secretsFileOf(settings: Gathered, { file }: ConfigSources): string | undefined {
  const isInFile = SETTINGS.some(({ path, secret }) => {
    return secret === true && settings.chosen(path)?.startsWith(`${file?.name}:`) === true;
  });
  return isInFile ? file?.name : undefined;
}

/** etcd counts fractions of seconds; a comparison costs seconds of work, so it is one at least. */
function corruptCheckIntervalS(settings: Gathered): number {
  if (settings.chosen("--corrupt-check-time") === undefined) {
    return settings.number("cluster.corrupt_check_interval_s");
  }
  return Math.ceil(settings.number("--corrupt-check-time") / MS_PER_S);
}
