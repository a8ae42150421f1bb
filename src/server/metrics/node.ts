/**
 * What is read from a node when /metrics is asked for, under etcd's names so that its dashboards
 * and alerts show data, and a few of ours. Names, types and labels are etcd's
 * (server/etcdserver/metrics.go, storage/mvcc/metrics.go, etcdserver/api/rafthttp/metrics.go).
 */

import { ETCD_VERSION } from "../../base/version.ts";
import type { PeerStatus, ReceivedCounters } from "../../net/peers/peers.ts";
import type { Group } from "../../node/group.ts";
import type { StateStore } from "../../node/ports.ts";
import { exponentialBounds, Histogram, type Labels, type Metrics } from "../../observe/metrics.ts";
import { alarmName } from "../../rpc/alarms.ts";
import { QUOTA_BYTES_DEFAULT } from "../../rpc/quota.ts";
import type { Config } from "../config/config.ts";
import { featureStates } from "../config/etcd/features.ts";
import type { Traffic } from "../doors.ts";
import type { HealthCounts } from "../endpoints.ts";

const ROUND_TRIP_BOUNDS = exponentialBounds(0.0001, 2, 16);

/** Pings to each peer, in etcd's buckets. */
export class RoundTrips {
  readonly #all = new Map<bigint, Histogram>();

  observe(id: bigint, ms: number): void {
    let histogram = this.#all.get(id);
    if (histogram === undefined) {
      histogram = new Histogram(ROUND_TRIP_BOUNDS);
      this.#all.set(id, histogram);
    }
    histogram.observe(ms / 1000);
  }

  [Symbol.iterator](): Iterator<readonly [bigint, Histogram]> {
    return this.#all.entries();
  }
}

export interface NodeParts {
  readonly group: Group;
  readonly store: StateStore;
  /** What clients' addresses carried so far. */
  readonly clients: () => Traffic;
  readonly peers: () => readonly PeerStatus[];
  readonly received: Readonly<ReceivedCounters>;
  readonly roundTrips: RoundTrips;
  readonly memberId: bigint;
  /** How often /health and the checks of /livez and /readyz were asked for. */
  readonly health: HealthCounts;
  readonly config: Pick<Config, "features" | "quotaBackendBytes">;
}

export function registerNode(metrics: Metrics, parts: NodeParts): void {
  registerRaft(metrics, parts);
  registerVersions(metrics, parts);
  registerSettings(metrics, parts);
  registerHealth(metrics, parts);
  registerKeys(metrics, parts);
  registerStore(metrics, parts);
  registerWatches(metrics, parts);
  registerClients(metrics, parts);
  registerPeers(metrics, parts);
}

/** Registers numbers that are read from somebody who counts them. */
type Read = (name: string, help: string, value: () => number) => void;

const gauges =
  (metrics: Metrics): Read =>
  (name, help, value) =>
    metrics.read("gauge", name, help, value);

const counters =
  (metrics: Metrics): Read =>
  (name, help, value) =>
    metrics.read("counter", name, help, value);

function registerRaft(metrics: Metrics, { group, memberId }: NodeParts): void {
  const gauge = gauges(metrics);
  const counter = counters(metrics);
  gauge("etcd_server_has_leader", "1 if a leader is known.", () => +(group.leader !== 0n));
  gauge("etcd_server_is_leader", "1 if this member leads.", () => +group.isLeader);
  gauge("etcd_server_is_learner", "1 if this member is a learner.", () => {
    return +(group.machine.member(memberId)?.isLearner === true);
  });
  gauge(
    "etcd_server_proposals_committed_total",
    "Entries known to be committed.",
    () => group.committedIndex,
  );
  gauge("etcd_server_proposals_applied_total", "Entries applied.", () => group.appliedIndex);
  gauge("etcd_server_proposals_pending", "Proposals that wait.", () => group.pendingProposals);
  counter("etcd_server_proposals_failed_total", "Failed proposals.", () => group.failedProposals);
  counter(
    "etcd_server_slow_read_indexes_total",
    "Rounds of linearizable reads that had to wait for a leader.",
    () => group.load.readRounds.slow,
  );
  counter(
    "etcd_server_read_indexes_failed_total",
    "Rounds of linearizable reads that failed.",
    () => group.load.readRounds.failed,
  );
  counter(
    "etcd_server_heartbeat_send_failures_total",
    "Heartbeats of this leader that were late: it had no time.",
    () => group.lateTicks,
  );
  counter("etcd_server_leader_changes_seen_total", "Changes of leader.", () => group.leaderChanges);
  gauge("aether_raft_term", "The current term.", () => group.term);
}

