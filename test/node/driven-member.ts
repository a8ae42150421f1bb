/**
 * A member of a driven cluster: a real group over memory disks that outlive it, and a transport
 * that puts parcels into the cluster's network.
 */
import { AetherError } from "../../src/base/errors.ts";
import type { Log } from "../../src/base/ports.ts";
import { Prng } from "../../src/base/prng.ts";
import { Turn } from "../../src/base/turn.ts";
import { Group } from "../../src/node/group.ts";
import type { HeldState, LeaseAnswer, Transport } from "../../src/node/ports.ts";
import type { Founding } from "../../src/node/start.ts";
import { LeaseGrantRequest, RangeRequest } from "../../src/proto/gen/etcdserverpb.ts";
import type { RaftConfig } from "../../src/raft/config.ts";
import type { Message, MessageOf } from "../../src/raft/message.ts";
import type { MemberId } from "../../src/raft/types.ts";
import { batchSequence, CommandKind } from "../../src/state/command.ts";
import { MemoryLogDisk, MemoryLogStore } from "../../src/storage/memory-log.ts";
import {
  MemoryHeldState,
  MemoryStateDisk,
  MemoryStateStore,
} from "../../src/storage/memory-state.ts";
import { encoded, texts } from "../state/driver.ts";
import { Call, ELECTION_TICKS, type FakeClock, putBody, Read, TICK_MS } from "./driven-group.ts";
import type { DrivenNetwork } from "./driven-network.ts";

/** What a member shares with the others. */
export interface MemberWorld {
  readonly network: DrivenNetwork;
  readonly clock: FakeClock;
  readonly logger: Log;
  readonly snapshotTriggerEntries: number;
  readonly keptEntries: number;
  readonly raft: Partial<RaftConfig>;
  readonly memberOf: (id: MemberId) => DrivenMember | undefined;
}

export class DrivenMember {
  readonly number: number;
  readonly id: MemberId;
  readonly world: MemberWorld;
  readonly logDisk = new MemoryLogDisk();
  readonly stateDisk = new MemoryStateDisk();
  /** False: it does nothing, and what is sent to it is lost. */
  up = false;
  /** True: it does nothing, and what is sent to it waits. */
  paused = false;
  /** What is written to a disk that stalls waits. */
  logStalls = false;
  stateStalls = false;
  /** A copy of the state arrives or is being installed. */
  receives = false;
  /** How often the group said so. */
  removals = 0;
  membershipNews = 0;
  log!: MemoryLogStore;
  store!: MemoryStateStore;
  group!: Group;
  readonly #founding: Founding | undefined;
  readonly #random: Prng;
  #armed: (() => void)[] = [];
  readonly #notices: (() => void)[] = [];

  constructor(number: number, world: MemberWorld, founding: Founding | undefined) {
    this.number = number;
    this.id = BigInt(number) as MemberId;
    this.world = world;
    this.#founding = founding;
    this.#random = new Prng(1000 + number);
  }

  /** Begins a life over what the disks hold. */
  start(): void {
    this.boot();
    this.group.start();
  }

