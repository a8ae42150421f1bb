/** What the HTTP/2 engine needs of the role above it: a gRPC server or a gRPC client. */
import type { Http2Stream } from "./stream.ts";

/** The meaning of a field list; shared by all streams whose header block was the same. */
export interface Http2Head {
  /** As readContentLength says; -1 if there is none. */
  readonly contentLength: number;
}

/** Every call comes from within a call of the engine; ranges of bytes are borrowed. */
export interface Http2Role<S extends Http2Stream, H extends Http2Head> {
  /**
   * The meaning of a request (server), or of a response or its trailers (client); undefined if the
   * list is malformed (RFC 9113 §8.1.1). Must depend on nothing else: results are cached.
   */
  readHead(fields: readonly string[]): H | undefined;
  /** Server: makes the stream of a new request. The engine fills in its windows. */
  open(id: number, head: H): S;
  /** Server: the request has begun. Client: response or trailers. `ended`: END_STREAM. */
  onHead(stream: S, head: H, ended: boolean): void;
  /** DATA without padding. `ended`: nothing follows. Sets `held` and `needed` of the stream. */
  onData(stream: S, bytes: Buffer, start: number, end: number, ended: boolean): void;
  /** Server: trailers ended the request. */
  onRemoteEnd(stream: S): void;
  /** The stream is over before its time, by the peer or by its fault; it is closed already. */
  onReset(stream: S, code: number): void;
  /** The stream's queue is below half its bound again. */
  onDrain(stream: S): void;
  /** The stream has left the table, for whatever reason. */
  onClosed(stream: S): void;
  /** The peer's settings have come or changed. */
  onSettings(): void;
  /** The peer takes no streams above `lastId`. */
  onGoaway(lastId: number, code: number, debug: string): void;
}
