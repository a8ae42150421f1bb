/**
 * Every bound of an HTTP/2 connection, with its reason. The rule at a bound stands beside it: none
 * of them is met by growing. Those that a role or a test varies are in Http2Limits; the others are
 * constants because no honest peer comes near them.
 */
import { KIB, MIB } from "../../base/units.ts";
import { FRAME_BYTES_DEFAULT } from "./protocol.ts";

/** Bounds that differ between the server role, the client role and tests. */
export interface Http2Limits {
  /** SETTINGS_MAX_CONCURRENT_STREAMS. One stream more is refused (REFUSED_STREAM, retryable). */
  readonly concurrentStreamsMax: number;
  /** Receive window of a stream, at least the default 65,535 (a smaller one races the peer). More
   * only for callers that a handler knows (CallRoom). */
  readonly streamWindowBytes: number;
  /** Receive window of the connection. */
  readonly connectionWindowBytes: number;
  /** SETTINGS_MAX_FRAME_SIZE; also bounds the carry buffer of an incomplete frame. */
  readonly frameBytesMax: number;
  /** Extra stream windows given at one time to messages larger than a stream window. */
  readonly grantBytesMax: number;
  /** Pings of a client with calls under way may be as close as this; PING_INTERVAL_MIN_MS. */
  readonly pingIntervalMinMs?: number;
}

/**
 * The server's. A client must not make us hold much:
 * - 10,000 streams: etcd sets no bound, and a client that keeps a stream a watch must still be able
 *   to put. Idle ones cost 43 MB; what they hold is bounded for all connections together
 *   (memory.ts). Counted until the handler has ended (rapid reset, CVE-2023-44487).
 * - Stream window 64 KiB, the default: a message held while incomplete costs at most this without a
 *   grant. A put of 256 B to 60 KiB never waits for us.
 *   A larger message gets all it lacks in one grant, at the price of one round trip; grants
 *   outstanding stop at 16 MiB, ten messages of the largest size, and the next waits its turn.
 * - Connection window 16 MiB: it is returned as bytes arrive, so it bounds only what is in flight;
 *   16 MiB is 10 Gbit/s at 13 ms.
 * - Frames of 16 KiB: the carry buffer of 10,000 connections stays within 160 MiB.
 */
export const SERVER_LIMITS: Http2Limits = {
  concurrentStreamsMax: 10_000,
  streamWindowBytes: 65_535,
  connectionWindowBytes: 16 * MIB,
  frameBytesMax: FRAME_BYTES_DEFAULT,
  grantBytesMax: 16 * MIB,
};

/**
 * The client's. It asked for what it gets, so windows are generous: a stream of 4 MiB carries a
 * snapshot over 50 ms at 80 MB/s, and large ranges arrive without grants. It takes no pushed
 * streams, so its count bounds nothing.
 */
export const CLIENT_LIMITS: Http2Limits = {
  concurrentStreamsMax: 1000,
  streamWindowBytes: 4 * MIB,
  connectionWindowBytes: 16 * MIB,
  frameBytesMax: FRAME_BYTES_DEFAULT,
  grantBytesMax: 256 * MIB,
};

/** Bytes of one header block, HEADERS and CONTINUATION together: checked while it arrives, before
 * any decoding (CVE-2024-27316 family). etcd's requests have 100 to 600 bytes, tokens included. */
export const HEADER_BLOCK_BYTES_MAX = 16 * KIB;

/** CONTINUATION frames of one block. 16 KiB fit one HEADERS frame, so honest peers send none. */
export const CONTINUATION_COUNT_MAX = 8;

/** Our SETTINGS_MAX_HEADER_LIST_SIZE: the decoded list, 32 bytes added per field (§6.5.2). */
export const HEADER_LIST_BYTES_MAX = 16 * KIB;

/** Our SETTINGS_HEADER_TABLE_SIZE: the default, which saves the round trip of changing it. */
export const HEADER_TABLE_BYTES = 4096;

/**
 * Resets: RST_STREAM from the peer for a call that had just begun, and those that the peer made us
 * send (CVE-2023-44487, CVE-2025-8671). The burst is that of nghttp2: a client that gives up what
 * it has just asked stays within it; 100 a second is beyond any honest habit.
 * Over it: GOAWAY ENHANCE_YOUR_CALM.
 */
