/**
 * One running node: puts the parts together, starts them in order, stops them in the reverse.
 *
 *   data directory (locked) ─▶ log, state ─▶ identity ─▶ group ─▶ leader known ─▶ listeners
 *   stop: no new calls, streams ended, calls finished ─▶ group ─▶ stores ─▶ lock released
 *
 * A write of the log or the state that fails ends the process at once (fsyncgate: nothing may be
 * acknowledged after it, and trying again is not safe).
 */
import { AetherError } from "../base/errors.ts";
import type { Clock, Log, Random } from "../base/ports.ts";
import { Turn } from "../base/turn.ts";
import { foundCluster } from "../cluster/founding.ts";
import { addressText, parseAddress } from "../net/address.ts";
import { type ConnectionFactory, type Listener, listen } from "../net/listener.ts";
import { Network } from "../net/network.ts";
import { Group } from "../node/group.ts";
import type { LogStore, StateStore, Transport } from "../node/ports.ts";
import { Metrics } from "../observe/metrics.ts";
import type { Member } from "../proto/gen/etcdserverpb.ts";
import { configurationOf } from "../raft/membership/configuration.ts";
import { founding } from "../raft/restore.ts";
import type { MemberId } from "../raft/types.ts";
import { statusOf } from "../rpc/cluster.ts";
import { type DataDir, openDataDir } from "../storage/data-dir.ts";
import { readIdentity, type StoredIdentity, writeIdentity } from "../storage/identity.ts";
import { openLogStore } from "../storage/log-store.ts";
import { openStateStore } from "../storage/state-store.ts";
import { DAMAGE_ADVICE, StorageError } from "../storage/storage-error.ts";
import { GrpcServer } from "../wire/grpc/grpc-server.ts";
import { GrpcServerConnection } from "../wire/grpc/server-connection.ts";
import { Http1Connection } from "../wire/http1/server-connection.ts";
import type { Config } from "./config/config.ts";
import { Endpoints, type HttpAnswer } from "./endpoints.ts";
import { fsyncHistogram, registerNode } from "./metrics.ts";
import { Services } from "./services.ts";

/** The transport of a member that is alone. */
const NOBODY_ELSE: Transport = {
  send: () => {},
  propose: () => false,
  sendSnapshot: (_message, _held, onEnd) => onEnd(false),
  renewLeases: (_to, _ids, onAnswer) => onAnswer(new AetherError("no_leader")),
  leaseLives: (_to, _ids, onAnswer) => onAnswer(new AetherError("no_leader")),
};

/** The first group owns the whole key space; regions will add more. */
const FIRST_GROUP = 1;

/** Calls in flight get this long to finish when the server stops: a stop stays under 2 s. */
const DRAIN_MS = 1200;

/** EX_IOERR of sysexits.h: the log or the state could not be written. */
const EXIT_IO_ERROR = 74;

export interface RunningServer {
  /** host:port that clients use, with the port the system gave when 0 was asked for. */
  readonly clientAddress: string;
  readonly metricsAddress: string;
  /** The exit status, once the server has ended. */
  readonly ended: Promise<number>;
  /** Drains and ends; may be called twice. */
  stop(): Promise<void>;
}

interface Stores {
  readonly dataDir: DataDir;
  readonly log: LogStore;
  readonly state: StateStore;
  readonly identity: StoredIdentity;
}

const clock: Clock = { monotonicMs: () => performance.now(), wallMs: () => Date.now() };

const random: Random = {
  below: (bound) => Math.floor(Math.random() * bound),
  id63: () => {
    const [drawn = 0n] = crypto.getRandomValues(new BigUint64Array(1));
    const id = drawn & 0x7fff_ffff_ffff_ffffn;
    return id === 0n ? 1n : id;
  },
};

/**
 * Starts a node and resolves when it serves. Rejects with a message for people when it cannot:
 * the directory is locked or damaged, an address is taken.
 */
export async function startServer(config: Config, log: Log): Promise<RunningServer> {
  const stores = await openStores(config);
  const server = new Server(config, log, stores);
  try {
    await server.start();
  } catch (error) {
    await server.stop();
    throw error;
  }
  return server;
}

