/** etcd's flags for the store, for limits of what is served, and for HTTP. */
import { MIB } from "../../../base/units.ts";
import type { EtcdSetting } from "../setting.ts";

const SQLITE = "the store is SQLite, not bbolt";
const NO_WAL_FILES = "the log is one file that reuses its space";
const UINT32_MAX = 2 ** 32 - 1;

export const SERVING_SETTINGS: readonly EtcdSetting[] = [
  { etcd: "wal-dir", kind: "string", initial: "", help: "Directory of the log; empty: data-dir" },
  {
    etcd: "snapshot-catchup-entries",
    twins: ["experimental-snapshot-catchup-entries"],
    kind: "integer",
    initial: 5000,
    help: "Log entries kept for followers that are a little slow",
  },
  {
    etcd: "quota-backend-bytes",
    kind: "integer",
    initial: 0,
    min: Number.MIN_SAFE_INTEGER,
    help: "Bytes that the state may take; 0: 2 GiB, below 0: any",
  },
  { etcd: "max-txn-ops", kind: "integer", initial: 128, help: "Operations of a transaction" },
  {
    etcd: "max-request-bytes",
    kind: "integer",
    initial: 1_572_864,
    max: 16 * MIB, // what members pass on in one piece; etcd advises 10 MiB at most
    help: "Bytes of a client's request",
  },
  {
    etcd: "max-concurrent-streams",
    kind: "integer",
    initial: UINT32_MAX,
    max: UINT32_MAX,
    help: "Calls that a connection may have under way",
  },
  {
    etcd: "grpc-keepalive-min-time",
    kind: "duration",
    initial: 5000,
    help: "Clients that ping more often are sent away",
  },
  {
    etcd: "grpc-keepalive-interval",
    kind: "duration",
    initial: 7_200_000,
    help: "A client that was silent for so long is pinged; 0: never",
  },
  {
    etcd: "grpc-keepalive-timeout",
    kind: "duration",
    initial: 20_000,
    help: "And given up after so long; 0: never pinged",
  },
  {
    etcd: "socket-reuse-port",
    yaml: "socket-options.reuse-port",
    kind: "boolean",
    initial: false,
    help: "Listen with SO_REUSEPORT",
  },
  {
    etcd: "socket-reuse-address",
    yaml: "socket-options.reuse-address",
    kind: "boolean",
    initial: false,
    help: "Listen with SO_REUSEADDR, as this program always does",
  },
  {
    etcd: "auto-compaction-mode",
    kind: "choice",
    initial: "periodic",
    choices: ["periodic", "revision"],
    help: "What --auto-compaction-retention counts: time or revisions",
  },
  {
    etcd: "auto-compaction-retention",
    kind: "string",
    initial: "0",
    mayBeEmpty: true,
    help: "History that is kept: 5m, hours without a unit, or revisions; 0: all of it",
  },
  {
    etcd: "compaction-batch-limit",
    twins: ["experimental-compaction-batch-limit"],
    kind: "integer",
    initial: 1000,
    min: 1,
    help: "Revisions that a compaction looks at before it rests",
  },
  {
    etcd: "compaction-sleep-interval",
    twins: ["experimental-compaction-sleep-interval"],
    kind: "duration",
    initial: 10,
    help: "How long it rests then",
  },
  {
    etcd: "bootstrap-defrag-threshold-megabytes",
    twins: ["experimental-bootstrap-defrag-threshold-megabytes"],
    kind: "integer",
    initial: 0,
    help: "Defragment at the start if it frees so much",
    inert: "free pages are used again; a start waits for no defragmentation",
  },
  {
    etcd: "watch-progress-notify-interval",
    twins: ["experimental-watch-progress-notify-interval"],
    kind: "duration",
    initial: 600_000,
    help: "Between two progress notifications of a quiet watch",
  },
  {
    etcd: "unsafe-no-fsync",
    kind: "boolean",
    initial: false,
    help: "Promise writes that are not on the disk: for tests only",
  },
  {
    etcd: "enable-grpc-gateway",
    kind: "boolean",
    initial: true,
    help: "Answer JSON over HTTP at /v3/",
  },
  {
    etcd: "enable-pprof",
    kind: "boolean",
    initial: false,
    help: "Answer profiles at /debug/pprof/",
  },
  {
    etcd: "metrics",
    kind: "choice",
    initial: "basic",
    choices: ["basic", "extensive"],
    help: "extensive: histograms of calls too",
  },
  {
    etcd: "memory-mlock",
    twins: ["experimental-memory-mlock"],
    kind: "boolean",
    initial: false,
    help: "Keep pages in memory",
    inert: "the runtime's heap is not locked; limit or forbid swap for the service instead",
  },
  ...(["max-wals", "max-snapshots"] as const).map(
    (etcd): EtcdSetting => ({
      etcd,
      kind: "integer",
      initial: 5,
      help: "Files to keep",
      inert: NO_WAL_FILES,
    }),
  ),
  {
    etcd: "backend-bbolt-freelist-type",
    twins: ["experimental-backend-bbolt-freelist-type"],
    kind: "string",
    initial: "map",
    help: "Of bbolt",
    inert: SQLITE,
  },
  {
    etcd: "backend-batch-interval",
    kind: "duration",
    initial: 0,
    help: "Of bbolt",
    inert: SQLITE,
  },
  { etcd: "backend-batch-limit", kind: "integer", initial: 0, help: "Of bbolt", inert: SQLITE },
];