export const RESET_BURST = 1000;
export const RESETS_PER_SECOND = 100;

/**
 * A call that ran for so long is given up for a reason: its deadline, a client that ends, or a
 * proxy whose clients went, and then thousands may go at once. Its reset is a control frame like
 * others: within concurrentStreamsMax, who waits so long begins no more calls than anybody.
 */
export const RESET_EARLY_MS = 1000;

/**
 * Control frames: SETTINGS, PING, PRIORITY, WINDOW_UPDATE, empty DATA, RST_STREAM of closed
 * streams, unknown types. Each costs one; requests and DATA that we send earn some back, because
 * honest WINDOW_UPDATEs come in proportion to these. Over it: GOAWAY ENHANCE_YOUR_CALM. The burst
 * costs about a millisecond of our time.
 */
export const CONTROL_BURST = 10_000;
export const CONTROLS_PER_SECOND = 1000;
/** A change of the initial window touches each open stream (§6.9.2): so many cost one. */
export const STREAMS_PER_CONTROL = 20;
/** Entries of the header table make strings of that size, and push out what was there. Clients put
 * fields there to name them again: some hundred bytes by their first request, then next to none.
 * Who replaces the whole table with each request pays more than it and a small answer earn. */
export const TABLE_BYTES_PER_CONTROL = 512;
/** A client may answer each DATA frame with an update for the stream and one for the connection. */
export const CONTROLS_EARNED_PER_FRAME = 2;

/** SETTINGS and PING acks not yet taken by the socket: a peer that asks but does not read. */
export const ACK_QUEUE_MAX = 64;

/**
 * Output over which we stop reading from the peer (`paused`), send no DATA, and report streams as
 * not writable: one connection costs at most this and its bounded control frames.
 */
export const OUTPUT_BYTES_MAX = 8 * MIB;

/** Queued DATA moves to the output up to this, so that a small answer waits behind little. */
export const OUTPUT_BULK_BYTES = MIB;

/** A stream is not writable over this, and writable again at half of it. Ten frames or so: enough
 * to keep the socket busy while the producer is told. */
export const STREAM_QUEUE_BYTES = 256 * KIB;

/**
 * DATA of all streams which waits for the peer's windows. Over it new requests are answered
 * RESOURCE_EXHAUSTED: pausing would not help, since it is the peer's WINDOW_UPDATE that we need.
 */
export const QUEUED_BYTES_MAX = 64 * MIB;

/** Streams that we reset lately: frames for them were sent before the peer knew (§5.1). Twice the
 * streams that a peer can have open, and at most twice that (recent-ids.ts). */
export const RESET_MEMORY_COUNT = 20_000;

/** What an open stream takes, by estimate (memory.ts): its call, its handler, its part of tables,
 * and a header list that others have as well.
 * A hundred thousand watch streams, opened and left alone, measured 4.3 KB each. */
export const STREAM_BYTES = 4 * KIB;
/** What an id of RESET_MEMORY_COUNT takes, in a Set. */
export const RESET_ID_BYTES = 32;

/** Time to send the preface and SETTINGS, and to end a header block once begun (slowloris). */
export const PREFACE_TIMEOUT_MS = 5000;
export const HEADER_TIMEOUT_MS = 5000;

/** Time for one more byte of an incomplete frame or request message. */
export const BODY_TIMEOUT_MS = 30_000;

/** Time in which a peer must take at least one byte of our output. */
export const STALL_TIMEOUT_MS = 60_000;

/** Time for the ping of the two-step GOAWAY, in case the peer never answers. */
export const DRAIN_PING_MS = 1000;

/** etcd's server keepalive: ping after two hours of silence, give up 20 s later. */
export const KEEPALIVE_IDLE_MS = 7_200_000;
export const KEEPALIVE_TIMEOUT_MS = 20_000;

/** etcd's enforcement (MinTime, PermitWithoutStream false): pings of a client closer together than
 * this are strikes; without streams every ping within two hours is one. As grpc-go: over 2, out. */
export const PING_INTERVAL_MIN_MS = 5000;
export const PING_IDLE_INTERVAL_MIN_MS = 7_200_000;
export const PING_STRIKES_MAX = 2;
