/** Every gRPC service of a node, made once over one backend. */
import { AssertionError } from "../base/assert.ts";
import { AetherError } from "../base/errors.ts";
import type { Clock, Log, Random } from "../base/ports.ts";
import type { Turn } from "../base/turn.ts";
import type { Group } from "../node/group.ts";
import { SERVICES } from "../proto/gen/registry.ts";
import { Admission } from "../rpc/admission.ts";
import { authMethods } from "../rpc/auth.ts";
import { Authorizer } from "../rpc/authorize.ts";
import { clusterMethods } from "../rpc/cluster.ts";
import { ElectionService } from "../rpc/election.ts";
import { expectedFailure } from "../rpc/errors.ts";
import type { Identity } from "../rpc/headers.ts";
import { HealthService } from "../rpc/health.ts";
import type { HeldRequests } from "../rpc/held-requests.ts";
import { type KvLimits, KvService } from "../rpc/kv.ts";
import type { LargeReads } from "../rpc/large-reads.ts";
import { type LeaseLimits, LeaseService } from "../rpc/lease.ts";
import { lockMethods } from "../rpc/lock.ts";
import { type MaintenanceBackend, maintenanceMethods } from "../rpc/maintenance.ts";
import type { Overload } from "../rpc/overload.ts";
import { Passwords } from "../rpc/passwords.ts";
import { SpaceQuota } from "../rpc/quota.ts";
import { reflectionMethods } from "../rpc/reflection.ts";
import { SnapshotService, type SnapshotSpools } from "../rpc/snapshot.ts";
import type { Tokens } from "../rpc/tokens.ts";
import { WaitingCalls } from "../rpc/waiting-calls.ts";
import { WatchService } from "../rpc/watch.ts";
import type { AuthChange } from "../state/results.ts";
import type { Failure, Method } from "../wire/grpc/server-call.ts";
import { CallMeters } from "./metrics/calls.ts";

export interface ServicesBackend extends MaintenanceBackend {
  readonly group: Group;
  readonly identity: Identity;
  readonly turn: Turn;
  readonly electionMs: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly random: Random;
  readonly ttlSecondsMin: number;
  readonly native: LeaseLimits;
  readonly limits: KvLimits;
  readonly snapshots: SnapshotSpools;
  readonly tokens: Tokens;
  readonly bcryptCost: number;
  /** Every call is timed. */
  readonly extensiveMetrics: boolean;
  /** A verified client certificate tells who asks. */
  readonly clientCertAuth: boolean;
  /** Nobody is served before auth has begun. */
  readonly mustBegin: boolean;
}

export class Services {
  readonly backend: ServicesBackend;
  readonly health: HealthService;
  readonly meters: CallMeters;
  readonly passwords: Passwords;
  readonly #kv: KvService;
  readonly #watch: WatchService;
  readonly #lease: LeaseService;
  /** Locks and elections. */
  readonly waiting: WaitingCalls;
  readonly #snapshots: SnapshotService;
  readonly #admission: Admission;
  readonly #auth: Authorizer;
  readonly #quota: SpaceQuota;
  readonly #methods: readonly Method[];
  #isReady = false;

