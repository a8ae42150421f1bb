/**
 * Counts of calls by method and code, as go-grpc-prometheus names them, and of callers by what
 * version of the API they say they speak. A few additions a call; how long calls take is measured
 * only when it is asked for (--metrics=extensive), as in etcd.
 */
import { exponentialBounds, Histogram, type Labels, type Metrics } from "../../observe/metrics.ts";
import { Maintenance } from "../../proto/gen/etcdserverpb.ts";
import { type CallMeter, NO_METER } from "../../wire/grpc/call-meter.ts";
import type { Metadata } from "../../wire/grpc/metadata.ts";
import type { GrpcCode } from "../../wire/grpc/status.ts";

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

/** Prometheus' default buckets, in seconds. */
const HANDLING_BOUNDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** Rare calls whose time is always measured: etcd has a histogram for each. */
const WORK: readonly (readonly [path: string, name: string, help: string, bounds: number[]])[] = [
  [
    Maintenance.Defragment.path,
    "etcd_disk_backend_defrag_duration_seconds",
    "Time to give back what is free, as clients asked for it.",
    exponentialBounds(0.1, 2, 13),
  ],
  [
    Maintenance.Snapshot.path,
    "etcd_disk_backend_snapshot_duration_seconds",
    "Time to make and send a snapshot to a client.",
    exponentialBounds(0.01, 2, 17),
  ],
  [
    Maintenance.Hash.path,
    "etcd_mvcc_hash_duration_seconds",
    "Time to hash the newest state for a client.",
    exponentialBounds(0.01, 2, 15),
  ],
  [
    Maintenance.HashKV.path,
    "etcd_mvcc_hash_rev_duration_seconds",
    "Time to hash the state at a revision for a client.",
    exponentialBounds(0.01, 2, 15),
  ],
];

/** Versions that clients may name and that get a label of their own; the rest share one. */
const CLIENT_VERSIONS_MAX = 32;

interface ClientCount {
  readonly labels: Labels;
  count: number;
}

class MethodCalls {
  readonly labels: Readonly<Record<"grpc_method" | "grpc_service" | "grpc_type", string>>;
  readonly handled: number[] = CODE_LABELS.map(() => 0);
  /** How long calls took; undefined: not measured. */
  readonly handling: Histogram | undefined;
  started = 0;
  ended = 0;
  received = 0;
  sent = 0;

  constructor(path: string, type: string, bounds: readonly number[] | undefined) {
    const [, service = "", method = ""] = path.split("/");
    this.handling = bounds === undefined ? undefined : new Histogram(bounds);
    this.labels = { grpc_method: method, grpc_service: service, grpc_type: type };
  }
}

/** Told of the calls of one method by callers of one version. */
class MethodMeter implements CallMeter {
  readonly #calls: MethodCalls;
  readonly #client: ClientCount;
  readonly #work: Histogram | undefined;
  readonly #nowMs: () => number;
  readonly #isTimed: boolean;

  constructor(
    calls: MethodCalls,
    client: ClientCount,
    work: Histogram | undefined,
    nowMs: () => number,
  ) {
    this.#calls = calls;
    this.#client = client;
    this.#work = work;
    this.#nowMs = nowMs;
    this.#isTimed = work !== undefined || calls.handling !== undefined;
  }

  onStart(): void {
    this.#calls.started++;
    this.#client.count++;
  }

  onReceived(): void {
    this.#calls.received++;
  }

  onSent(): void {
    this.#calls.sent++;
  }

