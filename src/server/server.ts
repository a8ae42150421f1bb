/**
 * One running node: puts the parts together, starts them in order, stops them in the reverse.
 *
 *   data directory (locked) ─▶ log, state ─▶ who we are ─▶ group, peers ─▶ leader known ─▶ clients
 *   stop: leadership handed over ─▶ no new calls, streams ended, calls finished ─▶ group, peers ─▶
 *         stores ─▶ lock released
 *
 * A write of the log or the state that fails ends the process at once (fsyncgate: nothing may be
 * acknowledged after it, and trying again is not safe).
 */
import type { Log } from "../base/ports.ts";
import { Turn } from "../base/turn.ts";
import { KIB } from "../base/units.ts";
import { Consistency } from "../cluster/consistency.ts";
import { Membership } from "../cluster/membership.ts";
import { Network } from "../net/network.ts";
import { processTimers, socketDialer } from "../net/peers/dial.ts";
import type { PeerDialer } from "../net/peers/ports.ts";
import { CHECKPOINT_INTERVAL_MS } from "../node/checkpoints.ts";
import { Group } from "../node/group.ts";
import { Metrics } from "../observe/metrics.ts";
import type { MemberId } from "../raft/types.ts";
import { HashQueue } from "../rpc/hash-queue.ts";
import type { StoredIdentity } from "../storage/identity.ts";
import { stageState } from "../storage/state-staging.ts";
import type { Failure } from "../wire/grpc/server-call.ts";
import { answeringOf } from "./answering.ts";
import { beginAuth } from "./auth-beginning.ts";
import { authPartsOf } from "./auth-tokens.ts";
import { type Beginning, whileBeginning } from "./beginning.ts";
import { ClusterLink } from "./cluster-link.ts";
import { clusterView } from "./cluster-view.ts";
import type { Config } from "./config/config.ts";
import { Doors } from "./doors.ts";
import { warnOfOpenData, warnOfOpenSecrets } from "./exposed-files.ts";
import { begin, foundingOf, rememberBeginning } from "./founding.ts";
import { createHttpSide, type HttpSide } from "./http/compose.ts";
import { KnownMembers } from "./known-members.ts";
import type { LimitLog } from "./limit-log.ts";
import { watchLimits } from "./limits-met.ts";
import { MeteredGroup } from "./metrics/group.ts";
import { RoundTrips, registerNode } from "./metrics/node.ts";
import { registerProcess } from "./metrics/process.ts";
import { peerTrust } from "./peer-trust.ts";
import { Publisher } from "./publisher.ts";
import { removed } from "./removed.ts";
import { keepCertificates, makesCertificates } from "./self-signed.ts";
import { Services } from "./services.ts";
import { WarningMeter } from "./slow-requests.ts";
import { FileSpools } from "./snapshot-spools.ts";
import {
  closeStores,
  FIRST_GROUP,
  foundState,
  noteBegun,
  openStores,
  type Stores,
} from "./stores.ts";
import { loadNodeTls, type NodeTls } from "./tls.ts";
import { Upkeep } from "./upkeep.ts";
import { clock, random } from "./world.ts";

/** Calls in flight get this long to finish when the server stops: a stop stays under 2 s. */
const DRAIN_MS = 1200;

/** Between two looks whether the calls in flight are answered. */
const DRAIN_POLL_MS = 2;

/** A hand-over takes a round trip and an election without a timeout; beyond this, others elect. */
const HAND_OVER_MS_MAX = 500;

/** Election timeouts that clients' addresses stay closed while nobody leads. */
const PATIENCE_ELECTIONS = 5;

/** etcd's request timeout is this and two election timeouts. */
const REQUEST_TIMEOUT_MS = 5000;

const MS_PER_S = 1000;

/** What a message may be larger than the request in it (etcd's grpcOverheadBytes). */
const REQUEST_SLACK_BYTES = 512 * KIB;

/** The exit status of a member that was removed, or cannot go on: see cli/serve. */
const EXIT_FAILED = 1;

