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
import type { Setting } from "./setting.ts";
import { TLS_SETTINGS } from "./tls-settings.ts";

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
    path: "cluster.secret_previous",
    kind: "string",
    initial: "",
    secret: true,
    help: "The secret before, taken too while members change it one by one; remove it afterwards",
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
  ...TLS_SETTINGS,
  {
    path: "auth.enabled",
    kind: "boolean",
    initial: false,
    help: "A new cluster begins with the user root and asks everybody who he is",
  },
  {
    path: "auth.root_password_file",
    kind: "string",
    initial: "",
    help: "File that holds root's first password; used once, when the cluster begins",
  },
  {
    path: "auth.root_password",
    kind: "string",
    initial: "",
    secret: true,
    help: "root's first password, instead of the file",
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
    secret: true,
    help: "Key that signs tokens, the same at each member; empty: generated once and replicated",
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
    path: "metrics.tls",
    kind: "boolean",
    initial: false,
    help: "Metrics in TLS alone, by the rules and with the certificate of [tls]",
  },
  {
    path: "http.cors",
    etcd: "cors",
    kind: "origins",
    initial: "",
    help: "Origins whose pages may ask over HTTP; *: any; empty: none (in etcd's words any)",
  },
  {
    path: "http.allowed_hosts",
    etcd: "host-whitelist",
    kind: "list",
    initial: "",
    help: "Host names beside its own that plaintext HTTP may be asked by (in etcd's words any)",
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
