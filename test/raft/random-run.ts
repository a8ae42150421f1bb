/**
 * One seeded life of a cluster: everything may be lost, repeated, reordered, cut off, crashed and
 * reconfigured, and after every step the checkers look. Then the faults end, and the members must
 * come to agree. The seed draws the settings too, small ones by preference: small buffers reach
 * their limits.
 *
 * Time: a member ticks at most once per TICK_MS, as a real timer does, and may tick much later;
 * nothing else relates steps to time, so leases are tested with the clock bound they ask for.
 */
import { AetherError } from "../../src/base/errors.ts";
import { Prng } from "../../src/base/prng.ts";
import type { ChangeStep, Transition } from "../../src/raft/membership/change.ts";
import { isJoint, membersOf } from "../../src/raft/membership/configuration.ts";
import type { MemberId } from "../../src/raft/types.ts";
import { Cluster, type ClusterOptions } from "./cluster.ts";
import type { Packet, SimNode } from "./sim-node.ts";

const TICK_MS = 10;
/** Members that may exist at all. */
const MEMBERS_MAX = 7;
/** Packets under way; the oldest are lost beyond it. */
const NETWORK_MAX = 150;
/** Rounds of ticks in which a healed cluster must agree. */
const HEAL_ROUNDS_MAX = 600;

export interface RunResult {
  readonly committed: number;
  readonly granted: number;
  readonly hash: number;
}

type Action = readonly [weight: number, act: () => void];

class RandomRun {
  readonly random: Prng;
  readonly cluster: Cluster;
  readonly #nextTickMs = new Map<MemberId, number>();
  readonly #actions: readonly Action[];
  readonly #weight: number;
  readonly #late: Packet[] = [];
  /** Of a thousand deliveries, how many end in a crash of the receiver. */
  readonly #midTurnCrashes: number;
  #nowMs = 0;
  #reads = 0;
  #payloads = 0;
  #hash = 0;