  constructor(backend: ServicesBackend) {
    this.backend = backend;
    const { group, identity, electionMs, bcryptCost } = backend;
    const auth = new Authorizer(backend);
    this.passwords = new Passwords(bcryptCost);
    this.#auth = auth;
    this.#watch = new WatchService({
      ...{ hub: group.hub, identity, auth },
      get term() {
        return group.term;
      },
      wakeHub: () => group.wakeHub(),
    });
    const guarded = { ...backend, auth };
    this.#kv = new KvService(guarded);
    this.#lease = new LeaseService(guarded);
    this.waiting = new WaitingCalls(guarded);
    this.#snapshots = new SnapshotService(backend.snapshots);
    this.#admission = new Admission({
      ...{ group, electionMs, memberId: identity.memberId },
      onCorrupt: () => this.#closeStreams(new AetherError("corrupt")),
    });
    this.#quota = new SpaceQuota({ ...backend, memberId: identity.memberId });
    const methods: Method[] = [
      ...this.#kv.methods(),
      ...this.#watch.methods(),
      ...this.#lease.methods(),
      ...authMethods({ ...guarded, passwords: this.passwords }),
      ...lockMethods(guarded, this.waiting),
      ...new ElectionService(guarded, this.waiting).methods(),
      ...clusterMethods(backend),
      ...maintenanceMethods(backend),
      ...this.#snapshots.methods(),
    ];
    const names = servedNames(methods);
    this.health = new HealthService(names);
    methods.push(...this.health.methods());
    const all = [...servedNames(methods), "grpc.reflection.v1.ServerReflection"];
    const reflection = reflectionMethods([...all, "grpc.reflection.v1alpha.ServerReflection"]);
    this.#methods = [
      ...this.#admission.guard(auth.guard(this.#quota.guard(methods))),
      ...auth.guard(reflection),
    ];
    this.meters = new CallMeters({
      types: typesOf(this.#methods),
      nowMs: () => backend.clock.monotonicMs(),
      isExtensive: backend.extensiveMetrics,
    });
  }

  methods(): readonly Method[] {
    return this.#methods;
  }

  get largeReads(): LargeReads {
    return this.#kv.largeReads;
  }

  get heldRequests(): HeldRequests {
    return this.#auth.held;
  }

  /** Who refuses calls when too many wait. */
  get overload(): Overload {
    return this.#admission.overload;
  }

  /** How a call ends whose handler threw; what is no expected failure is thrown on. */
  failureOf(error: unknown): Failure {
    const failure = expectedFailure(error);
    if (failure !== undefined) return failure;
    throw error instanceof Error ? error : new AssertionError(String(error));
  }

  /** Members or alarms have changed, perhaps this one's own. */
  membersChanged(): void {
    this.#admission.refresh();
    this.#quota.measure();
    this.#tellHealth();
  }

  /** A token was given, or some are void. */
  authChanged(change: AuthChange): void {
    this.#auth.onAuth(change);
  }

  /** The server has begun to serve, or is about to end. */
  setReady(isReady: boolean): void {
    this.#isReady = isReady;
    this.#tellHealth();
  }

  /** Looks after streams that should end; call it with each tick of the group. */
  tick(nowMs: number): void {
    this.#kv.tick(nowMs);
    this.#watch.tick();
    this.#quota.tick();
    this.#admission.tick(nowMs);
    this.#snapshots.tick(nowMs);
    this.#auth.tick();
  }

  /** Ends the streams that have no end of their own. */
  closeStreams(): void {
    this.#closeStreams(new AetherError("stopped"));
    this.#snapshots.close(new AetherError("stopped"));
    this.health.close();
  }

  /** Whoever asks is to go to another member while this one serves nothing. */
  #tellHealth(): void {
    this.health.setServing(this.#isReady && !this.#admission.isCorrupt);
  }

  #closeStreams(reason: AetherError): void {
    this.#watch.close(reason);
    this.#lease.close(reason);
    this.waiting.close(reason);
  }
}

/** The services that have at least one method here. */
function servedNames(methods: readonly Method[]): string[] {
  return [...new Set(methods.map(({ path }) => path.split("/")[1] as string))].sort();
}

/** How Prometheus labels the methods. */
function typesOf(methods: readonly Method[]): Map<string, string> {
  const types = new Map<string, string>();
  const served = new Set(methods.map(({ path }) => path));
  for (const { methods: all } of SERVICES) {
    for (const { path, clientStream, serverStream } of Object.values(all)) {
      if (!served.has(path)) continue;
      if (clientStream) types.set(path, serverStream ? "bidi_stream" : "client_stream");
      else types.set(path, serverStream ? "server_stream" : "unary");
    }
  }
  return types;
}
