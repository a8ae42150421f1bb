/** How often the limits of HTTP/2 were met, over all connections of a server; for metrics. */
export interface Http2Counts {
  /** Connections ended with ENHANCE_YOUR_CALM: too much of anything. */
  floods: number;
  /** Connections ended with another error: the peer broke the protocol. */
  breaches: number;
  /** Connections ended because the peer did not do something in time. */
  timeouts: number;
  /** Streams over the count that were refused. */
  refusedStreams: number;
}

export function noCounts(): Http2Counts {
  return { floods: 0, breaches: 0, timeouts: 0, refusedStreams: 0 };
}
