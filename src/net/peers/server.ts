/**
 * The gRPC server of the peer listener. It is not that of clients: frames are larger than any
 * request, windows are wide because members are trusted once they were let in, and a client that
 * finds this port learns nothing from it.
 */
import { MIB } from "../../base/units.ts";
import { GrpcServer } from "../../wire/grpc/grpc-server.ts";
import type { Failure, Method } from "../../wire/grpc/server-call.ts";
import type { Http2Limits } from "../../wire/http2/limits.ts";
import { FRAME_BYTES_DEFAULT } from "../../wire/http2/protocol.ts";
import { FRAME_BYTES_MAX } from "./frame.ts";

/**
 * A cluster of nine has 16 lanes here and a few calls. A stream's window of 4 MiB is filled by four
 * appends on their way, at 1 Gbit/s and 30 ms; one whole frame may be granted on top of it.
 */
export const PEER_LIMITS: Http2Limits = {
  concurrentStreamsMax: 100,
  streamWindowBytes: 4 * MIB,
  connectionWindowBytes: 16 * MIB,
  frameBytesMax: FRAME_BYTES_DEFAULT,
  grantBytesMax: FRAME_BYTES_MAX,
};

/** Serves `methods` (Peers.methods); `mapError` as in GrpcServerOptions. */
export function peerServer(
  methods: readonly Method[],
  mapError: (error: unknown) => Failure,
): GrpcServer {
  return new GrpcServer({
    methods,
    mapError,
    receiveBytesMax: FRAME_BYTES_MAX,
    limits: PEER_LIMITS,
  });
}
