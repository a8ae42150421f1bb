/**
 * What a seed draws before anything happens: sizes, times, which faults there are and how often,
 * what the clients do. Swarm testing: a fault that never happens leaves room for the others to go
 * deep, so each is often absent. Small numbers are the point: small buffers reach their limits.
 */
import type { Prng } from "../../src/base/prng.ts";
import type { RaftConfig } from "../../src/raft/config.ts";
import type { WatchHubOptions } from "../../src/watch/hub.ts";
import { between, randomOf } from "./streams.ts";

export interface NetworkSettings {
  /** Mean delay of a message; few take ten times as long. */
  readonly delayMs: number;
  /** Of a thousand messages: lost, delivered twice. */
  readonly lost: number;
  readonly doubled: number;
  /** Messages of a link arrive in the order in which they left, as over one connection. */
  readonly ordered: boolean;
  /** Of a hundred losses, how many the sender is told of. */
  readonly noticedPercent: number;
  /** Messages travel as the bytes of the real codec. */
  readonly encoded: boolean;
}

export interface DiskSettings {
  /** Mean time of an fsync of the log, and of a transaction of the state. */
  readonly logMs: number;
  readonly stateMs: number;
  /** Of a thousand log writes: those which stall for about an election timeout. */
  readonly stalls: number;
}

export const FAULTS = [
  "isolate",
  "halves",
  "one-way",
  "ring",
  "bridge",
  "flap",
  "swizzle",
  "crash",
  "crash-leader",
  "hurt-elected",
  "crash-in-turn",
  "crash-at-start",
  "stop",
  "power-cut",
  "power-cut-all",
  "fsync-fails",
  "pause",
  "slow-disk",
  "drift",
  "transfer",
  "transfer-storm",
  "add-voter",
  "add-learner",
  "promote",
  "remove",
  "replace",
] as const;
export type Fault = (typeof FAULTS)[number];

export interface ClientSettings {
  readonly clients: number;
  /** Clients that only read, and often: they see who takes itself for the leader. */
  readonly readers: number;
  /** Clients that do nothing but keep a lease alive. */
  readonly keepers: number;
  readonly watchers: number;
  readonly keys: number;
  readonly thinkMs: number;
  readonly timeoutMs: number;
  /** Of a hundred operations, how many go to another member than the last. */
  readonly roamPercent: number;
  readonly weights: OperationWeights;
}

/** Of all operations, how often which. */
export type OperationWeights = Readonly<Record<OperationKind, number>>;

export const READING: OperationWeights = {
  ...{ put: 0, get: 10, "stale-get": 2, list: 5, "old-list": 1, delete: 0, txn: 0, compact: 0 },
  ...{ grant: 0, "keep-alive": 0, revoke: 0, "time-to-live": 0 },
};

export const OPERATIONS = [
  "put",
  "get",
  "stale-get",
  "list",
  "old-list",
  "delete",
  "txn",
  "compact",
  "grant",
  "keep-alive",
  "revoke",
  "time-to-live",
] as const;
export type OperationKind = (typeof OPERATIONS)[number];

export interface Settings {
  readonly founders: number;
  readonly membersMax: number;
  readonly learnersMax: number;
  /** Changes of the membership that could leave no quorum are refused. */
  readonly strictChanges: boolean;
  readonly tickMs: number;
  readonly electionTicks: number;
  readonly snapshotTriggerEntries: number;
  readonly keptEntries: number;
  readonly raft: Partial<RaftConfig>;
  readonly watch: Partial<WatchHubOptions>;
  readonly lengthMs: number;
  readonly network: NetworkSettings;
  readonly disk: DiskSettings;
  readonly clients: ClientSettings;
  /** How far a clock may be from the right speed, in percent. */
  readonly driftPercentMax: number;
  /** Mean time from one fault to the next; and how often which. */
  readonly faultEveryMs: number;
  readonly faults: readonly (readonly [number, Fault])[];
  /** Of a thousand steps of a member, how many end with a check of every invariant. */
  readonly verified: number;
}

/** Election timeouts that pass under faults. */
const LENGTH_ELECTIONS = 80;

