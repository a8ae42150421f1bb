/** What etcd's flags say of serving: limits, users, HTTP, upkeep. Each value in its own unit. */
import type { Retention } from "../../node/auto-compaction.ts";
import type { CompactionPace } from "../../storage/state-database.ts";
import { type AuthOptions, authOptionsOf } from "./auth-options.ts";
import { ConfigError } from "./config-error.ts";
import { FEATURE_TWINS, type Features, INERT_FEATURES, parseFeatures } from "./etcd/features.ts";
import { type Notice, Notices } from "./notices.ts";
import { retentionOf } from "./retention.ts";
import type { Gathered } from "./sources.ts";

export interface Options {
  /** Of one request of a client, in its wire form (--max-request-bytes). */
  readonly requestBytesMax: number;
  /** Operations and comparisons of one transaction, each list for itself (--max-txn-ops). */
  readonly txnOpsMax: number;
  /** Streams of one connection; undefined: as many as the wire room thinks right. */
  readonly concurrentStreamsMax: number | undefined;
  readonly keepalive: {
    /** Clients that ping more often are sent away. */
    readonly pingIntervalMinMs: number;
    /** A silent client is pinged after this; Infinity: never. */
    readonly idleMs: number;
    readonly timeoutMs: number;
  };
  /** As it was given: 0 means 2 GiB, a negative one any size (--quota-backend-bytes). */
  readonly quotaBackendBytes: number;
  /** What automatic compaction keeps; undefined: everything, there is none. */
  readonly autoCompaction: Retention | undefined;
  /** Between two looks for compactions, after which states are compared; undefined: never. */
  readonly compactedCheckMs: number | undefined;
  /** How fast what compaction superseded is removed. */
  readonly compaction: CompactionPace;
  readonly auth: AuthOptions;
  readonly http: {
    /** Origins that may ask; "*": any. */
    readonly cors: readonly string[];
    /** Host names for plaintext HTTP besides our own, in etcd's words without them; "*": any. */
    readonly hostWhitelist: readonly string[];
    /** JSON at /v3/. */
    readonly gateway: boolean;
    /** Profiles at /debug/pprof/. */
    readonly pprof: boolean;
  };
  readonly watchProgressMs: number;
  /** Slower ones are logged; Infinity: none. */
  readonly warnUnaryMs: number;
  readonly warnApplyMs: number;
  /** Histograms of calls, too. */
  readonly extensiveMetrics: boolean;
  readonly features: Features;
  /** Log entries kept for slow followers; undefined: see node/compactor.ts. */
  readonly keptLogEntries: number | undefined;
  /** Directory of the log; undefined: the data directory. */
  readonly logDir: string | undefined;
  /** Writes are promised before they are on the disk. */
  readonly unsafeNoFsync: boolean;
  /** The other members are gone for good: this one goes on alone. */
  readonly forceNewCluster: boolean;
  readonly reusePort: boolean;
  /** To be logged once, when there is a log. */
  readonly notices: readonly Notice[];
}

/** Throws ConfigError. */
export function optionsOf(settings: Gathered): Options {
  const number = (flag: string): number => settings.number(`--${flag}`);
  const chosen = (flag: string): boolean => settings.chosen(`--${flag}`) !== undefined;
  const { features, notices } = featuresOf(settings);
  warnOfChoices(settings, notices);
  return {
    requestBytesMax: number("max-request-bytes"),
    txnOpsMax: number("max-txn-ops"),
    concurrentStreamsMax: chosen("max-concurrent-streams")
      ? number("max-concurrent-streams")
      : undefined,
    keepalive: keepaliveOf(settings),
    quotaBackendBytes: number("quota-backend-bytes"),
    autoCompaction: retentionOf(
      settings.text("--auto-compaction-mode"),
      settings.text("--auto-compaction-retention"),
    ),
    compactedCheckMs: features.CompactHashCheck ? number("compact-hash-check-time") : undefined,
    compaction: {
      sliceRows: number("compaction-batch-limit"),
      restMs: number("compaction-sleep-interval"),
    },
    ...{ auth: authOptionsOf(settings), http: httpOf(settings) },
    watchProgressMs: number("watch-progress-notify-interval"),
    warnUnaryMs: number("warning-unary-request-duration") || Number.POSITIVE_INFINITY,
    warnApplyMs: number("warning-apply-duration") || Number.POSITIVE_INFINITY,
    extensiveMetrics: settings.text("--metrics") === "extensive",
    keptLogEntries: chosen("snapshot-catchup-entries")
      ? number("snapshot-catchup-entries")
      : undefined,
    logDir: settings.text("--wal-dir") || undefined,
    unsafeNoFsync: settings.on("--unsafe-no-fsync"),
    forceNewCluster: settings.on("--force-new-cluster"),
    reusePort: settings.on("--socket-reuse-port"),
    features,
    notices: [...settings.notices, ...notices.all()],
  };
}

/** Parts of a list with commas; what is empty is none. */
export function partsOf(list: string): readonly string[] {
  return list
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");
}

function keepaliveOf(settings: Gathered): Options["keepalive"] {
  const idleMs = settings.number("--grpc-keepalive-interval");
  const timeoutMs = settings.number("--grpc-keepalive-timeout");
  return {
    pingIntervalMinMs: settings.number("--grpc-keepalive-min-time"),
    idleMs: idleMs > 0 && timeoutMs > 0 ? idleMs : Number.POSITIVE_INFINITY,
    timeoutMs,
  };
}

/** In etcd's words an empty list lets everybody in, as "*" does, and it is empty if left out. */
function httpOf(settings: Gathered): Options["http"] {
  const empty = settings.speaksEtcd ? "*" : "";
  return {
    cors: partsOf(settings.text("http.cors") || empty),
    hostWhitelist: partsOf(settings.text("http.allowed_hosts") || empty),
    gateway: settings.on("--enable-grpc-gateway"),
    pprof: settings.on("--enable-pprof"),
  };
}

/** Unsafe ones, and capnslog, which was how etcd 3.4 wrote its lines. */
function warnOfChoices(settings: Gathered, notices: Notices): void {
  if (settings.text("--logger") === "capnslog") {
    notices.inert(
      settings.where("--logger"),
      "log lines have the form of zap's, as since etcd 3.5",
    );
  }
  if (settings.on("--unsafe-no-fsync")) {
    notices.warn("nothing is synced: a power cut takes what was answered", {
      where: settings.where("--unsafe-no-fsync"),
    });
  }
  if (settings.on("--force-new-cluster")) {
    notices.warn("this member goes on alone; never let the others of its cluster start again", {
      where: settings.where("--force-new-cluster"),
    });
  }
}

function featuresOf(settings: Gathered): { features: Features; notices: Notices } {
  const notices = new Notices();
  const given = settings.where("--feature-gates");
  const twins: string[] = [];
  for (const [flag, feature] of FEATURE_TWINS) {
    const on = settings.on(`--${flag}`);
    if (settings.chosen(`--${flag}`) !== undefined) twins.push(`${feature}=${on}`);
  }
  const features = parseFeatures(settings.text("--feature-gates"), given);
  const all = parseFeatures(twins.join(","), given, features);
  for (const [feature, why] of Object.entries(INERT_FEATURES)) {
    const text = `${settings.text("--feature-gates")},${twins.join(",")}`;
    if (text.includes(`${feature}=`)) notices.inert(`feature ${feature}`, why);
  }
  if (all.LeaseCheckpointPersist && !all.LeaseCheckpoint) {
    throw new ConfigError(`${given}: LeaseCheckpointPersist needs LeaseCheckpoint`);
  }
  return { features: all, notices };
}
