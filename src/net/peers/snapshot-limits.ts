/** The sizes that both ends of a snapshot's way agree on. */
import { KIB, MIB } from "../../base/units.ts";
import type { CallRoom } from "../../wire/grpc/server-call.ts";

/** One chunk: a quarter of a millisecond of hashing, 16 frames of HTTP/2. */
export const CHUNK_BYTES = 256 * KIB;

/** No chunk is larger, whoever sends it. */
export const CHUNK_BYTES_MAX = 1 * MIB;

/**
 * Chunks on their way and not yet written by the receiver: 2 MiB, 64 MiB/s at 31 ms. It is also
 * what a receiver with a slow disk holds in memory.
 */
export const CHUNKS_WAITING_MAX = 8;

/** What a member may send on a snapshot's stream: a chunk, and as many as may wait. */
export const SNAPSHOT_ROOM: CallRoom = {
  receiveBytesMax: CHUNK_BYTES_MAX + 4 * KIB,
  windowBytes: 2 * CHUNKS_WAITING_MAX * CHUNK_BYTES,
};

/** Bytes a second that a member sends, all its snapshots together: half of 1 Gbit/s, and what a
 * receiver's disk takes beside its log. */
export const SNAPSHOT_BYTES_PER_SECOND = 64 * MIB;

/** Without any progress for this long an attempt is given up; a disk may be slow, not dead. */
export const STALL_MS_MAX = 60_000;

/** Attempts in a row without one more byte; then Raft is told, and begins anew when it likes. */
export const FRUITLESS_ATTEMPTS_MAX = 5;
