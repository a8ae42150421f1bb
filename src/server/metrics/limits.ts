/**
 * The limits of HTTP/2 and of memory that callers met, over all addresses: an operator sees an
 * attack, or a client that needs more than it gets.
 */
import type { InputShare } from "../../net/input-share.ts";
import type { Metrics } from "../../observe/metrics.ts";
import type { HeldRequests } from "../../rpc/held-requests.ts";
import type { LargeReads } from "../../rpc/large-reads.ts";
import type { Overload } from "../../rpc/overload.ts";
import type { Passwords } from "../../rpc/passwords.ts";
import type { WaitingCalls } from "../../rpc/waiting-calls.ts";
import type { Http2Limit } from "../../wire/http2/counts.ts";
import type { Answering } from "../doors.ts";
import type { HttpFront } from "../http/front.ts";

const LIMITS: Readonly<Record<Http2Limit, string>> = {
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
      const key = name as Http2Limit;
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

export interface OverloadParts {
  readonly overload: Overload;
  readonly largeReads: LargeReads;
  readonly heldRequests: HeldRequests;
  readonly share: InputShare;
  readonly front: HttpFront;
  /** What waits to become JSON; undefined: nothing ever does. */
  readonly held: LargeReads | undefined;
  readonly passwords: Passwords;
  readonly waiting: WaitingCalls;
}

/** What was refused or had to wait because there was more of it than could be done. */
export function registerOverload(metrics: Metrics, parts: OverloadParts): void {
  const { overload, largeReads, heldRequests, share, front, held, passwords, waiting } = parts;
  const counter = (name: string, help: string, value: () => number): void =>
    metrics.read("counter", name, help, value);
  counter("aether_overload_refused_total", "Calls refused: too many waited already.", () => {
    return overload.refusedCount;
  });
  counter("aether_large_reads_refused_total", "Large reads refused: others held too much.", () => {
    return largeReads.refusedCount;
  });
  counter("aether_large_reads_cut_total", "Large answers cut that nobody read.", () => {
    return largeReads.cutCount;
  });
  counter("aether_json_answers_refused_total", "Answers refused: others waited to be JSON.", () => {
    return held?.refusedCount ?? 0;
  });
  counter("aether_json_answers_cut_total", "Answers as JSON cut that nobody read.", () => {
    return held?.cutCount ?? 0;
  });
  metrics.read("gauge", "aether_json_answers_bytes", "Answers that wait to be JSON.", () => {
    return held?.heldBytes ?? 0;
  });
  counter("aether_held_requests_refused_total", "Calls refused: too much waits for tokens.", () => {
    return heldRequests.refusedCount;
  });
  counter("aether_waiting_calls_refused_total", "Locks and elections refused: too many.", () => {
    return waiting.refusedCount;
  });
  counter("aether_logins_refused_total", "Logins refused: too many waited already.", () => {
    return passwords.load.refusedCount;
  });
  counter("aether_login_penalties_total", "Failed logins that made somebody wait.", () => {
    return passwords.load.penaltyCount;
  });
  metrics.read("gauge", "aether_logins_waiting", "Passwords that wait to be checked.", () => {
    return passwords.load.waitingCount;
  });
  metrics.read("gauge", "aether_large_reads_bytes", "Held for readers of large ranges.", () => {
    return largeReads.heldBytes;
  });
  counter("aether_input_held_total", "Times that much input waited for its turn.", () => {
    return share.counts.heldCount;
  });
  counter("aether_input_overflow_total", "Times that no more input could be held.", () => {
    return share.counts.overflowCount;
  });
  counter(
    "aether_http_strangers_refused_total",
    "HTTP requests under a foreign name, or of a page of another origin.",
    () => front.refusedCount,
  );
}
