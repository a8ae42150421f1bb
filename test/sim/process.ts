/**
 * One life of a member: a process from its start to its crash. The group in it is the real one;
 * its clock, turns, disks and messages are the simulation's. The process can die in the middle of
 * anything it does to the world outside (reach()): what comes after that point does not happen.
 */
import type { Prng } from "../../src/base/prng.ts";
import { Turn } from "../../src/base/turn.ts";
import { Membership } from "../../src/cluster/membership.ts";
import { Group } from "../../src/node/group.ts";
import type { LogWrite } from "../../src/node/ports.ts";
import type { Message } from "../../src/raft/message.ts";
import { Publisher } from "../../src/server/publisher.ts";
import { SimLog, SimStore } from "./disks.ts";
import type { SimNode } from "./node.ts";
import { exponential, randomOf } from "./streams.ts";
import { SimTransport } from "./transport.ts";
import type { World } from "./world.ts";

/** What those who check want to know of every process. */
export interface Observer {
  onBoot(process: SimProcess): void;
  onLogWrite(process: SimProcess, write: LogWrite): void;
  onSend(process: SimProcess, message: Message): void;
  /** The process did something, and is still alive. */
  afterStep(process: SimProcess): void;
}

/** Unwinds what a process was doing when it died. */
class ProcessEnd extends Error {}

/** The server's bound for a change of the membership, before election timeouts. */
const REQUEST_MS = 5000;

/** The end of a turn comes so soon after its first event. */
const TURN_MS = 0.02;

export class SimProcess {
  readonly node: SimNode;
  readonly world: World;
  readonly random: Prng;
  alive = true;
  /** A copy of the state is arriving or being put in place. */
  receives = false;
  log!: SimLog;
  store!: SimStore;
  group!: Group;
  membership!: Membership;
  #publisher!: Publisher;
  /** Members that were removed, and the index at which that was known here. */
  readonly #removedAt = new Map<bigint, number>();
  #leaves = false;
  readonly #enders: (() => void)[] = [];

  constructor(node: SimNode, world: World) {
    this.node = node;
    this.world = world;
    this.random = randomOf(world.seed, `process ${node.number}.${node.lives}`);
  }

  get observer(): Observer {
    return this.world.observer;
  }

  /** Takes up what the disks hold. */
  boot(): void {
    const { node, world, random } = this;
    const { settings } = world;
    this.log = new SimLog(node.logDisk, node.readBack(), this);
    this.store = new SimStore(node.stateDisk, node.logDisk.snapshot?.index, this);
    const transport = new SimTransport(this);
    const logger = world.loggerOf(node);
    this.group = new Group(
      {
        memberId: node.id,
        tickMs: settings.tickMs,
        electionTicks: settings.electionTicks,
        snapshotTriggerEntries: settings.snapshotTriggerEntries,
        keptEntries: settings.keptEntries,
        founding: node.founding,
        raft: settings.raft,
        watch: settings.watch,
      },
      {
        log: this.log,
        store: this.store,
        clock: node.clock,
        random,
        turn: new Turn((run) => this.later("turn", TURN_MS, run)),
        logger,
        transport,
        onMembership: () => this.#noteRemovals(),
        onRemoved: () => this.leave(),
      },
    );
    const electionMs = settings.electionTicks * settings.tickMs;
    this.membership = new Membership(
      {
        memberId: node.id,
        electionMs,
        requestTimeoutMs: REQUEST_MS + 2 * electionMs,
        strict: settings.strictChanges,
        learnersMax: settings.learnersMax,
      },
      {
        group: this.group,
        clock: node.clock,
        forward: (to, request, done) => transport.forwardChange(to, request, done),
      },
    );
    const name = `n${node.number}`;
    const clientUrls = (): readonly string[] => [`http://${name}:2379`];
    const { group } = this;
    this.#publisher = new Publisher({ group, memberId: node.id, name, clientUrls, log: logger });
    void this.#publisher.publish(); // its end is nobody's concern here
    this.#noteRemovals();
    this.observer.onBoot(this);
    this.group.start();
    this.later("tick", node.clock.realMs(random.unit() * settings.tickMs), () => this.#tick());
  }

  /** Lets the process do something, unless it is dead; later, if it is paused. */
  enter(what: string, run: () => void): void {
    if (!this.alive) return;
    if (this.node.paused) {
      this.node.afterPause(() => this.enter(what, run));
      return;
    }
    try {
      run();
    } catch (error) {
      if (!(error instanceof ProcessEnd)) throw error;
      this.node.died(`${what}: ${error.message}`);
      return;
    }
    this.observer.afterStep(this);
  }

  /** Lets the process do something after a while. */
  later(what: string, delayMs: number, run: () => void): void {
    this.world.schedule.after(delayMs, () => this.enter(what, run));
  }

  /** The process is about to have an effect, or has just had one: it may end here. */
  reach(point: string): void {
    if (!this.alive) throw new ProcessEnd(`dead at ${point}`);
    if (this.node.pointsToCrash > 0 && --this.node.pointsToCrash === 0) this.end(`at ${point}`);
  }

  /** Ends the process in the middle of what it does. */
  end(reason: string): never {
    throw new ProcessEnd(reason);
  }

  /** Calls `run` when the process has died, as those notice whose connection it held. */
  onEnd(run: () => void): void {
    this.#enders.push(run);
  }

  /** Whether it knows durably that `id` was removed. */
  knowsRemoved(id: bigint): boolean {
    const index = this.#removedAt.get(id) ?? Number.POSITIVE_INFINITY;
    return (this.node.logDisk.hardState?.commit ?? 0) >= index;
  }

  /** The process is dead. */
  ended(): void {
    this.alive = false;
    for (const run of this.#enders) run();
  }

  fsyncMs(): number {
    const { disk, tickMs, electionTicks } = this.world.settings;
    const stalls = this.random.below(1000) < disk.stalls;
    const mean = stalls ? tickMs * electionTicks : disk.logMs;
    return exponential(this.random, mean * this.node.diskSlowness);
  }

  storeMs(): number {
    const { disk } = this.world.settings;
    return exponential(this.random, disk.stateMs * this.node.diskSlowness);
  }

  #tick(): void {
    const { tickMs } = this.world.settings;
    this.later("tick", this.node.clock.realMs(tickMs), () => this.#tick());
    this.group.tick();
    this.membership.tick();
    this.#publisher.tick();
  }

  /** Who was removed is refused from when this is durable here. */
  #noteRemovals(): void {
    const { appliedIndex, machine } = this.group;
    for (const id of machine.removedMembers()) {
      if (this.#removedAt.has(id)) continue;
      this.#removedAt.set(id, appliedIndex);
    }
  }

  /** The member was removed: its process ends, soon. */
  leave(): void {
    const { world, node } = this;
    if (this.#leaves) return;
    this.#leaves = true;
    world.trace.note("removed", node.number);
    world.schedule.after(exponential(this.random, 5 * world.settings.tickMs), () => node.retire());
  }
}