function registerSettings(metrics: Metrics, { group, config }: NodeParts): void {
  const gauge = gauges(metrics);
  gauge("etcd_server_quota_backend_bytes", "The space quota; 0: none.", () => {
    return Math.max(config.quotaBackendBytes || QUOTA_BYTES_DEFAULT, 0);
  });
  gauge("etcd_debugging_auth_revision", "The revision of users and roles.", () => {
    return group.machine.auth.revision;
  });
  metrics.readMany("gauge", "etcd_server_feature_enabled", "Features that are switched on.", () =>
    featureStates(config.features).map(({ name, stage, on }) => [{ name, stage }, +on] as const),
  );
}

function registerHealth(metrics: Metrics, { health }: NodeParts): void {
  const counter = counters(metrics);
  counter("etcd_server_health_success", "Answers of /health that were good.", () => health.success);
  counter("etcd_server_health_failures", "Those that were not.", () => health.failures);
  metrics.readMany("counter", "etcd_server_healthchecks_total", "Checks of health that ran.", () =>
    [...health.checks].map(([check, count]) => {
      const [type = "", name = "", status = ""] = check.split(" ");
      return [{ name, status, type }, count] as const;
    }),
  );
}

function registerVersions(metrics: Metrics, { group, memberId }: NodeParts): void {
  const one = (name: string, help: string, labels: Labels): void =>
    metrics.readMany("gauge", name, help, () => [[labels, 1]]);
  one("etcd_server_id", "This member's id.", { server_id: memberId.toString(16) });
  one("etcd_server_version", "The version of etcd that this serves as.", {
    server_version: ETCD_VERSION,
  });
  metrics.readMany("gauge", "etcd_cluster_version", "The cluster's version.", () => [
    [{ cluster_version: group.machine.clusterVersion.version.replace(/\.\d+$/, "") }, 1],
  ]);
  metrics.readMany("gauge", "etcd_server_alarms", "Alarms that are raised.", () =>
    group.machine
      .alarms()
      .map(({ memberID, alarm }) => [
        { alarm_type: alarmName(alarm), server_id: memberID.toString(16) },
        1,
      ]),
  );
}

function registerKeys(metrics: Metrics, { group }: NodeParts): void {
  const gauge = gauges(metrics);
  const counter = counters(metrics);
  counter("etcd_mvcc_put_total", "Puts seen by this member.", () => group.machine.counts.puts);
  counter("etcd_mvcc_delete_total", "Deletes seen here.", () => group.machine.counts.deletes);
  counter("etcd_mvcc_range_total", "Ranges read here.", () => group.machine.counts.ranges);
  counter(
    "etcd_mvcc_txn_total",
    "Transactions of more than one operation seen here.",
    () => group.machine.counts.txns,
  );
  gauge("etcd_debugging_mvcc_total_put_size_in_bytes", "Bytes of keys and values put.", () => {
    return group.machine.counts.putBytes;
  });
  gauge("etcd_debugging_mvcc_keys_total", "Live keys.", () => group.machine.keyCount);
  gauge("etcd_debugging_mvcc_current_revision", "The revision.", () => group.machine.revision);
  gauge(
    "etcd_debugging_mvcc_compact_revision",
    "The revision of the last compaction.",
    () => group.machine.compactRevision,
  );
  gauge("aether_leases", "Leases that exist.", () => group.machine.leaseCount);
  counter(
    "etcd_debugging_lease_renewed_total",
    "Renewals seen by the leader.",
    () => group.expiry.renewedCount,
  );
}

