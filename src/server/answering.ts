/** The gRPC servers behind a node's addresses, with the limits that its configuration sets. */
import { peerServer } from "../net/peers/server.ts";
import { GrpcServer, type GrpcServerOptions } from "../wire/grpc/grpc-server.ts";
import type { Method } from "../wire/grpc/server-call.ts";
import { type Http2Limits, SERVER_LIMITS } from "../wire/http2/limits.ts";
import { MEMORY_BYTES_MAX, MemoryBudget } from "../wire/memory.ts";
import { collectorOf } from "./collector.ts";
import type { Config } from "./config/config.ts";
import type { Answering } from "./doors.ts";
import type { HttpSide } from "./http/compose.ts";
import { clock } from "./world.ts";

export interface AnsweringParts extends Pick<GrpcServerOptions, "mapError" | "meter"> {
  readonly config: Config;
  /** What clients may call. */
  readonly methods: readonly Method[];
  /** What members may call; also at the clients' addresses where members have none. */
  readonly peerMethods: readonly Method[];
  readonly front: HttpSide["front"];
  /** Of a message of a client. */
  readonly receiveBytesMax: number;
  /** Keys in memory, dead ones included. */
  readonly keys: () => number;
}

export function answeringOf(parts: AnsweringParts): Answering {
  const { config, methods, peerMethods, mapError, meter, front, receiveBytesMax } = parts;
  const isShared = config.listenPeer.length === 0;
  const isSplit = config.listenClientHttp.length > 0;
  const limits = limitsOf(config);
  const { keepalive } = config;
  const memory = new MemoryBudget(
    MEMORY_BYTES_MAX,
    collectorOf({
      keys: parts.keys,
      run: () => Bun.gc(true),
      nowMs: clock.monotonicMs,
    }),
  );
  const shared = { mapError, limits, keepalive, memory };
  const clients = new GrpcServer({
    ...{ ...shared, receiveBytesMax },
    ...(meter === undefined ? {} : { meter }),
    methods: isShared ? [...methods, ...peerMethods] : methods,
    http: isSplit ? undefined : front.clients,
  });
  return {
    clients,
    clientsHttp: new GrpcServer({ ...shared, methods: [], http: front.clients }),
    peers: peerServer(peerMethods, mapError, front.peers, memory),
    observers: new GrpcServer({ ...shared, methods: [], http: front.observers }),
  };
}

function limitsOf({ concurrentStreamsMax, keepalive }: Config): Http2Limits {
  return {
    ...SERVER_LIMITS,
    ...(concurrentStreamsMax === undefined ? {} : { concurrentStreamsMax }),
    pingIntervalMinMs: keepalive.pingIntervalMinMs,
  };
}
