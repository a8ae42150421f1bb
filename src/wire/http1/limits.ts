/** The bounds of one HTTP/1.1 connection, each with what happens at it. */
import { KIB, MIB } from "../../base/units.ts";

export interface HttpLimits {
  /** Request line, without CRLF: then 414. */
  readonly lineBytesMax: number;
  /** All field lines of a head with their CRLFs, and again all trailers: then 431. */
  readonly fieldBytesMax: number;
  /** Fields of a head, and again trailers: then 431. */
  readonly fieldCountMax: number;
  /** A body, whether its length was told or came in chunks: then 413. */
  readonly bodyBytesMax: number;
  /** From the first byte of a request, or the start of the connection, to the end of its head. */
  readonly headMsMax: number;
  /** From the end of the head to the end of the body. */
  readonly bodyMsMax: number;
  /** Between two requests. The connection is then closed without a word. */
  readonly idleMsMax: number;
  /** Output waits and the peer takes none of it: the connection is dropped. */
  readonly stallMsMax: number;
}

/**
 * The usual limits. A body may be as large as a gRPC request of ours (1.5 MiB and overhead). Idle
 * is longer than the 90 s after which Go's client gives up its own idle connections, so that the
 * client closes first and no request crosses our close on the way.
 */
export const HTTP_LIMITS: HttpLimits = {
  lineBytesMax: 8 * KIB,
  fieldBytesMax: 16 * KIB,
  fieldCountMax: 100,
  bodyBytesMax: 2 * MIB,
  headMsMax: 5_000,
  bodyMsMax: 30_000,
  idleMsMax: 120_000,
  stallMsMax: 30_000,
};

/** A line with the size of a chunk and its extensions; sizes have eight digits. */
export const CHUNK_LINE_BYTES_MAX = 256;

/**
 * Chunk extensions of a whole body, which we read and drop: without a bound, chunks of one byte
 * with long extensions make us read a hundred times what the body's own bound says.
 */
export const CHUNK_EXTENSION_BYTES_MAX = 16 * KIB;

/** Pipelined requests that wait behind the one in hand: above this we ask net/ to stop reading. */
export const INPUT_PAUSE_BYTES = 64 * KIB;

/** What net/ may hand over after that; more drops the connection. It reads 512 KiB at a time. */
export const INPUT_BYTES_MAX = 4 * MIB;

/** Output above this makes a response not writable, and starts no further pipelined request. */
export const OUTPUT_HIGH_BYTES = 256 * KIB;