  /** A group over what the disks hold, not started. */
  boot(): void {
    const { clock, logger, snapshotTriggerEntries, keptEntries, raft } = this.world;
    const logStart = this.logDisk.snapshot?.index;
    this.#armed = [];
    this.up = true;
    this.paused = false;
    this.receives = false;
    this.log = new MemoryLogStore(this.logDisk, { acknowledge: "on demand" });
    this.store = new MemoryStateStore(this.stateDisk, { acknowledge: "on demand", logStart });
    this.group = new Group(
      {
        memberId: this.id,
        tickMs: TICK_MS,
        electionTicks: ELECTION_TICKS,
        ...{ snapshotTriggerEntries, keptEntries, raft },
        founding: this.#founding,
      },
      {
        ...{ log: this.log, store: this.store, clock, logger, random: this.#random },
        turn: new Turn((run) => this.#armed.push(run)),
        transport: new DrivenTransport(this),
        onRemoved: () => this.removals++,
        onMembership: () => this.membershipNews++,
      },
    );
  }

  /** Power is cut: nothing runs, and what is not synced is gone. */
  crash(kept = 0): void {
    this.stateDisk.crash(kept);
    this.endLife();
  }

  /** It does nothing any more: whoever had a connection to it notices. */
  endLife(): void {
    this.up = false;
    for (const notice of this.#notices.splice(0)) notice();
  }

  /** Runs `notice` when this life of the member ends. */
  whenOver(notice: () => void): void {
    this.#notices.push(notice);
  }

  /** It may do something now. */
  get active(): boolean {
    return this.up && !this.paused;
  }

  tick(): void {
    if (this.active) this.group.tick();
  }

  endTurns(): boolean {
    let moved = false;
    for (let run = this.#armed.shift(); run !== undefined; run = this.#armed.shift()) {
      run();
      moved = true;
    }
    return moved;
  }

  /** The end of a turn, or else one write of a disk; false if there is nothing to do. */
  workOnce(): boolean {
    if (!this.active) return false;
    const run = this.#armed.shift();
    if (run !== undefined) run();
    else if (!this.logStalls && this.log.pendingCount > 0) this.log.sync(1);
    else if (!this.stateStalls && this.store.pendingCount > 0) this.store.store(1);
    else return false;
    return true;
  }

  /** Answers checkpoints and holds; false if that led to nothing. */
  sync(): boolean {
    if (!this.active || this.stateStalls) return false;
    const { waiting } = this.world.network;
    const before = waiting.length;
    this.store.sync();
    return this.#armed.length > 0 || this.world.network.waiting.length > before;
  }

  /** Turns and disks, once; false if nothing moved. */
  work(): boolean {
    if (!this.active) return false;
    let moved = this.endTurns();
    if (!this.logStalls && this.log.pendingCount > 0) {
      this.log.sync();
      moved = true;
    }
    if (!this.stateStalls) {
      if (this.store.pendingCount > 0) moved = true;
      this.store.store();
      this.store.sync();
    }
    return this.endTurns() || moved;
  }

  put(key: string, value = "", lease = 0n): Call {
    return this.propose(CommandKind.put, putBody(key, value, { lease }));
  }

  grant(ID: bigint, TTL: number): Call {
    return this.propose(CommandKind.leaseGrant, encoded(LeaseGrantRequest, { ID, TTL }));
  }

  propose(kind: CommandKind, body: Uint8Array): Call {
    const call = new Call();
    this.group.propose(kind, body, 0, body.length, call.done);
    return call;
  }

  read(): Read {
    const read = new Read();
    this.group.read(read.done);
    return read;
  }

  /** What renewing the lease comes to: seconds, or the code of a failure. */
  renew(id: bigint): (number | string)[] {
    const answers: (number | string)[] = [];
    this.group.renewLease(id, (ttl) => answers.push(ttl instanceof AetherError ? ttl.code : ttl));
    return answers;
  }

  /** Live keys and values, as "key=value". */
  contents(): string[] {
    return texts(this.group.machine.range(RangeRequest.create({ key: "\0", rangeEnd: "\0" })));
  }
}

class DrivenTransport implements Transport {
  readonly #self: DrivenMember;
  /** A life of the member: what comes back to an earlier one finds nobody. */
  readonly #group: () => Group | undefined;

  constructor(self: DrivenMember) {
    const { log } = self;
    this.#self = self;
    this.#group = () => (self.log === log && self.up ? self.group : undefined);
  }

  send(messages: readonly Message[]): void {
    for (const message of messages) {
      const lose = (): void => this.#group()?.unreachable(message.to);
      this.#to(message.to, message.type, (peer) => peer.group.receive([message]), lose);
    }
  }

  propose(to: MemberId, term: number, payload: Uint8Array): boolean {
    const copy = Buffer.from(payload);
    const sequence = batchSequence(copy);
    this.#to(to, "batch", (peer) => {
      peer.group.receiveProposal(term, copy, (error) => {
        this.#back(peer, () => this.#group()?.proposalRefused(sequence, error));
      });
    });
    return true;
  }

  sendSnapshot(
    message: MessageOf<"snapshot">,
    held: HeldState,
    onEnd: (arrived: boolean) => void,
  ): void {
    if (!(held instanceof MemoryHeldState)) throw new Error("memory holds memory");
    const end = once(onEnd);
    const fail = (): void => end(false);
    const deliver = (peer: DrivenMember): void => {
      if (peer.receives) {
        this.#back(peer, fail, fail);
        return;
      }
      peer.receives = true;
      peer.whenOver(fail);
      peer.store.stage(held.image, () => {
        peer.group.receiveSnapshot(message, (error) => {
          peer.receives = false;
          this.#back(peer, () => end(error === undefined), fail);
        });
      });
    };
    this.#to(message.to, "snapshot", deliver, fail);
  }

  renewLeases(to: MemberId, ids: readonly bigint[], onAnswer: LeaseAnswer): void {
    this.#ask(to, onAnswer, (peer, answer) => peer.group.leaseCalls.renewHere(ids, answer));
  }

  leaseLives(to: MemberId, ids: readonly bigint[], onAnswer: LeaseAnswer): void {
    this.#ask(to, onAnswer, (peer, answer) => peer.group.leaseCalls.livesHere(ids, answer));
  }

  #ask(
    to: MemberId,
    onAnswer: LeaseAnswer,
    question: (peer: DrivenMember, answer: LeaseAnswer) => void,
  ): void {
    const end = once(onAnswer);
    const fail = (): void => end(new AetherError("unhealthy"));
    const deliver = (peer: DrivenMember): void => {
      peer.whenOver(fail);
      question(peer, (answer) => this.#back(peer, () => end(answer), fail));
    };
    this.#to(to, "question", deliver, fail);
  }

  #to(
    to: MemberId,
    what: string,
    deliver: (peer: DrivenMember) => void,
    lose: () => void = () => {},
  ): void {
    const { world, number } = this.#self;
    const peer = world.memberOf(to);
    if (peer === undefined) return;
    const arrive = (): void => (peer.up ? deliver(peer) : lose());
    world.network.send({ from: number, to: peer.number, what, deliver: arrive, lose });
  }

  #back(peer: DrivenMember, deliver: () => void, lose: () => void = () => {}): void {
    const { number, world } = this.#self;
    const arrive = (): void => {
      if (this.#group() !== undefined) deliver();
    };
    world.network.send({ from: peer.number, to: number, what: "answer", deliver: arrive, lose });
  }
}

/** Only the first call counts. */
function once<T>(act: (value: T) => void): (value: T) => void {
  let done = false;
  return (value) => {
    if (!done) act(value);
    done = true;
  };
}
