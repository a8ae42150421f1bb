/**
 * The limits of HTTP/2 and of memory that callers met, over all addresses: an operator sees an
 * attack, or a client that needs more than it gets.
 */
import type { Metrics } from "../../observe/metrics.ts";
import type { Http2Counts } from "../../wire/http2/counts.ts";
import type { Answering } from "../doors.ts";

const LIMITS: Readonly<Record<keyof Http2Counts, string>> = {
  floods: "flood",
  breaches: "protocol",
  timeouts: "timeout",
  refusedStreams: "streams",
};

export function registerLimits(metrics: Metrics, answering: Answering): void {
  const { clients, clientsHttp, peers, observers } = answering;
  const servers = [clients, clientsHttp, peers, observers];
  const help = "Times that callers over HTTP/2 met a limit: connections ended, streams refused.";
  metrics.readMany("counter", "aether_http2_limits_met_total", help, () =>
    Object.entries(LIMITS).map(([name, limit]) => {
      const key = name as keyof Http2Counts;
      return [{ limit }, servers.reduce((sum, { counts }) => sum + counts[key], 0)] as const;
    }),
  );
  const { memory } = clients; // all of them share it
  metrics.read("gauge", "aether_connection_memory_bytes", "Held for callers.", () => {
    return memory.usedBytes;
  });
  metrics.readMany(
    "counter",
    "aether_connection_memory_limits_met_total",
    "Calls refused and connections ended because all of them held too much.",
    () => [
      [{ limit: "call" }, memory.refusedCalls],
      [{ limit: "connection" }, memory.endedConnections],
    ],
  );
}
