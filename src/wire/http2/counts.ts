/**
 * How often the limits of HTTP/2 were met, over all connections of a server, and by whom last: for
 * metrics and the log.
 */
export type Http2Limit = "floods" | "breaches" | "timeouts" | "refusedStreams";

export class Http2Counts implements Readonly<Record<Http2Limit, number>> {
  /** Connections ended with ENHANCE_YOUR_CALM: too much of anything. */
  floods = 0;
  /** Connections ended with another error: the peer broke the protocol. */
  breaches = 0;
  /** Connections ended because the peer did not do something in time. */
  timeouts = 0;
  /** Streams over the count that were refused. */
  refusedStreams = 0;
  /** Who met each of them last, as net/ names a peer; "": nobody. */
  readonly offenders: Record<Http2Limit, string> = {
    ...{ floods: "", breaches: "", timeouts: "", refusedStreams: "" },
  };

  met(limit: Http2Limit, peer: string, times = 1): void {
    this[limit] += times;
    this.offenders[limit] = peer;
  }
}