async function openStores(config: Config): Promise<Stores> {
  const dataDir = openDataDir(config.dataDir);
  const options = { group: FIRST_GROUP, onFatal: dieOfStorage };
  const opening = [
    openLogStore({ ...options, path: dataDir.logPath }),
    openStateStore({ ...options, path: dataDir.statePath(FIRST_GROUP) }),
  ] as const;
  try {
    const [log, state] = await Promise.all(opening);
    const identity = readIdentity(config.dataDir) ?? newIdentity(config, log);
    return { dataDir, log, state, identity };
  } catch (error) {
    for (const store of await Promise.allSettled(opening)) {
      if (store.status === "fulfilled") await store.value.close();
    }
    dataDir.release();
    throw error;
  }
}

/** The identity is durable before the log begins: a log without one is somebody's, not ours. */
function newIdentity(config: Config, log: LogStore): StoredIdentity {
  if (log.stored.hardState === undefined) return foundAlone(config);
  const lost = `${config.dataDir}/identity.json: gone, but there is a Raft log beside it`;
  throw new StorageError("unusable", `${lost}; ${DAMAGE_ADVICE}`);
}

/** A new data directory: this node founds a cluster of one. */
function foundAlone(config: Config): StoredIdentity {
  const { name, peerUrls, token } = config;
  const { clusterId, members } = foundCluster([{ name, peerUrls }], token);
  const identity = { clusterId, memberId: members[0]?.id ?? 0n, name };
  writeIdentity(config.dataDir, identity);
  return identity;
}

/** Nothing may be answered after a failed write, so the process ends here and now. */
function dieOfStorage(error: Error): never {
  process.stderr.write(
    `aether: ${error.message}\naether: stopping: a failed write is not retried\n`,
  );
  process.exit(EXIT_IO_ERROR);
}

class Server implements RunningServer {
  readonly ended: Promise<number>;
  readonly #config: Config;
  readonly #log: Log;
  readonly #stores: Stores;
  readonly #turn = new Turn(setImmediate);
  readonly #network: Network;
  readonly #group: Group;
  readonly #services: Services;
  readonly #endpoints: Endpoints;
  readonly #metrics = new Metrics();
  readonly #end = Promise.withResolvers<number>();
  #clients: Listener | undefined;
  #observers: Listener | undefined;
  #ticker: ReturnType<typeof setInterval> | undefined;
  #stopping: Promise<void> | undefined;

