/**
 * Members and the network between them, on one thread and without time: who drives it decides
 * what happens next. Every step is checked.
 */
import { Prng } from "../../src/base/prng.ts";
import type { RaftOptions } from "../../src/raft/config.ts";
import { configurationOf } from "../../src/raft/membership/configuration.ts";
import type { ReadGrant, ReadRefusal, Ready } from "../../src/raft/ready.ts";
import { founding } from "../../src/raft/restore.ts";
import type { Configuration, Entry, MemberId } from "../../src/raft/types.ts";
import { Checker } from "./checker.ts";
import { type Observer, type Packet, SimNode } from "./sim-node.ts";

export type ClusterOptions = Omit<RaftOptions, "id" | "random">;

/** Turns after which a settling cluster must be quiet. */
const SETTLE_STEPS_MAX = 20_000;

export function member(id: number): MemberId {
  return BigInt(id) as MemberId;
}

export class Cluster implements Observer {
  readonly nodes = new Map<MemberId, SimNode>();
  readonly checker = new Checker();
  readonly network: Packet[] = [];
  readonly #cuts = new Set<string>();
  readonly #options: ClusterOptions;
  readonly #seed: number;
  /** Called for each packet that is delivered or lost. */
  onPacket: (packet: Packet, delivered: boolean) => void = () => {};
  readonly grants: { node: SimNode; grant: ReadGrant }[] = [];
  readonly refusals: { node: SimNode; refusal: ReadRefusal }[] = [];

  constructor(options: ClusterOptions, seed = 1) {
    this.#options = options;
    this.#seed = seed;
  }

  /** Founds a group and starts every founder. */
  found(voters: readonly number[], learners: readonly number[] = []): void {
    const configuration = configurationOf(voters.map(member), learners.map(member));
    for (const id of [...voters, ...learners]) this.#foundOne(id, configuration);
  }

  /** Starts a member that knows nobody and waits to be added. */
  join(id: number, options: ClusterOptions = {}): SimNode {
    const node = this.#create(id, options);
    node.start();
    return node;
  }

  node(id: number | MemberId): SimNode {
    const node = this.nodes.get(BigInt(id) as MemberId);
    if (node === undefined) throw new Error(`no node ${id}`);
    return node;
  }

  /** Stops packets on the way from one to the other. */
  cut(from: MemberId, to: MemberId): void {
    this.#cuts.add(`${from}>${to}`);
  }

  isolate(id: MemberId): void {
    for (const other of this.nodes.keys()) {
      if (other === id) continue;
      this.cut(id, other);
      this.cut(other, id);
    }
  }

  heal(): void {
    this.#cuts.clear();
  }

  crash(node: SimNode, written = 0): void {
    node.crash(written);
    this.checker.forget(node);
  }

  send(packet: Packet): void {
    this.network.push(packet);
  }

  /** Delivers the packet at `at` in the network, or loses it. */
  deliver(at: number, keep = false): void {
    const packet = this.network[at] as Packet;
    if (!keep) this.network.splice(at, 1);
    const { from, to } = packet.message;
    const node = this.nodes.get(to);
    const delivered = node?.up === true && !this.#cuts.has(`${from}>${to}`);
    this.onPacket(packet, delivered);
    if (delivered) {
      node.receive(packet);
      this.checker.check(node);
    }
    if (!keep) this.#reportSnapshot(packet, delivered);
  }

  /** Loses the packet at `at`. */
  lose(at: number): void {
    const [packet] = this.network.splice(at, 1);
    if (packet === undefined) return;
    this.onPacket(packet, false);
    this.#reportSnapshot(packet, false);
  }

  /** One Ready of one member; false if it had none. */
  turn(node: SimNode): boolean {
    const did = node.turn();
    this.checker.check(node);
    return did;
  }

  /** Lets everything happen that needs no time, oldest first. */
  settle(): void {
    for (let step = 0; step < SETTLE_STEPS_MAX; step++) {
      let quiet = true;
      for (const node of this.nodes.values()) {
        if (node.up && this.turn(node)) quiet = false;
      }
      if (this.network.length > 0) {
        this.deliver(0);
        quiet = false;
      }
      if (quiet) return;
    }
    throw new Error("the cluster does not come to rest");
  }

  onReady(node: SimNode, ready: Ready): void {
    this.checker.onReady(node, ready);
  }

  onApplied(node: SimNode, entry: Entry): void {
    this.checker.onApplied(node, entry);
  }

  onGrant(node: SimNode, grant: ReadGrant): void {
    this.checker.onGrant(grant);
    this.grants.push({ node, grant });
  }

  onRefusal(node: SimNode, refusal: ReadRefusal): void {
    this.refusals.push({ node, refusal });
  }

  #reportSnapshot({ message }: Packet, arrived: boolean): void {
    if (message.type !== "snapshot") return;
    const sender = this.nodes.get(message.from);
    if (sender?.up === true) sender.raft.reportSnapshot(message.to, arrived);
  }

  #foundOne(id: number, configuration: Configuration): void {
    const node = this.#create(id, {});
    node.disk.write({ ...founding(configuration), entries: [] });
    node.checkpoint = { index: 1, hash: 0 };
    node.start();
  }

  #create(id: number, options: ClusterOptions): SimNode {
    const random = new Prng(this.#seed * 1000 + id);
    const node = new SimNode(member(id), { ...this.#options, ...options, random }, this);
    this.nodes.set(node.id, node);
    return node;
  }
}
