/**
 * The metrics of a node under etcd's names, so that its dashboards and alerts show data, and a few
 * of ours. Counters on the way of a request are plain additions; the rest is read when asked.
 */

import type { PeerStatus } from "../net/peers/peers.ts";
import type { Group } from "../node/group.ts";
import type { StateStore } from "../node/ports.ts";
import { exponentialBounds, type Histogram, type Metrics } from "../observe/metrics.ts";
import { ETCD_VERSION } from "../rpc/maintenance.ts";
import type { GrpcCode } from "../wire/grpc/status.ts";
import type { Traffic } from "./doors.ts";

/** The names of gRPC's codes as go-grpc-prometheus labels them. */
const CODE_LABELS = [
  "OK",
  "Canceled",
  "Unknown",
  "InvalidArgument",
  "DeadlineExceeded",
  "NotFound",
  "AlreadyExists",
  "PermissionDenied",
  "ResourceExhausted",
  "FailedPrecondition",
  "Aborted",
  "OutOfRange",
  "Unimplemented",
  "Internal",
  "Unavailable",
  "DataLoss",
  "Unauthenticated",
] as const;

interface CallCounts {
  readonly service: string;
  readonly method: string;
  readonly type: string;
  started: number;
  readonly handled: number[];
}

/** Counts calls by method and code: two additions a call. */
export class CallMeter {
  readonly #calls = new Map<string, CallCounts>();

  /** `types` gives "unary", "server_stream" or "bidi_stream" for each path. */
  constructor(types: ReadonlyMap<string, string>) {
    for (const [path, type] of types) {
      const [, service = "", method = ""] = path.split("/");
      const handled = CODE_LABELS.map(() => 0);
      this.#calls.set(path, { service, method, type, started: 0, handled });
    }
  }

  readonly onStart = (path: string): void => {
    const calls = this.#calls.get(path);
    if (calls !== undefined) calls.started++;
  };

  readonly onEnd = (path: string, code: GrpcCode): void => {
    const handled = this.#calls.get(path)?.handled;
    if (handled !== undefined) handled[code] = (handled[code] ?? 0) + 1;
  };

  /** Calls that have begun and not ended. */
  get underWay(): number {
    let count = 0;
    for (const { started, handled } of this.#calls.values()) {
      count += started;
      for (const ended of handled) count -= ended;
    }
    return count;
  }

