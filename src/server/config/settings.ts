/**
 * Every setting of a server, once: what it is called, its kind, its bounds, its default and what it
 * means. The flag (`--lease-max-ttl`), the environment variable (`AETHER_LEASE_MAX_TTL`), the help
 * text and the checks are all derived from this table.
 *
 * There are two dialects. SETTINGS have a key in aether.toml; those that etcd has too name etcd's
 * flag, and are also understood by it and by its ETCD_ variable. ETCD_SETTINGS are what only
 * etcd's words can say: the same things in another shape, and all that is etcd's alone, in
 * etcd/…-settings.ts by what they are about.
 */
import { GIB, KIB, MIB } from "../../base/units.ts";
import { DEFAULT_CLUSTER_TOKEN } from "../../cluster/founding.ts";

/** What a setting may be, whatever it is called. */
export interface Meaning {
  /**
   * `urls` and `members` are texts in etcd's notation (addresses.ts), `list` one with commas;
   * `duration` is Go's notation (durations.ts), its value in milliseconds.
   */
  readonly kind:
    | ("integer" | "boolean" | "string" | "address" | "choice" | "duration")
    | ("urls" | "members" | "list");
  readonly initial: number | boolean | string;
  /** Inclusive bounds of an integer. */
  readonly min?: number;
  readonly max?: number;
  /** The words a choice may be. */
  readonly choices?: readonly string[];
  readonly help: string;
  /** A text that says something by being empty. */
  readonly mayBeEmpty?: true;
  /** Other values than the initial one are refused, with this reason. */
  readonly refused?: string;
}

export interface Setting extends Meaning {
  /** Dotted path in aether.toml. */
  readonly path: string;
  /** etcd's flag for the same thing with the same values. */
  readonly etcd?: string;
  /** Its other flags in etcd. */
  readonly twins?: readonly string[];
  /** It has no flag, since everybody on a machine can read its command lines. */
  readonly secret?: true;
}

export interface EtcdSetting extends Meaning {
  /** etcd's flag. */
  readonly etcd: string;
  /** Other flags of etcd for it: most were called experimental- before 3.7. */
  readonly twins?: readonly string[];
  /** Its place in etcd's YAML file, unless that is the flag's name; "": it has none. */
  readonly yaml?: string;
  /** It is a key of the YAML file only. */
  readonly yamlOnly?: true;
  /** `--flag` alone is a flag too. */
  readonly valueOptional?: true;
  /** Paths of Aether's settings that speak of the same thing: only one of the two may. */
  readonly instead?: readonly string[];
  /** Why it changes nothing here: it is taken, and whoever sets it is told once. */
  readonly inert?: string;
}

const HOUR_S = 3600;

