/**
 * Causes the faults that the seed has drawn, one after the other; many overlap. Each one that does
 * not end by itself is ended after a while, or when everything is healed.
 */
import { AetherError } from "../../src/base/errors.ts";
import type { Prng } from "../../src/base/prng.ts";
import type { CrashKind, SimNode } from "./node.ts";
import { bridge, type Cut, halves, isolated, muted, oneWay, ring } from "./partitions.ts";
import type { Reconfigurer } from "./reconfigurer.ts";
import type { Fault } from "./settings.ts";
import { exponential, randomOf, weighted } from "./streams.ts";
import type { World } from "./world.ts";

/** How much slower a slow disk is. */
const SLOW_DISK = 30;

type Act = (victim: SimNode, nodes: readonly SimNode[]) => void;

export class Nemesis {
  readonly #world: World;
  readonly #reconfigurer: Reconfigurer;
  readonly #random: Prng;
  readonly #acts: Readonly<Record<Fault, Act>> = this.#actions();
  /**
   * So many leaders crash or are not heard any more soon after they were elected, when the first
   * of what they had to say has reached somebody (paper, figure 8).
   */
  #electedToHurt = 0;
  #stopped = false;

  constructor(world: World, reconfigurer: Reconfigurer) {
    this.#world = world;
    this.#reconfigurer = reconfigurer;
    this.#random = randomOf(world.seed, "nemesis");
  }

