/**
 * What the engine keeps for one stream. The class that holds it belongs to the role (a server's
 * call, a client's call): one object per request, not two. The engine alone writes these fields,
 * except `held` and `needed`, by which the role says what it keeps of incomplete messages.
 *
 * The states of RFC 9113 §5.1 are bits: open = neither end has ended; half-closed (remote) =
 * REMOTE_ENDED; half-closed (local) = LOCAL_ENDED; closed = CLOSED, and then not in the table.
 */
import { assert } from "../../base/assert.ts";
import type { OutputBuffer } from "../connection.ts";
import type { Fields } from "./header-writer.ts";
import { INT31_MAX } from "./protocol.ts";

export interface Http2Stream {
  /** 0 while a client's call waits for a free stream. */
  id: number;
  /** Bits of StreamState. */
  state: number;
  /** When it was opened, on the clock of the connection. */
  startedMs: number;
  /** What the header list that began it takes, unless it is shared with other streams. */
  headBytes: number;
  /** DATA bytes that the peer lets us send; below 0 after it lowered its window (§6.9.2). */
  sendWindow: number;
  /** DATA bytes that the peer may still send. */
  recvWindow: number;
  /** What recvWindow is filled up to while no incomplete message is held. */
  usualWindow: number;
  /** DATA bytes received, without padding. */
  received: number;
  /** The peer's content-length, or -1 (§8.1.1). */
  expected: number;
  /** Received bytes of an incomplete message, which the role keeps. */
  held: number;
  /** Bytes that the message in progress lacks. */
  needed: number;
  /** Window given beyond the usual for the message in progress. */
  granted: number;
  /** DATA which waits for windows or the socket. */
  queue: OutputBuffer | undefined;
  /** Fields to be sent after the queue, with END_STREAM. */
  trailers: Fields | undefined;
}

export const StreamState = {
  /** The peer's END_STREAM has come. */
  REMOTE_ENDED: 1,
  /** Our END_STREAM has been written. */
  LOCAL_ENDED: 2,
  /** Not in the table any more. */
  CLOSED: 4,
  /** In the sender's list of streams that have something to send and window for it. */
  READY: 8,
  /** END_STREAM follows the queue. */
  END_QUEUED: 16,
  /** Was over its queue bound: onDrain is owed. */
  DRAIN_OWED: 32,
  /** In the list of those who wait for a grant. */
  GRANT_WAITS: 64,
  /** Client: the response's header fields have come; what follows are trailers. */
  HEAD_SEEN: 128,
  /** Once we have ended, the peer need not: RST_STREAM NO_ERROR (§8.1). */
  CLOSE_AFTER: 256,
  /** The reader is behind: no window is returned. */
  READ_PAUSED: 512,
} as const;

/** Asserts what must hold for every open stream. */
export function verifyStream(stream: Http2Stream): void {
  assert(stream.id > 0 && stream.id <= INT31_MAX, "a stream in the table has no id");
  assert((stream.state & StreamState.CLOSED) === 0, "a closed stream is in the table");
  assert(stream.sendWindow <= INT31_MAX, "send window above 2^31-1");
  assert(stream.recvWindow >= 0, "the peer sent more than the stream's window");
  assert(stream.held >= 0 && stream.needed >= 0 && stream.granted >= 0, "negative byte count");
  const both = StreamState.REMOTE_ENDED | StreamState.LOCAL_ENDED;
  assert((stream.state & both) !== both, "a stream ended on both sides is in the table");
}
