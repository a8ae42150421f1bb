/**
 * The gRPC server of a separate peer listener. Peers.methods work on the clients' server as well:
 * what a member may send beyond a client's bounds is given to its streams when they are admitted
 * (FRAME_ROOM, SNAPSHOT_ROOM), so a stranger has no more of it here than there. A client that finds
 * this port learns nothing from it.
 */
import { GrpcServer, type HttpService } from "../../wire/grpc/grpc-server.ts";
import type { Failure, Method } from "../../wire/grpc/server-call.ts";
import { type Http2Limits, SERVER_LIMITS } from "../../wire/http2/limits.ts";
import type { MemoryBudget } from "../../wire/memory.ts";

/** A cluster of nine has 16 lanes here and a few calls. */
const PEER_LIMITS: Http2Limits = { ...SERVER_LIMITS, concurrentStreamsMax: 100 };

/**
 * Of one peer listener, and of one address there. Eight other members have two lanes each, a
 * snapshot and a question between them: 32, also when all of them live on this machine. A stranger
 * finds no more room than he can take from nobody.
 */
export const PEER_CONNECTIONS_MAX = 1000;
export const PEER_CONNECTIONS_PER_SOURCE_MAX = 100;

/**
 * A connection without a call is ended after this: a member's is its lane, open as long as both
 * live, and a stranger is refused at once.
 */
export const QUIET_MS_MAX = 10_000;

/** Serves `methods` (Peers.methods); `mapError`, `http` and `memory` as in GrpcServerOptions. */
export function peerServer(
  methods: readonly Method[],
  mapError: (error: unknown) => Failure,
  http?: HttpService,
  memory?: MemoryBudget,
): GrpcServer {
  const shared = memory === undefined ? {} : { memory };
  return new GrpcServer({
    methods,
    mapError,
    http,
    limits: PEER_LIMITS,
    quietMsMax: QUIET_MS_MAX,
    ...shared,
  });
}