  start(): void {
    if (this.#world.settings.faults.length > 0) this.#nextLater();
  }

  /** Causes no more, and undoes what it did to members. */
  stop(): void {
    this.#stopped = true;
    for (const node of this.#world.nodes.values()) {
      node.pointsToCrash = 0;
      node.diskSlowness = 1;
      node.clock.setRate(1);
      node.resume();
      if (node.process?.log !== undefined) node.process.log.failsNext = false;
    }
  }

  /** A member began to lead. */
  elected(node: SimNode): void {
    if (this.#electedToHurt === 0 || this.#stopped) return;
    this.#electedToHurt--;
    const { schedule, settings } = this.#world;
    const random = this.#random;
    const soonMs = random.pick([0.2, 1, 3]) * (settings.network.delayMs + settings.disk.logMs);
    const hurt = random.pick(["crash", "mute", "isolate", "mute and crash"] as const);
    const kind = random.pick<CrashKind>(["kill", "power"]);
    schedule.after(exponential(random, soonMs), () => {
      if (this.#stopped) return;
      if (hurt === "crash") node.crash(kind);
      else this.#cut(hurt === "isolate" ? isolated(node, this.#nodes) : muted(node, this.#nodes));
      if (hurt !== "mute and crash") return;
      schedule.after(exponential(random, soonMs), () => {
        if (!this.#stopped) node.crash(kind);
      });
    });
  }

  get #electionMs(): number {
    const { tickMs, electionTicks } = this.#world.settings;
    return tickMs * electionTicks;
  }

  get #nodes(): SimNode[] {
    return [...this.#world.nodes.values()].filter(({ retired }) => !retired);
  }

  #nextLater(): void {
    const { schedule, settings } = this.#world;
    schedule.after(exponential(this.#random, settings.faultEveryMs), () => {
      if (this.#stopped) return;
      this.#cause(weighted(this.#random, settings.faults));
      this.#nextLater();
    });
  }

  #cause(fault: Fault): void {
    const node = this.#victim();
    if (node === undefined) return;
    this.#world.trace.note("fault", node.number, 0, 0, () => fault);
    this.#acts[fault](node, this.#nodes);
  }

  #actions(): Record<Fault, Act> {
    const cut = (cuts: readonly Cut[]): void => this.#cut(cuts);
    const anyhow = (): CrashKind => this.#random.pick(["kill", "power"]);
    return {
      isolate: (node, nodes) => cut(isolated(node, nodes)),
      halves: (_, nodes) => cut(halves(this.#random, nodes)),
      "one-way": (_, nodes) => cut(oneWay(this.#random, nodes)),
      ring: (_, nodes) => cut(ring(nodes)),
      bridge: (_, nodes) => cut(bridge(this.#random, nodes)),
      flap: (node, nodes) => this.#flap(isolated(node, nodes), 2 + this.#random.below(10)),
      swizzle: (_, nodes) => this.#swizzle(nodes),
      crash: (node) => node.crash(anyhow()),
      "crash-leader": () => this.#leader()?.crash(anyhow()),
      "hurt-elected": () => {
        this.#electedToHurt = 1 + this.#random.below(8);
      },
      "crash-in-turn": (node) => {
        node.nextCrash = anyhow();
        node.pointsToCrash = 1 + this.#random.below(40);
      },
      "crash-at-start": (node) => {
        node.crash(anyhow());
        node.pointsToCrash = 1 + this.#random.below(15);
      },
      stop: (node) => node.process?.enter("stop", () => this.#stop(node)),
      "power-cut": (node) => node.crash("power"),
      "power-cut-all": (_, nodes) => {
        for (const each of nodes) each.crash("power");
      },
      "fsync-fails": (node) => {
        node.nextCrash = "power";
        if (node.process !== undefined) node.process.log.failsNext = true;
      },
      pause: (node) => node.pause(this.#electionMs * (0.1 + 2.9 * this.#random.unit())),
      "slow-disk": (node) => this.#slowDown(node),
      drift: (node) => this.#drift(node),
      transfer: () => this.#transfer(1),
      "transfer-storm": () => this.#transfer(3 + this.#random.below(8)),
      "add-voter": () => this.#reconfigurer.change("add-voter"),
      "add-learner": () => this.#reconfigurer.change("add-learner"),
      promote: () => this.#reconfigurer.change("promote"),
      remove: () => this.#reconfigurer.change("remove"),
      replace: () => this.#reconfigurer.change("replace"),
    };
  }

  /** Somebody who is up; the leader rather often, since more is lost with it. */
  #victim(): SimNode | undefined {
    const leader = this.#random.chance(50) ? this.#leader() : undefined;
    if (leader !== undefined) return leader;
    const up = this.#nodes.filter((node) => node.up);
    return up.length === 0 ? undefined : this.#random.pick(up);
  }

  #leader(): SimNode | undefined {
    return this.#nodes.find(({ process }) => process?.group?.isLeader === true);
  }

  #cut(cuts: readonly Cut[]): void {
    const { network } = this.#world;
    for (const [from, to] of cuts) network.cut(from, to);
    this.#afterWhile(() => {
      for (const [from, to] of cuts) network.join(from, to);
    });
  }

  #flap(cuts: readonly Cut[], times: number): void {
    if (times === 0 || this.#stopped) return;
    const { network, schedule } = this.#world;
    for (const [from, to] of cuts) network.cut(from, to);
    schedule.after(exponential(this.#random, 0.5 * this.#electionMs), () => {
      for (const [from, to] of cuts) network.join(from, to);
      const again = exponential(this.#random, 0.5 * this.#electionMs);
      schedule.after(again, () => this.#flap(cuts, times - 1));
    });
  }

  /** Cuts some off one by one and lets them back one by one, in another order. */
  #swizzle(nodes: readonly SimNode[]): void {
    const { network, schedule } = this.#world;
    const some = nodes.filter(() => this.#random.chance(50));
    for (const node of some) {
      const cuts = isolated(node, nodes);
      schedule.after(3 * this.#electionMs * this.#random.unit(), () => {
        if (this.#stopped) return;
        for (const [from, to] of cuts) network.cut(from, to);
        schedule.after(3 * this.#electionMs * (1 + this.#random.unit()), () => {
          for (const [from, to] of cuts) network.join(from, to);
        });
      });
    }
  }

  #slowDown(node: SimNode): void {
    node.diskSlowness = SLOW_DISK;
    this.#afterWhile(() => {
      node.diskSlowness = 1;
    });
  }

  /** An orderly end: leadership is handed over, everything is written, callers are told. */
  #stop(node: SimNode): void {
    const { process } = node;
    process?.group.handOver(() => {
      process.membership.stop();
      process.group.stop();
      process.log.writeAll();
      process.store.writeAll();
      process.end("stopped");
    });
  }

  #drift(node: SimNode): void {
    const percent = this.#world.settings.driftPercentMax * (2 * this.#random.unit() - 1);
    node.clock.setRate(1 + percent / 100);
    node.clock.wallOffsetMs = 7_200_000 * (this.#random.unit() - 0.5);
  }

  #transfer(times: number): void {
    const leader = this.#leader();
    const { schedule } = this.#world;
    if (leader?.process !== undefined) {
      const { group } = leader.process;
      const { voters } = group.configuration;
      const to = this.#random.pick(voters);
      leader.process.enter("transfer", () => {
        try {
          group.transferLeadership(to);
        } catch (error) {
          if (!(error instanceof AetherError)) throw error;
        }
      });
    }
    if (times <= 1 || this.#stopped) return;
    schedule.after(exponential(this.#random, this.#electionMs), () => this.#transfer(times - 1));
  }

  #afterWhile(run: () => void): void {
    this.#world.schedule.after(exponential(this.#random, 3 * this.#electionMs), run);
  }
}
