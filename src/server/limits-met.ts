/**
 * The limits that an operator is told of in the log when callers meet them, with what to do then.
 * The same counts are in /metrics (metrics/limits.ts, metrics/doors.ts). Not here, since they have
 * lines of their own: handshakes (net/tls-gate.ts), members (net/peers/refusal-log.ts), wrong
 * passwords (rpc/login-failures.ts), slow requests. Nor is what does no harm: a client that must
 * wait for its turn, or a transaction that is told that it asks for too much.
 */
import type { Log } from "../base/ports.ts";
import type { Metrics } from "../observe/metrics.ts";
import type { Http2Limit } from "../wire/http2/counts.ts";
import type { Answering, Doors } from "./doors.ts";
import { type CountedLimit, LimitLog } from "./limit-log.ts";
import { registerDoors } from "./metrics/doors.ts";
import { type OverloadParts, registerLimits, registerOverload } from "./metrics/limits.ts";

export interface LimitedParts extends OverloadParts {
  readonly doors: Doors;
  readonly answering: Answering;
}

/** Everybody who counts what callers met: to the metrics, and to the log that is returned. */
export function watchLimits(metrics: Metrics, log: Log, parts: LimitedParts): LimitLog {
  registerLimits(metrics, parts.answering);
  registerDoors(metrics, parts.doors);
  registerOverload(metrics, parts);
  return new LimitLog(log, limitsMet(parts));
}

function limitsMet(parts: LimitedParts): CountedLimit[] {
  const { doors, answering } = parts;
  return [
    ...connectionLimits(doors),
    ...http2Limits(answering),
    ...memoryLimits(answering),
    ...callLimits(parts),
    ...answerLimits(parts),
    ...inputLimits(parts),
  ];
}

const ROOM = {
  clients:
    "connections were refused, or ended for others where one address had over three quarters: " +
    "close idle ones, raise the limit of open files (ulimit -n), or spread clients over members",
  members: "connections were refused: members need few, so look at who calls at their address",
  observers: "connections were refused: look at who asks for metrics and health",
} as const;

function connectionLimits({ listeners }: Doors): CountedLimit[] {
  return Object.entries(ROOM).map(([kind, advice]) => {
    const own = listeners[kind as keyof typeof ROOM];
    return {
      ...{ limit: `connections of ${kind}`, advice },
      count: () => own.reduce((sum, { traffic }) => sum + traffic.refusedCount, 0),
      remote: () => own.findLast(({ traffic }) => traffic.refusedPeer)?.traffic.refusedPeer ?? "",
    };
  });
}

const HTTP2_ADVICE: Readonly<Record<Http2Limit, readonly [limit: string, advice: string]>> = {
  floods: [
    "HTTP/2 flood",
    "connections were ended: a client resets, pings or sends empty frames without end; it is " +
      "broken or hostile",
  ],
  breaches: [
    "HTTP/2 protocol",
    "connections were ended: a client, or a proxy before it, breaks the protocol",
  ],
  timeouts: [
    "HTTP/2 timeout",
    "connections were ended: a client sends half of something, or does not read its answers; " +
      "look at it and at the network",
  ],
  refusedStreams: [
    "streams of a connection",
    "calls were refused: raise --max-concurrent-streams, or let the client open more connections",
  ],
};

function http2Limits(answering: Answering): CountedLimit[] {
  const servers = [answering.clients, answering.clientsHttp, answering.peers, answering.observers];
  return Object.entries(HTTP2_ADVICE).map(([name, [limit, advice]]) => {
    const key = name as Http2Limit;
    return {
      ...{ limit, advice },
      count: () => servers.reduce((sum, { counts }) => sum + counts[key], 0),
      remote: () =>
        servers.findLast(({ counts }) => counts.offenders[key])?.counts.offenders[key] ?? "",
    };
  });
}

function memoryLimits({ clients: { memory } }: Answering): CountedLimit[] {
  const advice =
    "connections hold more than all may (aether_connection_memory_bytes): look for clients that " +
    "do not read their answers, or do not finish their requests";
  return [
    {
      ...{ limit: "memory: calls refused", advice },
      count: () => memory.refusedCalls,
      remote: () => memory.refusedPeer,
    },
    {
      ...{ limit: "memory: connections ended", advice },
      count: () => memory.endedConnections,
      remote: () => memory.endedPeer,
    },
  ];
}

function callLimits(parts: LimitedParts): CountedLimit[] {
  const { overload, waiting, heldRequests, passwords } = parts;
  return [
    {
      limit: "calls that wait",
      advice:
        "calls were refused with RESOURCE_EXHAUSTED: more come than are answered in 100 ms; look " +
        "at the disk (etcd_disk_wal_fsync_duration_seconds), the processor and the leader, and " +
        "let clients try again later",
      count: () => overload.refusedCount,
      remote: () => overload.refusedPeer,
    },
    {
      limit: "locks and elections",
      advice: "calls were refused: too many wait for a lock or a leader; look at who holds them",
      count: () => waiting.refusedCount,
      remote: () => waiting.refusedPeer,
    },
    {
      limit: "calls with unknown tokens",
      advice:
        "calls were refused: too many wait until this member knows their tokens; look at whether " +
        "it is behind the others, or who sends tokens that nobody was given",
      count: () => heldRequests.refusedCount,
    },
    {
      limit: "logins",
      advice:
        "logins were refused: too many passwords wait to be checked; let clients keep their " +
        "tokens, or look at who guesses",
      count: () => passwords.load.refusedCount,
      remote: () => passwords.load.refusedHost,
    },
  ];
}

function answerLimits({ largeReads, held }: LimitedParts): CountedLimit[] {
  return [
    {
      limit: "large reads",
      advice:
        "reads were refused or cut: others hold too much (aether_large_reads_bytes); let clients " +
        "read fewer keys at a time (limit), or by RangeStream, and take their answers",
      count: () => largeReads.refusedCount + largeReads.cutCount,
    },
    {
      limit: "large answers as JSON",
      advice:
        "answers were refused or cut: others hold too much (aether_json_answers_bytes); let " +
        "clients read fewer keys at a time (limit), or by gRPC, and take their answers",
      count: () => (held === undefined ? 0 : held.refusedCount + held.cutCount),
    },
  ];
}

function inputLimits({ share, front }: LimitedParts): CountedLimit[] {
  return [
    {
      limit: "input held",
      advice: "more comes at once than can be held, so that all wait: spread clients over members",
      count: () => share.counts.overflowCount,
    },
    {
      limit: "HTTP hosts and origins",
      advice:
        "requests were refused: under a name that is not this server's, or by a page of another " +
        "site; names and pages that are yours go into [http] allowed_hosts and cors",
      count: () => front.refusedCount,
      remote: () => front.refusedPeer,
    },
  ];
}
