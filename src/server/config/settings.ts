/**
 * Every setting of a server, once: its path in aether.toml, its kind, its bounds, its default and
 * what it means. The flag (`--lease-max-ttl`), the environment variable (`AETHER_LEASE_MAX_TTL`),
 * the help text and the checks are all derived from this table.
 */

export interface Setting {
  /** Dotted path in aether.toml. */
  readonly path: string;
  readonly kind: "integer" | "boolean" | "string" | "address" | "choice";
  readonly initial: number | boolean | string;
  /** Inclusive bounds of an integer. */
  readonly min?: number;
  readonly max?: number;
  /** The words a choice may be. */
  readonly choices?: readonly string[];
  readonly help: string;
  /** Other values than the initial one are refused, with this reason. */
  readonly refused?: string;
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
    help: "Directory that holds the log and the state",
  },
  {
    path: "cluster.heartbeat_interval_ms",
    kind: "integer",
    initial: 100,
    min: 10,
    max: 60_000,
    help: "Milliseconds between a leader's heartbeats",
  },
  {
    path: "cluster.election_timeout_ms",
    kind: "integer",
    initial: 1000,
    min: 50,
    max: 300_000,
    help: "Milliseconds without a leader until an election begins; at least 5 heartbeats",
  },
  {
    path: "cluster.snapshot_trigger_log_entries",
    kind: "integer",
    initial: 10_000,
    min: 10,
    max: 10_000_000,
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
    choices: ["trace", "debug", "info", "warn", "error"],
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

export function flagOf(setting: Setting): string {
  return setting.path.replaceAll(/[._]/g, "-");
}

export function environmentOf(setting: Setting): string {
  return `AETHER_${setting.path.replaceAll(".", "_").toUpperCase()}`;
}