  constructor(seed: number) {
    this.random = new Prng(seed);
    this.cluster = new Cluster(this.#options(), seed);
    const count = this.random.pick([1, 2, 3, 3, 3, 4, 5, 5, 5]);
    this.cluster.found(Array.from({ length: count }, (_, i) => i + 1));
    this.#midTurnCrashes = this.random.chance(50) ? 0 : this.random.below(15);
    this.#actions = this.#drawActions();
    this.#weight = this.#actions.reduce((sum, [weight]) => sum + weight, 0);
  }

  step(): void {
    this.#nowMs += this.random.below(3);
    let pick = this.random.below(this.#weight);
    for (const [weight, act] of this.#actions) {
      pick -= weight;
      if (pick < 0) {
        act();
        break;
      }
    }
    for (let i = this.random.below(4); i >= 0; i--) this.#flow();
    while (this.cluster.network.length > NETWORK_MAX) this.cluster.lose(0);
  }

  /** Ends all faults; throws unless the members come to agree. */
  heal(): void {
    this.cluster.heal();
    this.cluster.network.push(...this.#late.splice(0)); // what was late arrives, at last
    for (const node of this.cluster.nodes.values()) {
      node.holdsWrites = false;
      node.holdsApply = false;
      if (!node.up) node.start();
      while (node.finishWrite());
      while (node.applyOne());
    }
    for (let round = 0; round < HEAL_ROUNDS_MAX; round++) {
      this.#nowMs += TICK_MS;
      for (const node of this.cluster.nodes.values()) this.#tick(node);
      this.cluster.settle();
      if (round % 10 === 9 && this.#agreed()) return;
    }
    throw new Error(`LIVENESS: no agreement after ${HEAL_ROUNDS_MAX} rounds of ticks`);
  }

  result(): RunResult {
    const { commitMax, granted } = this.cluster.checker;
    return { committed: commitMax, granted, hash: this.#hash };
  }

  #options(): ClusterOptions {
    const { random } = this;
    const checkQuorum = random.chance(70);
    const lease =
      checkQuorum && random.chance(40) ? { tickMs: TICK_MS, driftPercentMax: 0 } : undefined;
    return {
      electionTicks: 4 + random.below(4),
      preVote: random.chance(60),
      checkQuorum,
      lease,
      appendBytesMax: 1 + random.below(600),
      inflightCountMax: 1 + random.below(6),
      inflightBytesMax: 1 + random.below(2000),
      tailBytesMax: random.below(2000),
      committedBytesMax: 1 + random.below(500),
      applyingBytesMax: 100 + random.below(2000),
      uncommittedBytesMax: 500 + random.below(5000),
    };
  }

  /** Which faults happen at all, and how often, is part of the luck. */
  #drawActions(): readonly Action[] {
    // Often not at all: faults that never happen leave room for the others to go deep.
    const often = (weight: number): number => {
      return this.random.chance(40) ? 0 : this.random.below(2 * weight + 1);
    };
    return [
      [100, () => this.#withNode((node) => this.cluster.turn(node))],
      [400, () => this.#withNode((node) => this.#tick(node))],
      [200, () => this.#withNode((node) => node.finishWrite())],
      [150, () => this.#withNode((node) => node.applyOne())],
      [80, () => this.#propose()],
      [60, () => this.#read()],
      [20, () => this.#withNode((node) => node.saveState())],
      [often(30), () => this.#lose()],
      [often(20), () => this.#deliver(true)],
      [often(30), () => this.#delay()],
      [10, () => this.#arriveLate()],
      [often(10), () => this.#crash()],
      [10, () => this.#restart()],
      [2 + often(20), () => this.#cut()],
      [1 + often(4), () => this.cluster.heal()],
      [2 + often(16), () => this.#change()],
      [often(5), () => this.#transfer()],
      [often(5), () => this.#withNode((node) => node.raft.campaign())],
      [often(20), () => this.#withNode((node) => this.#compact(node))],
      [often(10), () => this.#withNode((node) => this.#hold(node))],
    ];
  }

  #tick(node: SimNode): void {
    if ((this.#nextTickMs.get(node.id) ?? 0) > this.#nowMs) return;
    this.#nextTickMs.set(node.id, this.#nowMs + TICK_MS);
    node.raft.tick(this.#nowMs);
    this.cluster.checker.check(node);
  }

  /** Mostly in order, as connections deliver; sometimes not. */
  #deliver(keep: boolean): void {
    const { network } = this.cluster;
    if (network.length === 0) return;
    const at = this.random.chance(70) ? 0 : this.random.below(network.length);
    this.#note(network[at]?.message.term ?? 0);
    this.cluster.deliver(at, keep);
  }

  /** The ordinary course: the oldest packet arrives, and who gets it mostly acts at once. */
  #flow(): void {
    const packet = this.cluster.network[0];
    if (packet === undefined) return;
    this.#deliver(false);
    const node = this.cluster.node(packet.message.to);
    if (!node.up) return;
    if (this.random.below(1000) < this.#midTurnCrashes) this.#crashInTurn(node);
    else if (this.random.chance(80)) this.cluster.turn(node);
  }

  /** Its messages have left, and its write is lost or not: promises made too early show here. */
  #crashInTurn(node: SimNode): void {
    node.holdsWrites = true;
    this.cluster.turn(node);
    this.cluster.crash(node, this.random.chance(30) ? 1 : 0);
    if (this.random.chance(70)) node.start();
  }

  /** Takes a packet out of the course of things, to arrive much later. */
  #delay(): void {
    const { network } = this.cluster;
    if (network.length === 0) return;
    const [packet] = network.splice(this.random.below(network.length), 1);
    if (packet !== undefined) this.#late.push(packet);
  }

  #arriveLate(): void {
    if (this.#late.length === 0) return;
    const [packet] = this.#late.splice(this.random.below(this.#late.length), 1);
    if (packet === undefined) return;
    this.cluster.network.unshift(packet);
    this.cluster.deliver(0);
  }

  #lose(): void {
    if (this.cluster.network.length > 0)
      this.cluster.lose(this.random.below(this.cluster.network.length));
  }

  #propose(): void {
    const node = this.#leader() ?? this.#someNode();
    if (node === undefined) return;
    const payload = new Uint8Array(this.random.below(60) + 4);
    new DataView(payload.buffer).setUint32(0, ++this.#payloads);
    expected(() => node.raft.propose(payload));
    this.cluster.checker.check(node);
  }

  #read(): void {
    this.#withNode((node) => {
      const index = node.raft.readNow(this.#nowMs);
      if (index >= 0) {
        this.cluster.checker.readAtOnce(index);
        return;
      }
      const id = ++this.#reads;
      this.cluster.checker.askedRead(id);
      expected(() => node.raft.readIndex(id));
    });
  }

  #crash(): void {
    const node = (this.random.chance(40) ? this.#leader() : undefined) ?? this.#someNode();
    if (node !== undefined) this.cluster.crash(node, this.random.below(3));
  }

  #restart(): void {
    for (const node of this.cluster.nodes.values()) {
      if (!node.up && this.random.chance(50)) node.start();
    }
  }

  #cut(): void {
    const a = this.#someNode();
    const b = this.#someNode();
    if (a === undefined || b === undefined) return;
    // Mostly one partition at a time: many together leave no quorum anywhere, and nothing happens.
    if (this.random.chance(75)) this.cluster.heal();
    if (this.random.chance(30)) this.cluster.cut(a.id, b.id);
    else if (this.random.chance(50)) this.cluster.isolate((this.#leader() ?? a).id);
    else this.#split();
  }

  /** Two sides that do not hear each other. */
  #split(): void {
    const ids = [...this.cluster.nodes.keys()];
    const side = new Set(ids.filter(() => this.random.chance(50)));
    for (const a of ids) {
      for (const b of ids) if (side.has(a) !== side.has(b)) this.cluster.cut(a, b);
    }
  }

  #change(): void {
    const leader = this.#leader();
    if (leader === undefined) return;
    const transition = this.random.pick<Transition>(["auto", "joint", "joint-manual", "leave"]);
    const steps: ChangeStep[] = [];
    const count = transition === "leave" ? 0 : 1 + this.random.below(3);
    for (let i = 0; i < count; i++) {
      const action = this.random.pick(["add-voter", "add-voter", "add-learner", "remove"] as const);
      steps.push({ action, id: BigInt(1 + this.random.below(MEMBERS_MAX)) as MemberId });
    }
    expected(() => {
      leader.raft.proposeConfiguration({ transition, steps, context: new Uint8Array(0) });
      for (const { id } of steps) {
        if (!this.cluster.nodes.has(id)) this.cluster.join(Number(id));
      }
    });
  }

  #transfer(): void {
    const target = this.#someNode();
    if (target === undefined) return;
    this.#withNode((node) => expected(() => node.raft.transferLeadership(target.id)));
  }

  #compact(node: SimNode): void {
    const to = Math.min(node.checkpoint.index, node.raft.applied) - this.random.below(10);
    if (to >= node.raft.firstIndex) node.compact(to);
  }

  #hold(node: SimNode): void {
    node.holdsWrites = this.random.chance(40);
    node.holdsApply = this.random.chance(40);
  }

  /** One of those who take themselves for the leader. */
  #leader(): SimNode | undefined {
    const leaders = [...this.cluster.nodes.values()].filter(
      (node) => node.up && node.raft.role === "leader",
    );
    return leaders.length === 0 ? undefined : this.random.pick(leaders);
  }

  #someNode(): SimNode | undefined {
    const up = [...this.cluster.nodes.values()].filter((node) => node.up);
    return up.length === 0 ? undefined : this.random.pick(up);
  }

  #withNode(act: (node: SimNode) => void): void {
    const node = this.#someNode();
    if (node === undefined) return;
    act(node);
    this.cluster.checker.check(node);
    this.#note(Number(node.id) * 31 + (node.up ? node.raft.committed : 0));
  }

  /** The run in one number: the same seed must give the same. */
  #note(value: number): void {
    this.#hash = Math.imul(this.#hash ^ value, 0x01000193) >>> 0;
  }

  #agreed(): boolean {
    const leaders = [...this.cluster.nodes.values()].filter((node) => node.raft.role === "leader");
    const leader = leaders.sort((a, b) => b.raft.term - a.raft.term)[0];
    if (leader === undefined) return false;
    const { configuration, lastIndex } = leader.raft;
    const members = membersOf(configuration);
    // Members that were removed and do not know it may disturb for ever without pre-votes (§4.2.3).
    for (const id of this.cluster.nodes.keys()) if (!members.includes(id)) this.cluster.isolate(id);
    if (isJoint(configuration) && configuration.autoLeave) return false;
    return members.every((id) => this.cluster.node(id).raft.applied === lastIndex);
  }
}

/** Runs one seed to its end; throws what the checkers find. */
export function runSeed(seed: number, steps: number): RunResult {
  const run = new RandomRun(seed);
  for (let step = 0; step < steps; step++) run.step();
  run.heal();
  return run.result();
}

/** Refusals are part of the game; anything else is not. */
function expected(act: () => void): void {
  try {
    act();
  } catch (error) {
    if (!(error instanceof AetherError)) throw error;
  }
}