function registerStore(metrics: Metrics, { group, store }: NodeParts): void {
  const gauge = gauges(metrics);
  gauge("etcd_mvcc_db_total_size_in_bytes", "Bytes that the state takes on disk.", () =>
    store.sizeBytes(),
  );
  gauge("etcd_mvcc_db_total_size_in_use_in_bytes", "Bytes of it that hold something.", () =>
    store.sizeInUseBytes(),
  );
  gauge(
    "aether_unstored_rows",
    "Applied rows not yet in the state store.",
    () => group.machine.unstoredCount,
  );
}

function registerWatches(metrics: Metrics, { group }: NodeParts): void {
  const gauge = gauges(metrics);
  const { hub } = group;
  gauge("etcd_debugging_mvcc_watcher_total", "Watchers.", () => hub.counters().watchers);
  gauge("etcd_debugging_mvcc_watch_stream_total", "Watch streams.", () => hub.counters().streams);
  gauge("etcd_debugging_mvcc_slow_watcher_total", "Watchers that are behind.", () => {
    return hub.counters().slowWatchers;
  });
  gauge("etcd_debugging_mvcc_pending_events_total", "Revisions that watchers are behind.", () => {
    return hub.counters().pendingRevisions;
  });
  counters(metrics)("etcd_debugging_mvcc_events_total", "Events sent by this member.", () => {
    return hub.counters().eventsSent;
  });
}

function registerClients(metrics: Metrics, { clients }: NodeParts): void {
  const counter = counters(metrics);
  counter("etcd_network_client_grpc_received_bytes_total", "Bytes of clients.", () => {
    return clients().receivedBytes;
  });
  counter("etcd_network_client_grpc_sent_bytes_total", "Bytes sent to clients.", () => {
    return clients().sentBytes;
  });
  gauges(metrics)("aether_client_connections", "Open connections of clients.", () => {
    return clients().connectionCount;
  });
}

/** What was sent to each peer, under etcd's names where etcd has them. */
function registerPeers(metrics: Metrics, parts: NodeParts): void {
  const { peers, received, roundTrips, memberId } = parts;
  const local = memberId.toString(16);
  const each = (
    kind: "counter" | "gauge",
    name: string,
    help: string,
    sample: (peer: PeerStatus, id: string) => readonly [Labels, number],
  ): void =>
    metrics.readMany(kind, name, help, () =>
      peers().map((peer) => sample(peer, peer.id.toString(16))),
    );
  each("counter", "etcd_network_peer_sent_bytes_total", "Bytes sent to a peer.", ({ sent }, To) => [
    { To },
    sent.bytes,
  ]);
  each("counter", "etcd_network_peer_sent_failures_total", "Lost messages.", ({ sent }, To) => [
    { To },
    sent.dropped,
  ]);
  each("counter", "aether_peer_sent_frames_total", "Frames sent to a peer.", ({ sent }, To) => [
    { To },
    sent.frames,
  ]);
  each("counter", "aether_peer_sent_messages_total", "Raft messages sent.", ({ sent }, To) => [
    { To },
    sent.messages,
  ]);
  each("gauge", "etcd_network_active_peers", "Peers that are up.", ({ up }, Remote) => [
    { Local: local, Remote },
    +up,
  ]);
  metrics.readMany("gauge", "etcd_network_known_peers", "Members, this one among them.", () =>
    [memberId, ...peers().map(({ id }) => id)].map((id) => [
      { Local: local, Remote: id.toString(16) },
      1,
    ]),
  );
  metrics.readMany("counter", "etcd_network_peer_received_bytes_total", "Bytes of a peer.", () =>
    [...received.bytesFrom].map(([id, bytes]) => [{ From: id.toString(16) }, bytes] as const),
  );
  const refusals = "Calls and streams at the peer address that were refused.";
  metrics.readMany("counter", "aether_peer_refused_total", refusals, () =>
    Object.entries(received.refused).map(([reason, count]) => [{ reason }, count] as const),
  );
  metrics.histograms(
    "etcd_network_peer_round_trip_time_seconds",
    "Time of a ping to a peer, there and back.",
    () => [...roundTrips].map(([id, histogram]) => [{ To: id.toString(16) }, histogram] as const),
  );
}