  register(metrics: Metrics): void {
    const labels = ({ service, method, type }: CallCounts): Record<string, string> => ({
      grpc_service: service,
      grpc_method: method,
      grpc_type: type,
    });
    const all = [...this.#calls.values()];
    metrics.readMany(
      "counter",
      "grpc_server_started_total",
      "Total number of RPCs started on the server.",
      () => all.map((calls) => [labels(calls), calls.started] as const),
    );
    metrics.readMany(
      "counter",
      "grpc_server_handled_total",
      "Total number of RPCs completed on the server, regardless of success or failure.",
      () =>
        all.flatMap((calls) =>
          calls.handled.flatMap((count, code) =>
            count === 0
              ? []
              : [[{ ...labels(calls), grpc_code: CODE_LABELS[code] as string }, count] as const],
          ),
        ),
    );
  }
}

export interface MeteredParts {
  readonly group: Group;
  readonly store: StateStore;
  /** What clients' addresses carried so far. */
  readonly clients: () => Traffic;
  readonly peers: () => readonly PeerStatus[];
  readonly memberId: bigint;
}

/** Everything that is read from the parts when /metrics is asked for. */
export function registerNode(metrics: Metrics, parts: MeteredParts): void {
  registerRaft(metrics, parts);
  registerState(metrics, parts);
  registerProcess(metrics, parts);
  registerPeers(metrics, parts);
}

/** What was sent to each peer, under etcd's names where etcd has them. */
function registerPeers(metrics: Metrics, { peers }: MeteredParts): void {
  const perPeer = (name: string, help: string, value: (peer: PeerStatus) => number): void =>
    metrics.readMany("counter", name, help, () =>
      peers().map((peer) => [{ To: peer.id.toString(16) }, value(peer)] as const),
    );
  perPeer(
    "etcd_network_peer_sent_bytes_total",
    "The total number of bytes sent to peers.",
    ({ sent }) => sent.bytes,
  );
  perPeer("aether_peer_sent_frames_total", "Frames sent to peers.", ({ sent }) => sent.frames);
  perPeer(
    "aether_peer_sent_messages_total",
    "Raft messages sent to peers.",
    ({ sent }) => sent.messages,
  );
  metrics.readMany("gauge", "etcd_network_active_peers", "Peers that can be reached.", () =>
    peers().map(({ id, up }) => [{ Remote: id.toString(16) }, +up] as const),
  );
}

function registerRaft(metrics: Metrics, { group, memberId }: MeteredParts): void {
  const gauge = (name: string, help: string, value: () => number): void =>
    metrics.read("gauge", name, help, value);
  gauge("etcd_server_has_leader", "Whether or not a leader exists.", () => +(group.leader !== 0n));
  gauge("etcd_server_is_leader", "Whether or not this member is a leader.", () => +group.isLeader);
  gauge(
    "etcd_server_is_learner",
    "Whether or not this member is a learner.",
    () => +(group.machine.member(memberId)?.isLearner === true),
  );
  gauge(
    "etcd_server_proposals_committed_total",
    "The total number of consensus proposals committed.",
    () => group.committedIndex,
  );
  gauge(
    "etcd_server_proposals_applied_total",
    "The total number of consensus proposals applied.",
    () => group.appliedIndex,
  );
  gauge(
    "etcd_server_proposals_pending",
    "The current number of pending proposals to commit.",
    () => group.pendingProposals,
  );
  metrics.read(
    "counter",
    "etcd_server_proposals_failed_total",
    "The total number of failed proposals seen.",
    () => group.failedProposals,
  );
  metrics.read(
    "counter",
    "etcd_server_leader_changes_seen_total",
    "The number of leader changes seen.",
    () => group.leaderChanges,
  );
  metrics.readMany("gauge", "etcd_server_id", "Server or member ID in hexadecimal format.", () => [
    [{ server_id: memberId.toString(16) }, 1],
  ]);
  metrics.readMany("gauge", "etcd_server_version", "Which version is running.", () => [
    [{ server_version: ETCD_VERSION }, 1],
  ]);
  metrics.readMany("gauge", "etcd_cluster_version", "Which version is running.", () => [
    [{ cluster_version: ETCD_VERSION.split(".").slice(0, 2).join(".") }, 1],
  ]);
}

function registerState(metrics: Metrics, { group, store }: MeteredParts): void {
  const { hub } = group;
  const gauge = (name: string, help: string, value: () => number): void =>
    metrics.read("gauge", name, help, value);
  gauge(
    "etcd_mvcc_db_total_size_in_bytes",
    "Total size of the underlying database physically allocated in bytes.",
    () => store.sizeBytes(),
  );
  gauge(
    "etcd_mvcc_db_total_size_in_use_in_bytes",
    "Total size of the underlying database logically in use in bytes.",
    () => store.sizeInUseBytes(),
  );
  gauge("etcd_debugging_mvcc_keys_total", "Total number of keys.", () => group.machine.keyCount);
  gauge(
    "etcd_debugging_mvcc_current_revision",
    "The current revision of store.",
    () => group.machine.revision,
  );
  gauge(
    "etcd_debugging_mvcc_compact_revision",
    "The revision of the last compaction in store.",
    () => group.machine.compactRevision,
  );
  gauge(
    "etcd_debugging_mvcc_watcher_total",
    "Total number of watchers.",
    () => hub.counters().watchers,
  );
  gauge(
    "etcd_debugging_mvcc_watch_stream_total",
    "Total number of watch streams.",
    () => hub.counters().streams,
  );
  gauge(
    "etcd_debugging_mvcc_slow_watcher_total",
    "Total number of unsynced slow watchers.",
    () => hub.counters().slowWatchers,
  );
  metrics.read(
    "counter",
    "etcd_debugging_mvcc_events_total",
    "Total number of events sent by this member.",
    () => hub.counters().eventsSent,
  );
  gauge("aether_leases", "Leases that exist.", () => group.machine.leaseCount);
  gauge(
    "aether_unstored_rows",
    "Applied rows not yet in the state store.",
    () => group.machine.unstoredCount,
  );
}

function registerProcess(metrics: Metrics, { clients }: MeteredParts): void {
  metrics.read("gauge", "process_resident_memory_bytes", "Resident memory size in bytes.", () =>
    process.memoryUsage.rss(),
  );
  const startedS = Math.round(Date.now() / 1000 - process.uptime());
  metrics.read(
    "gauge",
    "process_start_time_seconds",
    "Start time of the process since unix epoch in seconds.",
    () => startedS,
  );
  metrics.read(
    "counter",
    "process_cpu_seconds_total",
    "Total user and system CPU time spent in seconds.",
    () => {
      const { user, system } = process.cpuUsage();
      return (user + system) / 1e6;
    },
  );
  metrics.read(
    "counter",
    "etcd_network_client_grpc_received_bytes_total",
    "The total number of bytes received from grpc clients.",
    () => clients().receivedBytes,
  );
  metrics.read(
    "counter",
    "etcd_network_client_grpc_sent_bytes_total",
    "The total number of bytes sent to grpc clients.",
    () => clients().sentBytes,
  );
  metrics.read(
    "gauge",
    "aether_client_connections",
    "Open connections of clients.",
    () => clients().connectionCount,
  );
}

/** Time from handing a write to the log until it is durable, in etcd's buckets. */
export function fsyncHistogram(metrics: Metrics): Histogram {
  return metrics.histogram(
    "etcd_disk_wal_fsync_duration_seconds",
    "The latency distributions of fsync called by WAL.",
    exponentialBounds(0.001, 2, 14),
  );
}