export interface RunningServer {
  /** host:port that clients use, with the port the system gave when 0 was asked for. */
  readonly clientAddress: string;
  readonly metricsAddress: string;
  /** The exit status, once the server has ended. */
  readonly ended: Promise<number>;
  /** Drains and ends; may be called twice. */
  stop(): Promise<void>;
}

/** What exists before it is known who this node is. */
interface Base {
  readonly config: Config;
  readonly log: Log;
  readonly turn: Turn;
  readonly network: Network;
  readonly doors: Doors;
  readonly stores: Stores;
  readonly dialer: PeerDialer;
  readonly auth: ReturnType<typeof authPartsOf>;
}

/**
 * Starts a node and resolves when it serves. Rejects with a message for people when it cannot:
 * the directory is locked or damaged, an address is taken, the cluster does not want it.
 */
export async function startServer(config: Config, log: Log): Promise<RunningServer> {
  const given = makesCertificates(config) ? undefined : await loadNodeTls(config, { clock, log });
  const auth = authPartsOf(config.auth, clock, log);
  let stores = await openStores(config.dataDir, config);
  const tls = given ?? (await makeTls(config, log, stores));
  const turn = new Turn(setImmediate);
  const network = new Network({ turn, log });
  const dialer = socketDialer(network, tls.peers?.client);
  const doors = new Doors({
    ...{ config, network, log, answering: whileBeginning(config, log) },
    tls: { clients: tls.clients?.server, peers: tls.peers?.server },
  });
  const base: Base = { config, log, turn, network, doors, stores, dialer, auth };
  let server: Server | undefined;
  try {
    const beginning = stores.identity === undefined ? await begin({ ...base, random }) : undefined;
    const identity = stores.identity ?? rememberBeginning(config, beginning);
    if (beginning?.kind === "found") stores = await foundState(stores, foundingOf(beginning));
    server = new Server({ ...base, stores: { ...stores, identity } }, identity, beginning);
    await server.start();
  } catch (error) {
    if (server === undefined) {
      await doors.close(0);
      await closeStores(stores);
    } else await server.stop();
    throw error;
  }
  return server;
}

/** What a node makes for itself is kept in its directory, which has to be its own by then. */
async function makeTls(config: Config, log: Log, stores: Stores): Promise<NodeTls> {
  try {
    await keepCertificates(config, { wallMs: clock.wallMs(), log });
    return await loadNodeTls(config, { clock, log });
  } catch (error) {
    await closeStores(stores);
    throw error;
  }
}

class Server implements RunningServer {
  readonly ended: Promise<number>;
  readonly #base: Base;
  readonly #identity: StoredIdentity;
  readonly #known: KnownMembers;
  readonly #group: Group;
  readonly #link: ClusterLink;
  readonly #membership: Membership;
  /** Hashes that other members ask for. */
  readonly #hashes: HashQueue;
  readonly #consistency: Consistency;
  readonly #services: Services;
  readonly #publisher: Publisher;
  readonly #upkeep: Upkeep;
  readonly #metrics = new Metrics();
  readonly #roundTrips = new RoundTrips();
  #http: HttpSide | undefined;
  #limits: LimitLog | undefined;
  readonly #end = Promise.withResolvers<number>();
  #ticker: ReturnType<typeof setInterval> | undefined;
  #stopping: Promise<void> | undefined;
  #exitStatus = 0;
  /** Others have proved that this member was removed. */
  #provenRemoved = false;