  onEnd(code: GrpcCode, startedMs: number): void {
    const calls = this.#calls;
    calls.ended++;
    (calls.handled[code] as number)++;
    if (!this.#isTimed) return;
    const seconds = (this.#nowMs() - startedMs) / 1000;
    calls.handling?.observe(seconds);
    this.#work?.observe(seconds);
  }
}

export interface CallMetersOptions {
  /** "unary", "server_stream" or "bidi_stream" for each path. */
  readonly types: ReadonlyMap<string, string>;
  /** The clock of the connections. */
  readonly nowMs: () => number;
  /** Every call is timed (--metrics=extensive). */
  readonly isExtensive: boolean;
}

export class CallMeters {
  readonly #calls = new Map<string, MethodCalls>();
  readonly #clients = new Map<string, ClientCount>();
  readonly #work = new Map(WORK.map(([path, , , bounds]) => [path, new Histogram(bounds)]));
  readonly #options: CallMetersOptions;

  constructor(options: CallMetersOptions) {
    const bounds = options.isExtensive ? HANDLING_BOUNDS : undefined;
    for (const [path, type] of options.types) {
      this.#calls.set(path, new MethodCalls(path, type, bounds));
    }
    this.#options = options;
  }

  /** Who counts calls of the method at `path` that come with `metadata`. */
  readonly meterOf = (path: string, metadata: Metadata): CallMeter => {
    const calls = this.#calls.get(path);
    if (calls === undefined) return NO_METER; // members' calls, on an address that they share
    const client = this.#clientOf(calls, metadata);
    return new MethodMeter(calls, client, this.#work.get(path), this.#options.nowMs);
  };

  /** Calls that have begun and not ended. */
  get underWay(): number {
    let count = 0;
    for (const { started, ended } of this.#calls.values()) count += started - ended;
    return count;
  }

  register(metrics: Metrics): void {
    const all = [...this.#calls.values()];
    const count = (name: string, help: string, value: (calls: MethodCalls) => number): void =>
      metrics.readMany("counter", name, help, () =>
        all.map((calls) => [calls.labels, value(calls)] as const),
      );
    count("grpc_server_started_total", "Calls that were begun.", ({ started }) => started);
    count("grpc_server_msg_received_total", "Messages of clients.", ({ received }) => received);
    count("grpc_server_msg_sent_total", "Messages sent to clients.", ({ sent }) => sent);
    metrics.readMany("counter", "grpc_server_handled_total", "Calls that have ended.", () =>
      all.flatMap(({ labels, handled }) =>
        handled.map(
          (value, code) => [{ ...labels, grpc_code: CODE_LABELS[code] as string }, value] as const,
        ),
      ),
    );
    metrics.readMany(
      "counter",
      "etcd_server_client_requests_total",
      "Calls by client version.",
      () => [...this.#clients.values()].map(({ labels, count: value }) => [labels, value] as const),
    );
    this.#registerTimes(metrics);
  }

  #registerTimes(metrics: Metrics): void {
    for (const [path, name, help] of WORK) {
      const times = this.#work.get(path) as Histogram;
      metrics.histograms(name, help, () => [[{}, times]]);
    }
    const defragment = this.#calls.get(Maintenance.Defragment.path) as MethodCalls;
    metrics.read("gauge", "etcd_disk_defrag_inflight", "Clients that wait for space.", () => {
      return defragment.started - defragment.ended;
    });
    if (!this.#options.isExtensive) return;
    metrics.histograms("grpc_server_handling_seconds", "Time from a call's begin to its end.", () =>
      [...this.#calls.values()].flatMap(({ labels, handling }) =>
        handling === undefined ? [] : [[labels, handling] as const],
      ),
    );
  }

  /** As etcd's interceptor counts: unary calls and streams, by `client-api-version`. */
  #clientOf({ labels: { grpc_type } }: MethodCalls, metadata: Metadata): ClientCount {
    const type = grpc_type === "unary" ? "unary" : "stream";
    const said = metadata.get("client-api-version") ?? "unknown";
    const version = this.#clients.size < CLIENT_VERSIONS_MAX ? said : "other";
    const key = `${type} ${said}`;
    const known = this.#clients.get(key) ?? this.#clients.get(`${type} ${version}`);
    if (known !== undefined) return known;
    const made = { labels: { client_api_version: version, type }, count: 0 };
    this.#clients.set(`${type} ${version}`, made);
    return made;
  }
}
