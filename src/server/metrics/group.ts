/** What a group measures as it works, in etcd's histograms and counters. */
import type { CommandTally, GroupMeter } from "../../node/meter.ts";
import { exponentialBounds, Histogram, type Labels, type Metrics } from "../../observe/metrics.ts";
import { CommandKind } from "../../state/command.ts";

const DISK_BOUNDS = exponentialBounds(0.001, 2, 14);
const APPLY_BOUNDS = exponentialBounds(0.0001, 2, 20);

/** etcd's names of commands, where they are not ours with a capital letter. */
const ETCD_NAMES: Readonly<Partial<Record<keyof typeof CommandKind, string>>> = {
  compact: "Compaction",
  leaseExpire: "LeaseRevoke",
  memberAdd: "ClusterMemberAdd",
  memberRemove: "ClusterMemberRemove",
  memberPromote: "ClusterMemberPromote",
  memberUpdate: "ClusterMemberUpdate",
  memberPublish: "ClusterMemberAttrSet",
};

const NAMES: ReadonlyMap<number, string> = new Map(
  (Object.keys(CommandKind) as (keyof typeof CommandKind)[]).map((kind) => [
    CommandKind[kind],
    ETCD_NAMES[kind] ?? kind.slice(0, 1).toUpperCase() + kind.slice(1),
  ]),
);

/** A histogram for each kind of command and whether it succeeded. */
class ByCommand {
  readonly #all = new Map<number, readonly [Labels, Histogram]>();
  readonly #bounds: readonly number[];
  readonly #labelsOf: (name: string, success: string) => Labels;

  constructor(bounds: readonly number[], labelsOf: (name: string, success: string) => Labels) {
    this.#bounds = bounds;
    this.#labelsOf = labelsOf;
  }

  of(kind: number, succeeded: boolean): Histogram {
    const place = 2 * kind + +succeeded;
    let found = this.#all.get(place);
    if (found === undefined) {
      const name = NAMES.get(kind) ?? `Unknown${kind}`;
      found = [this.#labelsOf(name, String(succeeded)), new Histogram(this.#bounds)];
      this.#all.set(place, found);
    }
    return found[1];
  }

  values(): Iterable<readonly [Labels, Histogram]> {
    return this.#all.values();
  }
}

export class MeteredGroup implements GroupMeter {
  readonly #slowApplyMs: number;
  readonly #fsyncs = new Histogram(DISK_BOUNDS);
  readonly #commits = new Histogram(DISK_BOUNDS);
  readonly #compactions = new Histogram(exponentialBounds(100, 2, 14)); // in ms
  readonly #leaseTtls = new Histogram(exponentialBounds(1, 2, 24));
  readonly #applied = new ByCommand(APPLY_BOUNDS, (op, success) => ({
    op,
    success,
    version: "v3",
  }));
  readonly #requests = new ByCommand(DISK_BOUNDS, (type, success) => ({ success, type }));
  #logBytes = 0;
  #slowApplies = 0;
  #granted = 0;
  #revoked = 0;
  #expired = 0;
  #promoted = 0;
  #compactedS = 0;

  /** Entries that took longer to apply than `slowApplyMs` are counted as slow. */
  constructor(slowApplyMs: number) {
    this.#slowApplyMs = slowApplyMs;
  }

  logWritten(bytes: number, ms: number): void {
    this.#logBytes += bytes;
    this.#fsyncs.observe(ms / 1000);
  }

  stateWritten(ms: number): void {
    this.#commits.observe(ms / 1000);
  }

  applied(tally: CommandTally, ms: number, waitedMs: number | undefined): void {
    if (ms > this.#slowApplyMs) this.#slowApplies++;
    let commands = 0;
    tally.forEach((_, __, count) => {
      commands += count;
    });
    tally.forEach((kind, succeeded, count) => {
      this.#applied.of(kind, succeeded).observe(ms / 1000 / commands, count);
      if (waitedMs !== undefined) {
        this.#requests.of(kind, succeeded).observe(waitedMs / 1000, count);
      }
      if (kind === CommandKind.leaseRevoke && succeeded) this.#revoked += count;
      if (kind === CommandKind.memberPromote && succeeded) this.#promoted += count;
    });
  }

  leaseGranted(ttlSeconds: number): void {
    this.#granted++;
    this.#leaseTtls.observe(ttlSeconds);
  }

  leasesExpired(count: number): void {
    this.#expired += count;
    this.#revoked += count;
  }

  compacted(ms: number): void {
    this.#compactions.observe(ms);
    this.#compactedS = Math.round(Date.now() / 1000);
  }

  register(metrics: Metrics): void {
    const shown = (name: string, help: string, histogram: Histogram): void =>
      metrics.histograms(name, help, () => [[{}, histogram]]);
    const counter = (name: string, help: string, value: () => number): void =>
      metrics.read("counter", name, help, value);
    shown(
      "etcd_disk_wal_fsync_duration_seconds",
      "Until a write of the log was durable.",
      this.#fsyncs,
    );
    shown(
      "etcd_disk_wal_write_duration_seconds",
      "The same: write and fsync are one transaction here.",
      this.#fsyncs,
    );
    metrics.read(
      "gauge",
      "etcd_disk_wal_write_bytes_total",
      "Bytes of entries written.",
      () => this.#logBytes,
    );
    shown(
      "etcd_disk_backend_commit_duration_seconds",
      "Until a batch of applied changes was committed to the state.",
      this.#commits,
    );
    metrics.histograms(
      "etcd_server_apply_duration_seconds",
      "Time to apply a command and answer it: an entry's, shared evenly by its commands.",
      () => this.#applied.values(),
    );
    metrics.histograms(
      "etcd_server_request_duration_seconds",
      "Time from a proposal to its answer, of calls that came to this member.",
      () => this.#requests.values(),
    );
    counter(
      "etcd_server_slow_apply_total",
      "Entries that took long to apply.",
      () => this.#slowApplies,
    );
    counter("etcd_debugging_lease_granted_total", "Leases granted.", () => this.#granted);
    counter(
      "etcd_debugging_lease_revoked_total",
      "Leases revoked or expired.",
      () => this.#revoked,
    );
    counter("etcd_debugging_server_lease_expired_total", "Leases expired.", () => this.#expired);
    shown("etcd_debugging_lease_ttl_total", "TTLs of granted leases in seconds.", this.#leaseTtls);
    counter(
      "etcd_server_learner_promote_successes",
      "Learners that became voters.",
      () => this.#promoted,
    );
    shown(
      "etcd_debugging_mvcc_db_compaction_total_duration_milliseconds",
      "Until what a compaction superseded was removed.",
      this.#compactions,
    );
    metrics.read(
      "gauge",
      "etcd_debugging_mvcc_db_compaction_last",
      "When that was done last, since the Unix epoch.",
      () => this.#compactedS,
    );
  }
}