  constructor(base: Base, identity: StoredIdentity, beginning: Beginning | undefined) {
    this.#base = base;
    this.#identity = identity;
    this.ended = this.#end.promise;
    this.#link = this.#createLink();
    this.#group = this.#createGroup(beginning);
    this.#link.attach(this.#group);
    this.#known = new KnownMembers({
      group: this.#group,
      asked: beginning?.members ?? [],
      setMembers: (members, removed) => this.#link.setMembers(members, removed),
    });
    this.#membership = this.#createMembership();
    this.#hashes = new HashQueue({ group: this.#group, turn: base.turn });
    this.#consistency = this.#createConsistency();
    this.#services = this.#createServices();
    const { config, log } = base;
    const compared = { group: this.#group, hashes: this.#hashes, hashAt: this.#link.askHash };
    this.#upkeep = new Upkeep({ config, memberId: identity.memberId, ...compared, clock, log });
    this.#publisher = new Publisher({
      group: this.#group,
      memberId: identity.memberId,
      name: config.name,
      clientUrls: () => this.#clientUrls(),
      log,
    });
  }

  get clientAddress(): string {
    return this.#base.doors.clientAddresses[0] ?? "";
  }

  get metricsAddress(): string {
    return this.#base.doors.metricsAddresses[0] ?? "";
  }

  async start(): Promise<void> {
    const { config, log, stores, doors } = this.#base;
    this.#refuseRemoved();
    warnOfOpenData(stores.dataDir, log);
    warnOfOpenSecrets(config, log);
    this.#serve();
    this.#tellMembers();
    this.#ticker = setInterval(() => this.#tick(), config.heartbeatIntervalMs);
    this.#group.start();
    if (config.founders.length > 1 || config.listenPeer.length > 0) await doors.openPeers();
    const patience = Bun.sleep(PATIENCE_ELECTIONS * config.electionTimeoutMs);
    const ready = this.#group.whenReady();
    await this.#unlessEnded(Promise.race([ready, patience]));
    if (!this.#group.isReady) log.warn("no leader yet: only stale reads and status are served");
    else {
      await this.#unlessEnded(this.#upkeep.beforeServing());
      await this.#unlessEnded(this.#beginAuth()); // so that clients find a cluster that serves
    }
    await doors.openClients();
    await doors.openObservers();
    await this.#unlessEnded(ready);
    await this.#unlessEnded(this.#beginAuth());
    noteBegun(stores);
    await this.#unlessEnded(this.#publisher.publish());
    this.#services.setReady(true);
  }

  #beginAuth(): Promise<void> {
    const { config, log, auth } = this.#base;
    return beginAuth({ group: this.#group, log, ...config.auth, ...auth });
  }

  /** Waits for `event`; rejects if this member turns out to be removed meanwhile. */
  async #unlessEnded(event: Promise<void>): Promise<void> {
    await Promise.race([event, this.ended]);
    if (this.#stopping !== undefined) throw removed(this.#identity.memberId);
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stopAll();
    return this.#stopping;
  }

  async #stopAll(): Promise<void> {
    const { doors, stores } = this.#base;
    await this.#handOver();
    this.#services.setReady(false);
    this.#services.closeStreams();
    const closed = doors.close(DRAIN_MS);
    await Promise.race([closed, this.#callsAnswered()]);
    clearInterval(this.#ticker);
    this.#membership.stop();
    this.#consistency.stop();
    this.#group.stop();
    await this.#link.stop(); // members on the clients' address hold it open until then
    await closed;
    await closeStores(stores);
    this.#end.resolve(this.#exitStatus);
  }

  /** Resolves when no call of a client is under way; consensus goes on until then. */
  async #callsAnswered(): Promise<void> {
    while (this.#services.meters.underWay > 0) await Bun.sleep(DRAIN_POLL_MS);
  }

  /** Others need not wait for an election: they are given a leader before this one goes. */
  async #handOver(): Promise<void> {
    const over = Promise.withResolvers<void>();
    const giveUp = setTimeout(over.resolve, HAND_OVER_MS_MAX);
    this.#group.handOver(over.resolve);
    await over.promise;
    clearTimeout(giveUp);
  }

  #tick(): void {
    this.#group.tick();
    this.#known.tick();
    this.#membership.tick();
    this.#consistency.tick();
    this.#publisher.tick();
    this.#upkeep.tick();
    this.#services.tick(clock.monotonicMs());
    this.#http?.tick(clock.monotonicMs());
    this.#limits?.tick(clock.monotonicMs());
    if (this.#provenRemoved && !this.#group.isLeader) this.#onRemoved();
  }

  /** What a member does when the cluster has removed it: it says why, and ends. */
  #onRemoved(): void {
    if (this.#stopping !== undefined) return;
    this.#base.log.error(removed(this.#identity.memberId).message);
    this.#exitStatus = EXIT_FAILED;
    this.#membership.tick(); // whoever asked for it is told that it was done
    void this.stop();
  }

  #refuseRemoved(): void {
    const { memberId } = this.#identity;
    if (this.#group.machine.isRemoved(memberId)) throw removed(memberId);
  }

  #createGroup(beginning: Beginning | undefined): Group {
    const { config, log, turn, stores } = this.#base;
    const { electionTimeoutMs, heartbeatIntervalMs, leaseReads } = config;
    const meter = new MeteredGroup(config.warnApplyMs);
    meter.register(this.#metrics);
    const watched = new WarningMeter(meter, config, log);
    const drift = leaseReads?.clockDriftPercentMax;
    const lease =
      drift === undefined ? undefined : { tickMs: heartbeatIntervalMs, driftPercentMax: drift };
    return new Group(
      {
        memberId: this.#identity.memberId as MemberId,
        tickMs: heartbeatIntervalMs,
        electionTicks: Math.max(2, Math.round(electionTimeoutMs / heartbeatIntervalMs)),
        snapshotTriggerEntries: config.snapshotTriggerLogEntries,
        ...(config.keptLogEntries === undefined ? {} : { keptEntries: config.keptLogEntries }),
        founding: beginning?.kind === "found" ? foundingOf(beginning) : undefined,
        forward: config.forward,
        raft: { lease },
        leaseCheckpointMs: config.features.LeaseCheckpoint ? CHECKPOINT_INTERVAL_MS : undefined,
        watch: {
          progressIntervalMs: config.watchProgressMs,
          fragmentBytes: config.requestBytesMax + REQUEST_SLACK_BYTES,
        },
      },
      {
        ...{ log: stores.log, store: stores.state, clock, random, turn, logger: log },
        transport: this.#link.transport,
        meter: watched,
        onAuth: (change) => this.#services.authChanged(change),
        onMembership: () => this.#tellMembers(),
        onRemoved: () => this.#onRemoved(),
      },
    );
  }

  #createLink(): ClusterLink {
    const { config, log, network, stores, dialer } = this.#base;
    const { clusterId, memberId } = this.#identity;
    const { dataDir } = stores;
    return new ClusterLink({
      peers: {
        clusterId,
        self: memberId as MemberId,
        authorize: peerTrust(config),
        ...{ secret: config.secret, previousSecret: config.previousSecret },
        dialer,
        timers: processTimers(network),
        ...{ random, log },
        observeRoundTripMs: (id, ms) => this.#roundTrips.observe(id, ms),
        snapshotBytesPerSecond: config.snapshotBytesPerSecondMax,
      },
      groupNumber: FIRST_GROUP,
      leaseCallMs: config.electionTimeoutMs,
      changeCallMs: REQUEST_TIMEOUT_MS + 2 * config.electionTimeoutMs,
      snapshotsDirectory: `${dataDir.path}/snapshots`,
      stage: (received, { index, term }) =>
        stageState({
          ...{ received, index, term },
          path: dataDir.statePath(FIRST_GROUP),
          group: FIRST_GROUP,
        }),
      takeHash: (revision, isWanted, done) => this.#hashes.take(revision, isWanted, done),
      changeHere: (request, done) => this.#membership.changeHere(request, done),
      onRemoved: () => {
        this.#provenRemoved = true; // a leader goes on until it has retired
      },
    });
  }

  #createMembership(): Membership {
    const { config } = this.#base;
    const { electionTimeoutMs: electionMs } = config;
    return new Membership(
      {
        memberId: this.#identity.memberId as MemberId,
        electionMs,
        requestTimeoutMs: REQUEST_TIMEOUT_MS + 2 * electionMs,
        strict: config.strictReconfigCheck,
        learnersMax: config.learnersMax,
      },
      { group: this.#group, clock, forward: this.#link.forwardChange },
    );
  }

  #createConsistency(): Consistency {
    const { config, log } = this.#base;
    return new Consistency(
      {
        memberId: this.#identity.memberId as MemberId,
        intervalMs: config.corruptCheckIntervalS * MS_PER_S,
        compactedIntervalMs: config.compactedCheckMs,
      },
      {
        ...{ group: this.#group, clock, log },
        hashHere: (isWanted, done) => this.#hashes.take(0, isWanted, done),
        hashAt: this.#link.askHash,
      },
    );
  }

  #createServices(): Services {
    const { config, turn, stores } = this.#base;
    const { clusterId, memberId } = this.#identity;
    return new Services({
      group: this.#group,
      identity: { clusterId, memberId },
      ...{ turn, clock, random },
      ttlSecondsMin: Math.ceil((1.5 * config.electionTimeoutMs) / 1000),
      native: { leasesMax: config.leasesMax, ttlSecondsMax: config.leaseTtlSecondsMax },
      limits: config,
      snapshots: this.#createSpools(),
      ...this.#base.auth,
      membership: this.#membership,
      hashes: this.#hashes,
      electionMs: config.electionTimeoutMs,
      sizeBytes: () => stores.state.sizeBytes(),
      sizeInUseBytes: () => stores.state.sizeInUseBytes(),
      quotaBytes: config.quotaBackendBytes,
      extensiveMetrics: config.extensiveMetrics,
      log: this.#base.log,
    });
  }

  #createSpools(): FileSpools {
    const { log, stores } = this.#base;
    const { path: dataDir } = stores.dataDir;
    const path = stores.dataDir.statePath(FIRST_GROUP);
    const appliedIndex = (): number => this.#group.appliedIndex;
    return new FileSpools({ dataDir, path, group: FIRST_GROUP, appliedIndex, log });
  }

  /** From now on clients, members and observers are answered. */
  #serve(): void {
    const { config, doors, network, stores } = this.#base;
    const { clusterId, memberId } = this.#identity;
    const identity = { clusterId, memberId };
    const { meters } = this.#services;
    const mapError = (error: unknown): Failure => this.#services.failureOf(error);
    const methods = this.#services.methods();
    const receiveBytesMax = config.requestBytesMax + REQUEST_SLACK_BYTES;
    const shared = { config, methods, mapError, meter: meters.meterOf, receiveBytesMax };
    const http = createHttpSide({
      ...{ ...shared, group: this.#group, identity, clock, turn: this.#base.turn },
      metrics: () => this.#metrics.text(),
      cluster: () => clusterView({ group: this.#group, identity, peers: this.#link.status() }),
      clusterVersion: () => this.#group.machine.clusterVersion.version,
    });
    this.#http = http;
    const peerMethods = this.#link.methods;
    const keys = (): number => this.#group.machine.space.index.size;
    const answering = answeringOf({ ...shared, peerMethods, front: http.front, keys });
    doors.serve(answering);
    const { overload, largeReads, heldRequests, passwords, waiting } = this.#services;
    const loads = { overload, largeReads, heldRequests, passwords, waiting, share: network.share };
    const limited = { ...loads, doors, answering, front: http.front, held: http.held };
    this.#limits = watchLimits(this.#metrics, this.#base.log, limited);
    meters.register(this.#metrics);
    registerProcess(this.#metrics);
    registerNode(this.#metrics, {
      group: this.#group,
      store: stores.state,
      clients: () => doors.clientTraffic,
      peers: () => this.#link.status(),
      received: this.#link.received,
      roundTrips: this.#roundTrips,
      ...{ memberId, config, health: http.endpoints.counts },
    });
  }

  /** Whom to speak and listen to, as the state has it now. */
  #tellMembers(): void {
    this.#known.changed();
    this.#services.membersChanged();
  }

  /** What clients are told, with the ports that the system gave. */
  #clientUrls(): readonly string[] {
    const { config, doors } = this.#base;
    return config.clientUrls.map((url, position) => {
      const bound = doors.clientAddresses[position];
      return bound === undefined ? url : url.replace(/:0$/, bound.slice(bound.lastIndexOf(":")));
    });
  }
}