  constructor(config: Config, log: Log, stores: Stores) {
    this.#config = config;
    this.#log = log;
    this.#stores = stores;
    this.ended = this.#end.promise;
    this.#network = new Network({ turn: this.#turn, log });
    const { clusterId, memberId } = stores.identity;
    this.#group = this.#createGroup(memberId as MemberId);
    this.#services = new Services({
      group: this.#group,
      identity: { clusterId, memberId },
      turn: this.#turn,
      clock,
      random,
      ttlSecondsMin: Math.ceil((1.5 * config.electionTimeoutMs) / 1000),
      native: { leasesMax: config.leasesMax, ttlSecondsMax: config.leaseTtlSecondsMax },
      members: () => this.#members(),
      sizeBytes: () => stores.state.sizeBytes(),
      sizeInUseBytes: () => stores.state.sizeInUseBytes(),
    });
    this.#endpoints = new Endpoints({
      group: this.#group,
      metrics: () => this.#metrics.text(),
      cluster: () => this.#clusterView(),
    });
  }

  get clientAddress(): string {
    return this.#clients === undefined ? "" : addressText(this.#clients.address);
  }

  get metricsAddress(): string {
    return this.#observers === undefined ? "" : addressText(this.#observers.address);
  }

  async start(): Promise<void> {
    const { heartbeatIntervalMs } = this.#config;
    this.#ticker = setInterval(() => this.#tick(), heartbeatIntervalMs);
    this.#group.start();
    if (this.#stores.dataDir.openToOthers) {
      this.#log.warn("others may read the data directory", { path: this.#stores.dataDir.path });
    }
    await this.#group.whenReady();
    await this.#listen();
    this.#services.health.setServing(true);
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stopAll();
    return this.#stopping;
  }

  async #stopAll(): Promise<void> {
    this.#services.health.setServing(false);
    this.#services.closeStreams();
    await Promise.all([this.#clients?.stop(DRAIN_MS), this.#observers?.stop(DRAIN_MS)]);
    clearInterval(this.#ticker);
    this.#group.stop();
    await this.#stores.log.close();
    await this.#stores.state.close();
    this.#stores.dataDir.release();
    this.#end.resolve(0);
  }

  #tick(): void {
    this.#group.tick();
    this.#services.tick(clock.monotonicMs());
  }

  #createGroup(memberId: MemberId): Group {
    const { log: stored, state } = this.#stores;
    const { electionTimeoutMs, heartbeatIntervalMs, snapshotTriggerLogEntries } = this.#config;
    const fsyncs = fsyncHistogram(this.#metrics);
    return new Group(
      {
        memberId,
        tickMs: heartbeatIntervalMs,
        electionTicks: Math.max(2, Math.round(electionTimeoutMs / heartbeatIntervalMs)),
        snapshotTriggerEntries: snapshotTriggerLogEntries,
        founding: { ...founding(configurationOf([memberId])), members: this.#members() },
      },
      {
        log: stored,
        store: state,
        clock,
        random,
        turn: this.#turn,
        logger: this.#log,
        transport: NOBODY_ELSE,
        observeLogWriteMs: (ms) => fsyncs.observe(ms / 1000),
      },
    );
  }

  /** Listens for clients and observers, and connects what they ask to what answers. */
  async #listen(): Promise<void> {
    const [addr = ""] = this.#config.listenClient;
    const methods = this.#services.methods();
    const grpc = new GrpcServer({
      methods,
      mapError: (error) => this.#services.failureOf(error),
      http: ({ method, path, query }, response) => {
        this.#endpoints.handle(method, path, query, (answer) => {
          response.end(answer.status, fieldsOf(answer), answer.body);
        });
      },
      onStart: this.#services.meter.onStart,
      onEnd: this.#services.meter.onEnd,
    });
    const http2: ConnectionFactory = (peer, nowMs) =>
      new GrpcServerConnection(grpc, { peer: peer.address, nowMs });
    const http1: ConnectionFactory = (peer, nowMs) => this.#http1(peer.address, nowMs);
    this.#clients = await listen(this.#network, { address: parseAddress(addr), http1, http2 });
    this.#observers = await this.#listenMetrics(http1, http2);
    this.#services.meter.register(this.#metrics);
    registerNode(this.#metrics, {
      group: this.#group,
      store: this.#stores.state,
      clients: this.#clients,
      memberId: this.#stores.identity.memberId,
    });
  }

  /** A taken metrics address that nobody chose is no reason not to serve. */
  async #listenMetrics(http1: ConnectionFactory, http2: ConnectionFactory): Promise<Listener> {
    const { listenMetrics, metricsChosen } = this.#config;
    const [metricsAddr = ""] = listenMetrics;
    const address = parseAddress(metricsAddr);
    try {
      return await listen(this.#network, { address, http1, http2 });
    } catch (error) {
      if (metricsChosen || address.kind !== "tcp") throw error;
      const free = await listen(this.#network, { address: { ...address, port: 0 }, http1, http2 });
      const now = addressText(free.address);
      this.#log.warn("metrics address is taken, using a free port", { taken: metricsAddr, now });
      return free;
    }
  }

  #http1(peer: string, nowMs: number): Http1Connection {
    return new Http1Connection(
      {
        peer,
        handler: ({ method, path, query }, response) => {
          this.#endpoints.handle(method, path, query, (answer) => {
            response.end(answer.status, fieldsOf(answer), answer.body);
          });
        },
      },
      nowMs,
    );
  }

  #members(): Member[] {
    const { memberId, name } = this.#stores.identity;
    return [
      {
        ID: memberId,
        name,
        peerURLs: [...this.#config.peerUrls],
        clientURLs: [`http://${this.clientAddress}`],
        isLearner: false,
      },
    ];
  }

  #clusterView(): unknown {
    const { clusterId, memberId } = this.#stores.identity;
    const status = statusOf(this.#services.backend);
    const members = this.#members().map(({ ID, name, clientURLs }) => ({
      id: ID.toString(16),
      name,
      clientURLs,
      role: ID === this.#group.leader ? "leader" : "follower",
      term: status.raftTerm,
      index: status.raftIndex,
      applied: status.raftAppliedIndex,
      revision: this.#group.machine.revision,
      dbSize: status.dbSize,
      version: status.version,
      reachable: true,
    }));
    return { clusterId: clusterId.toString(16), answeredBy: memberId.toString(16), members };
  }
}

function fieldsOf(answer: HttpAnswer): string[] {
  const { type, allow } = answer;
  return allow === undefined ? ["content-type", type] : ["content-type", type, "allow", allow];
}

/** For callers that want one line: what is wrong, without a stack. */
export function isExpected(error: unknown): error is Error {
  if (error instanceof AetherError) return true;
  return error instanceof StorageError || (error instanceof Error && "code" in error);
}