export function drawSettings(seed: number): Settings {
  const random = randomOf(seed, "settings");
  const gentle = random.chance(8);
  const tickMs = random.pick([50, 100, 100, 200]);
  const electionTicks = between(random, 4, 9);
  const electionMs = tickMs * electionTicks;
  const founders = random.pick([1, 2, 3, 3, 3, 3, 3, 4, 5, 5, 5, 5, 6, 7]);
  return {
    founders,
    membersMax: Math.min(7, founders + 2),
    learnersMax: random.pick([1, 1, 2]),
    strictChanges: random.chance(80),
    tickMs,
    electionTicks,
    snapshotTriggerEntries: between(random, 10, 50),
    keptEntries: random.pick([0, 1, 5, 10, 20]),
    raft: drawRaft(random, tickMs),
    watch: {
      progressIntervalMs: random.pick([100, 1000]),
      responseBytes: random.pick([100, 1000, 100_000]),
      fragmentBytes: random.pick([150, 1000, 100_000]),
    },
    lengthMs: Math.floor((LENGTH_ELECTIONS * electionMs) / Math.max(1, founders / 4)),
    network: drawNetwork(random, tickMs, gentle),
    disk: drawDisk(random, tickMs),
    clients: drawClients(random, electionMs),
    driftPercentMax: random.chance(50) ? 0 : random.pick([1, 5, 10]),
    faultEveryMs: electionMs * random.pick([0.7, 1.5, 3, 5]),
    faults: gentle ? [] : drawFaults(random),
    verified: random.pick([5, 20, 100]),
  };
}

function drawRaft(random: Prng, tickMs: number): Partial<RaftConfig> {
  const roomy = random.chance(30);
  const checkQuorum = random.chance(90);
  const lease = checkQuorum && random.chance(30) ? { tickMs, driftPercentMax: 12 } : undefined;
  if (roomy) return { checkQuorum, lease, preVote: random.chance(85) };
  return {
    checkQuorum,
    lease,
    preVote: random.chance(85),
    appendBytesMax: random.pick([1, between(random, 1, 800)]),
    inflightCountMax: between(random, 1, 8),
    inflightBytesMax: between(random, 1, 4000),
    tailBytesMax: random.below(4000),
    committedBytesMax: between(random, 1, 1500),
    applyingBytesMax: between(random, 100, 4000),
    uncommittedBytesMax: between(random, 2000, 20_000),
  };
}

function drawNetwork(random: Prng, tickMs: number, gentle: boolean): NetworkSettings {
  const calm = gentle || random.chance(30);
  return {
    delayMs: tickMs * random.pick([0.005, 0.02, 0.05, 0.1, 0.3]),
    lost: calm ? 0 : random.pick([0, 1, 10, 50, 200]),
    doubled: calm ? 0 : random.pick([0, 5, 50]),
    ordered: calm || random.chance(40),
    noticedPercent: random.pick([0, 50, 100]),
    encoded: random.chance(25),
  };
}

function drawDisk(random: Prng, tickMs: number): DiskSettings {
  return {
    logMs: tickMs * random.pick([0.005, 0.02, 0.05, 0.2]),
    stateMs: tickMs * random.pick([0.02, 0.1, 0.5, 2]),
    stalls: random.chance(70) ? 0 : random.pick([2, 10]),
  };
}

/** Lives that are about one thing, so that it goes deep; each is one in ten. */
const CHURN: readonly (readonly [number, Fault])[] = [
  [10, "hurt-elected"],
  [2, "crash-leader"],
];
const RECONFIGURATION: readonly (readonly [number, Fault])[] = [
  [10, "add-voter"],
  [3, "add-learner"],
  [3, "promote"],
  [8, "remove"],
  [4, "hurt-elected"],
  [3, "isolate"],
  [2, "crash-leader"],
];

function drawFaults(random: Prng): readonly (readonly [number, Fault])[] {
  const theme = random.below(10);
  if (theme === 0) return CHURN;
  if (theme === 1) return RECONFIGURATION;
  const drawn: (readonly [number, Fault])[] = [];
  for (const fault of FAULTS) {
    if (random.chance(45)) drawn.push([1 + random.below(10), fault]);
  }
  return drawn;
}

function drawClients(random: Prng, electionMs: number): ClientSettings {
  const usual: Record<OperationKind, number> = {
    put: 20,
    get: 15,
    "stale-get": 8,
    list: 8,
    "old-list": 4,
    delete: 6,
    txn: 12,
    compact: random.pick([0, 3, 8]),
    grant: 3,
    "keep-alive": 12,
    revoke: 2,
    "time-to-live": 3,
  };
  if (random.chance(30)) {
    for (const kind of ["grant", "keep-alive", "revoke", "time-to-live"] as const) usual[kind] = 0;
  }
  return {
    clients: between(random, 2, 6),
    readers: between(random, 0, 2),
    keepers: between(random, 0, 2),
    watchers: between(random, 1, 4),
    keys: random.pick([2, 4, 8]),
    thinkMs: electionMs * random.pick([0.1, 0.25, 0.5]),
    timeoutMs: electionMs * random.pick([1, 3, 8, 20]),
    roamPercent: random.pick([0, 10, 50, 100]),
    weights: usual,
  };
}
