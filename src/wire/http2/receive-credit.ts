/**
 * The windows that we give (RFC 9113 §5.2, §6.9). The connection's window is returned as bytes
 * arrive, so that one slow message never stops the other streams. A stream's window covers what
 * its role still holds of an incomplete message: held + recvWindow <= usualWindow + granted.
 *
 * A message larger than the window cannot complete within it, so it gets a grant: all that it
 * lacks in one WINDOW_UPDATE. Grants outstanding are bounded, and wait in the order of asking;
 * each is for a whole message, so the one who has it can always finish: no deadlock. What
 * incomplete messages cost a connection is at most streams × streamWindowBytes + grantBytesMax, and
 * what widen() gave to callers that are known.
 */
import { assert } from "../../base/assert.ts";
import type { OutputBuffer } from "../connection.ts";
import { ConnectionError } from "./errors.ts";
import { writeWindowUpdate } from "./frames.ts";
import type { Http2Limits } from "./limits.ts";
import { Http2Code, INT31_MAX } from "./protocol.ts";
import { type Http2Stream, StreamState } from "./stream.ts";

export class ReceiveCredit<S extends Http2Stream> {
  readonly #output: OutputBuffer;
  readonly #limits: Http2Limits;
  readonly #waiting: S[] = [];
  #window: number;
  #granted = 0;

  constructor(output: OutputBuffer, limits: Http2Limits) {
    this.#output = output;
    this.#limits = limits;
    this.#window = limits.connectionWindowBytes;
  }

  /** A DATA frame with `size` payload bytes, padding included, whatever its stream (§6.9.1). */
  takeFrame(size: number): void {
    if (size > this.#window) {
      throw new ConnectionError(Http2Code.FLOW_CONTROL_ERROR, "connection window exceeded");
    }
    this.#window -= size;
    const used = this.#limits.connectionWindowBytes - this.#window;
    if (used * 2 < this.#limits.connectionWindowBytes) return;
    this.#window += used;
    writeWindowUpdate(this.#output, 0, used);
  }

  /** The same frame, for the window of its open stream. */
  takeStream(stream: S, size: number): void {
    if (size > stream.recvWindow) {
      const reason = `window of stream ${stream.id} exceeded`;
      throw new ConnectionError(Http2Code.FLOW_CONTROL_ERROR, reason);
    }
    stream.recvWindow -= size;
  }

  /** The window of a stream from now on, if that is more than it had. */
  widen(stream: S, windowBytes: number): void {
    assert(windowBytes <= INT31_MAX, "no window is larger");
    const more = windowBytes - stream.usualWindow;
    if (more <= 0 || (stream.state & (StreamState.REMOTE_ENDED | StreamState.CLOSED)) !== 0) return;
    stream.usualWindow = windowBytes;
    this.#give(stream, more);
  }

  /** The role has taken a frame: returns window, gives back or asks for a grant. */
  settle(stream: S): void {
    if ((stream.state & (StreamState.REMOTE_ENDED | StreamState.CLOSED)) !== 0) return;
    const usual = stream.usualWindow;
    const due = usual - stream.held - stream.recvWindow;
    this.#shrinkGrant(stream, Math.max(0, -due));
    if (due * 2 >= usual) this.#give(stream, due);
    if (stream.needed > stream.recvWindow) this.#ask(stream);
  }

  /** The stream receives no more: its grant goes to those who wait. */
  release(stream: S): void {
    if (stream.granted > 0) this.#shrinkGrant(stream, 0);
  }

  verify(streams: readonly S[]): void {
    const { connectionWindowBytes } = this.#limits;
    assert(this.#window >= 0 && this.#window <= connectionWindowBytes, "bad connection window");
    let granted = 0;
    for (const stream of streams) {
      granted += stream.granted;
      if ((stream.state & StreamState.REMOTE_ENDED) !== 0) continue;
      const covered = stream.held + stream.recvWindow;
      assert(covered <= stream.usualWindow + stream.granted, "a stream holds more than its window");
    }
    assert(granted === this.#granted, "grants do not add up");
  }

  #give(stream: S, bytes: number): void {
    stream.recvWindow += bytes;
    writeWindowUpdate(this.#output, stream.id, bytes);
  }

  #ask(stream: S): void {
    if ((stream.state & StreamState.GRANT_WAITS) !== 0) return;
    if (this.#waiting.length === 0 && this.#grant(stream)) return;
    stream.state |= StreamState.GRANT_WAITS;
    this.#waiting.push(stream);
  }

  /** Gives the stream all that its message lacks; false if that is too much now. */
  #grant(stream: S): boolean {
    const bytes = stream.needed - stream.recvWindow;
    if (this.#granted > 0 && this.#granted + bytes > this.#limits.grantBytesMax) return false;
    const over = stream.held + stream.needed - stream.usualWindow;
    const granted = Math.max(0, over);
    this.#granted += granted - stream.granted;
    stream.granted = granted;
    this.#give(stream, bytes);
    return true;
  }

  #shrinkGrant(stream: S, granted: number): void {
    if (granted >= stream.granted) return;
    this.#granted -= stream.granted - granted;
    stream.granted = granted;
    const waiting = this.#waiting;
    while (waiting.length > 0) {
      const next = waiting[0] as S;
      const over = (next.state & (StreamState.REMOTE_ENDED | StreamState.CLOSED)) !== 0;
      if (!over && next.needed > next.recvWindow && !this.#grant(next)) return;
      next.state &= ~StreamState.GRANT_WAITS;
      waiting.shift();
    }
  }
}