export const SETTINGS: readonly Setting[] = [
  {
    path: "node_id",
    kind: "integer",
    initial: 1,
    min: 1,
    max: 2 ** 31 - 1,
    help: "Number of this node, unique in its cluster",
  },
  {
    path: "addr",
    kind: "address",
    initial: "127.0.0.1:2379",
    help: "host:port that clients use (gRPC and HTTP); port 0 takes a free one",
  },
  {
    path: "data_dir",
    kind: "string",
    initial: "data",
    etcd: "data-dir",
    help: "Directory that holds the log and the state",
  },
  {
    path: "cluster.peer_addr",
    kind: "address",
    initial: "",
    help: "host:port that other members use; empty: addr, one port for everybody",
  },
  {
    path: "cluster.state",
    kind: "choice",
    initial: "new",
    choices: ["new", "existing"],
    etcd: "initial-cluster-state",
    help: "Whether a node without data founds the cluster or joins one that exists",
  },
  {
    path: "cluster.token",
    kind: "string",
    initial: DEFAULT_CLUSTER_TOKEN,
    etcd: "initial-cluster-token",
    help: "Keeps the ids of clusters apart that are founded with the same addresses",
  },
  {
    path: "cluster.secret",
    kind: "string",
    initial: "",
    secret: true,
    help: "What members prove to each other; needed when they are not all on one machine",
  },
  {
    path: "cluster.forward",
    kind: "boolean",
    initial: true,
    help: "A follower passes writes on to the leader; without, it names the leader and refuses",
  },
  {
    path: "cluster.lease_reads",
    kind: "boolean",
    initial: false,
    help: "The leader answers reads without asking the others: right while clocks keep their pace",
  },
  {
    path: "cluster.clock_drift_percent_max",
    kind: "integer",
    initial: 5, // quartz drifts by 0.01 %; a virtual machine that is slowed down by far more
    min: 0,
    max: 40,
    help: "How much faster one member's clock may run than another's, for lease_reads",
  },
  {
    path: "cluster.corrupt_check_interval_s",
    kind: "integer",
    initial: HOUR_S, // a million keys take about two seconds of a core
    min: 0,
    max: 365 * 24 * HOUR_S,
    help: "Seconds between the leader's comparisons of the members' states; 0: never",
  },
  {
    path: "cluster.max_learners",
    kind: "integer",
    initial: 1,
    min: 1,
    max: 100,
    etcd: "max-learners",
    twins: ["experimental-max-learners"],
    help: "Learners that the cluster may have at once",
  },
  {
    path: "cluster.strict_reconfig_check",
    kind: "boolean",
    initial: true,
    etcd: "strict-reconfig-check",
    help: "Refuse changes of the membership that would cost the quorum",
  },
  {
    path: "cluster.snapshot_bytes_per_second_max",
    kind: "integer",
    initial: 64 * MIB, // half of 1 Gbit/s, and what a receiver's disk takes beside its log
    min: 64 * KIB,
    max: 64 * GIB,
    help: "Bytes a second that this node sends to members that need a copy of the state",
  },
  {
    path: "cluster.heartbeat_interval_ms",
    kind: "integer",
    initial: 100,
    min: 10,
    max: 60_000,
    etcd: "heartbeat-interval",
    help: "Milliseconds between a leader's heartbeats",
  },
  {
    path: "cluster.election_timeout_ms",
    kind: "integer",
    initial: 1000,
    min: 50,
    max: 300_000,
    etcd: "election-timeout",
    help: "Milliseconds without a leader until an election begins; at least 5 heartbeats",
  },
  {
    path: "cluster.snapshot_trigger_log_entries",
    kind: "integer",
    initial: 10_000,
    min: 1,
    max: 10_000_000,
    etcd: "snapshot-count",
    help: "Log entries after which the log is compacted, below what is durable in the state",
  },
  {
    path: "cluster.discovery.method",
    kind: "choice",
    initial: "static",
    choices: ["static", "dns", "token"],
    help: "How members find each other",
    refused: "only static discovery is built into this version",
  },
  {
    path: "auth.enabled",
    kind: "boolean",
    initial: false,
    help: "Require users to authenticate",
    refused: "this version does not enforce users and roles",
  },
  {
    path: "auth.token_expiry_hours",
    kind: "integer",
    initial: 24,
    min: 1,
    max: 24 * 365,
    help: "Hours until a token expires",
  },
  {
    path: "auth.signing_key",
    kind: "string",
    initial: "",
    help: "Key that signs tokens; empty: generated once and replicated",
    refused: "this version does not issue tokens",
  },
  {
    path: "lease.max_leases",
    kind: "integer",
    initial: 10_000,
    min: 1,
    max: 100_000_000,
    help: "Leases that may exist at once; more are refused to native clients",
  },
  {
    path: "lease.max_ttl",
    kind: "integer",
    initial: 24 * HOUR_S,
    min: 1,
    max: 9_000_000_000,
    help: "Longest TTL in seconds that native clients may ask for",
  },
  {
    path: "log.level",
    kind: "choice",
    initial: "info",
    choices: ["trace", "debug", "info", "warn", "error", "dpanic", "panic", "fatal"],
    etcd: "log-level",
    help: "Least important log lines that are shown",
  },
  { path: "log.json", kind: "boolean", initial: false, help: "Log lines as JSON" },
  {
    path: "log.log_dir",
    kind: "string",
    initial: "",
    help: "Directory for log files; empty: standard output only",
    refused: "this version logs to standard output only",
  },
  {
    path: "log.log_file_prefix",
    kind: "string",
    initial: "aether",
    help: "Start of a log file's name",
  },
  {
    path: "metrics.listen_addr",
    kind: "address",
    initial: "127.0.0.1:9090",
    help: "host:port of /metrics, /health/live, /health/ready and /cluster",
  },
  {
    path: "shard.max_regions",
    kind: "integer",
    initial: 1024,
    min: 1,
    max: 1_000_000,
    help: "Regions that one cluster may have",
  },
  {
    path: "shard.max_region_size_bytes",
    kind: "integer",
    initial: 67_108_864,
    min: 1024,
    max: Number.MAX_SAFE_INTEGER,
    help: "Size at which a region is split",
  },
  {
    path: "shard.auto_split",
    kind: "boolean",
    initial: false,
    help: "Split regions that have grown too large",
    refused: "this version has one region",
  },
];

/** Who the members are and where they live: told in one dialect as a whole. */
export const TOPOLOGY: readonly string[] = [
  "node_id",
  "addr",
  "cluster.peer_addr",
  "cluster.peers",
];

export function flagOf(setting: Setting): string {
  return setting.path.replaceAll(/[._]/g, "-");
}

export function environmentOf(setting: Setting): string {
  return `AETHER_${setting.path.replaceAll(".", "_").toUpperCase()}`;
}

/** etcd's variable for one of its flags. */
export function etcdEnvironmentOf(flag: string): string {
  return `ETCD_${flag.replaceAll("-", "_").toUpperCase()}`;
}
