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

/** Serves `methods` (Peers.methods); `mapError`, `http` and `memory` as in GrpcServerOptions. */
export function peerServer(
  methods: readonly Method[],
  mapError: (error: unknown) => Failure,
  http?: HttpService,
  memory?: MemoryBudget,
): GrpcServer {
  const shared = memory === undefined ? {} : { memory };
  return new GrpcServer({ methods, mapError, http, limits: PEER_LIMITS, ...shared });
}
