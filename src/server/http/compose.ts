/** The HTTP side of a server, put together: who answers at the addresses of which kind. */
import { hostname } from "node:os";
import type { Clock } from "../../base/ports.ts";
import type { Turn } from "../../base/turn.ts";
import { jsonBytesMax } from "../../gateway/json/call.ts";
import { JsonGateway } from "../../gateway/json/gateway.ts";
import { Pace } from "../../gateway/json/pace.ts";
import type { Group } from "../../node/group.ts";
import type { Identity } from "../../rpc/headers.ts";
import type { LargeReads } from "../../rpc/large-reads.ts";
import type { CallMeter } from "../../wire/grpc/call-meter.ts";
import type { Metadata } from "../../wire/grpc/metadata.ts";
import type { Failure, Method } from "../../wire/grpc/server-call.ts";
import type { Config } from "../config/config.ts";
import { type EndpointParts, Endpoints } from "../endpoints.ts";
import { MetricsPage } from "../metrics-page.ts";
import { peerTrust } from "../peer-trust.ts";
import { DebugPages } from "./debug.ts";
import { HttpFront } from "./front.ts";
import { ownHosts } from "./own-hosts.ts";
import { PeerPages } from "./peer-pages.ts";
import { Profiles } from "./profiles.ts";

export interface HttpParts {
  readonly config: Config;
  readonly group: Group;
  readonly identity: Identity;
  readonly clock: Clock;
  readonly turn: Turn;
  /** What the gateway's paths lead to. */
  readonly methods: readonly Method[];
  readonly mapError: (error: unknown) => Failure;
  readonly meter: (path: string, metadata: Metadata) => CallMeter;
  readonly metrics: () => string;
  readonly cluster: () => unknown;
  readonly clusterVersion: () => string | undefined;
  /** Bytes of a message, as gRPC takes it. */
  readonly receiveBytesMax: number;
}

export interface HttpSide {
  readonly front: HttpFront;
  readonly endpoints: Endpoints;
  /** What waits to become JSON; undefined: there is no gateway. */
  readonly held: LargeReads | undefined;
  /** Ends what is overdue; call it about every 100 ms. */
  tick(nowMs: number): void;
}

export function createHttpSide(parts: HttpParts): HttpSide {
  const { config, group, identity, clock } = parts;
  const { clusterId, memberId } = identity;
  const nowMs = (): number => clock.monotonicMs();
  const page = new MetricsPage(parts.metrics, nowMs, new Pace(parts.turn, nowMs));
  const metrics: EndpointParts["metrics"] = (respond) => page.ask(respond);
  const endpoints = new Endpoints({ ...parts, memberId, metrics });
  const gateway = config.http.gateway ? new JsonGateway(parts) : undefined;
  const members = () => group.machine.members();
  const wallMs = (): number => clock.wallMs();
  // etcd's --log-level=debug brings the profiles, too.
  const isProfiled = config.http.pprof || (config.speaksEtcd && config.log.level === "debug");
  const front = new HttpFront({
    ...{ endpoints, gateway, clock },
    cors: config.http.cors,
    hostWhitelist: config.http.hostWhitelist,
    ownHosts: config.speaksEtcd ? undefined : ownHosts(config, hostname()),
    debug: new DebugPages({
      variables: () => variablesOf(group, identity),
      profiles: isProfiled ? new Profiles(wallMs, process.argv) : undefined,
    }),
    peerPages: new PeerPages({ endpoints, clusterId, members, authorize: peerTrust(config) }),
    isShared: config.listenPeer.length === 0,
    namesCount: () => config.clientTls?.clientCertRequired === true && group.machine.auth.enabled,
    usersCount: () => group.machine.auth.enabled,
    bodyBytesMax: jsonBytesMax(parts.receiveBytesMax),
  });
  const tick = (atMs: number): void => {
    gateway?.tick(atMs);
    page.tick();
  };
  return { front, endpoints, held: gateway?.held, tick };
}

/** What /debug/vars shows: etcd's names where the thing is the same. */
function variablesOf(group: Group, { memberId }: Identity): Record<string, string> {
  const { rss, heapTotal, heapUsed, external } = process.memoryUsage();
  const memory = { Alloc: heapUsed, Sys: rss, HeapAlloc: heapUsed, HeapSys: heapTotal, external };
  const progress = Object.fromEntries(
    group.progress().map(({ id, match }) => [id.toString(16), { match }]),
  );
  const raft = {
    id: memberId.toString(16),
    term: group.term,
    commit: group.committedIndex,
    lead: group.leader.toString(16),
    raftState: group.isLeader ? "StateLeader" : "StateFollower",
    applied: group.appliedIndex,
    progress,
  };
  return {
    cmdline: JSON.stringify(process.argv),
    memstats: JSON.stringify(memory),
    "raft.status": JSON.stringify(raft),
    uptime_seconds: String(Math.floor(process.uptime())),
  };
}
