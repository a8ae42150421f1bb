/**
 * Several groups over memory disks, with one clock and a network, all of which move only when the
 * test says so. Members are numbered from 1.
 */
import { expect } from "bun:test";
import type { Log } from "../../src/base/ports.ts";
import type { Founding } from "../../src/node/start.ts";
import { silentLog } from "../../src/observe/log.ts";
import {
  Member,
  MemberPromoteRequest,
  MemberRemoveRequest,
} from "../../src/proto/gen/etcdserverpb.ts";
import type { RaftConfig } from "../../src/raft/config.ts";
import type { ChangeStep } from "../../src/raft/membership/change.ts";
import { configurationOf } from "../../src/raft/membership/configuration.ts";
import { founding } from "../../src/raft/restore.ts";
import type { MemberId } from "../../src/raft/types.ts";
import { CommandKind } from "../../src/state/command.ts";
import { encoded } from "../state/driver.ts";
import { Call, ELECTION_TICKS, FakeClock, TICK_MS } from "./driven-group.ts";
import { DrivenMember, type MemberWorld } from "./driven-member.ts";
import { DrivenNetwork } from "./driven-network.ts";

export const ELECTION_MS = ELECTION_TICKS * TICK_MS;

/** More rounds than anything should take to come to rest. */
const ROUNDS_MAX = 10_000;

export interface ClusterOptions {
  readonly members?: number;
  readonly snapshotTriggerEntries?: number;
  readonly keptEntries?: number;
  readonly raft?: Partial<RaftConfig>;
  readonly logger?: Log;
}

export const idOf = (number: number): MemberId => BigInt(number) as MemberId;

export class DrivenCluster {
  readonly clock = new FakeClock();
  readonly network = new DrivenNetwork();
  readonly members = new Map<number, DrivenMember>();
  readonly #world: MemberWorld;

  /** The founders, started. */
  constructor(options: ClusterOptions = {}) {
    const { members: count = 3, logger = silentLog, raft = {} } = options;
    this.#world = {
      ...{ network: this.network, clock: this.clock, logger, raft },
      snapshotTriggerEntries: options.snapshotTriggerEntries ?? 10_000,
      keptEntries: options.keptEntries ?? 1000,
      memberOf: (id) => this.members.get(Number(id)),
    };
    const numbers = Array.from({ length: count }, (_, i) => i + 1);
    const founders: Founding = {
      ...founding(configurationOf(numbers.map(idOf))),
      members: numbers.map((number) => recordOf(number)),
    };
    for (const number of numbers) {
      this.members.set(number, new DrivenMember(number, this.#world, founders));
    }
    for (const member of this.members.values()) member.start();
  }

  /** A cluster whose leader is ready, and its leader. */
  static leading(options: ClusterOptions = {}): { cluster: DrivenCluster; leader: DrivenMember } {
    const cluster = new DrivenCluster(options);
    return { cluster, leader: cluster.elect() };
  }

  member(number: number): DrivenMember {
    const member = this.members.get(number);
    if (member === undefined) throw new Error(`there is no member ${number}`);
    return member;
  }

  /** Who leads in the latest term, if anybody does. */
  get leader(): DrivenMember | undefined {
    const leaders = [...this.members.values()].filter(({ up, group }) => up && group.isLeader);
    return leaders.sort((a, b) => b.group.term - a.group.term)[0];
  }

  /** Those that are not `member`. */
  others(member: DrivenMember): DrivenMember[] {
    return [...this.members.values()].filter((other) => other !== member);
  }

  /** Lets time pass until somebody else than `before` leads and all that can hear it know. */
  elect(before?: DrivenMember): DrivenMember {
    for (let ms = 0; ms <= 6 * ELECTION_MS; ms += TICK_MS) {
      const { leader } = this;
      if (leader !== undefined && leader !== before && leader.group.isReady) return leader;
      this.pass(TICK_MS);
    }
    throw new Error("nobody was elected");
  }

  /** Turns, disks and the network until nothing moves. */
  settle(): void {
    for (let round = 0; round < ROUNDS_MAX; round++) {
      let moved = false;
      for (const member of this.members.values()) moved = member.work() || moved;
      while (this.network.move(({ to }) => !this.member(to).paused)) moved = true;
      if (!moved) return;
    }
    throw new Error("the cluster does not come to rest");
  }

  /** One parcel, turn or write after the other; false if everything came to rest before `count`. */
  moveSome(count: number): boolean {
    for (let i = 0; i < count; i++) if (!this.#moveOne()) return false;
    return true;
  }

  /** One tick of every member. */
  tick(): void {
    this.clock.nowMs += TICK_MS;
    for (const member of this.members.values()) member.tick();
  }

  /** Lets time pass, everything moving along. */
  pass(ms: number): void {
    for (let passed = 0; passed < ms; passed += TICK_MS) {
      this.tick();
      this.settle();
    }
  }

  isolate(member: DrivenMember): void {
    this.network.isolate(
      member.number,
      this.others(member).map(({ number }) => number),
    );
  }

  /** A member that nobody knows yet, started with nothing. */
  newcomer(number: number): DrivenMember {
    const member = new DrivenMember(number, this.#world, undefined);
    this.members.set(number, member);
    member.start();
    return member;
  }

  /** Asks `leader` to add, remove or promote, with the record of it; then does `onEnd`. */
  change(
    leader: DrivenMember,
    action: "add" | "learn" | "remove" | "promote",
    number: number,
    onEnd: () => void = () => {},
  ): Call {
    const call = new Call();
    const { step, kind, body } = changeOf(action, number);
    leader.group.proposeChange({ steps: [step] }, kind, body, (outcome) => {
      call.done(outcome);
      onEnd();
    });
    return call;
  }

  /** All that run have the same state, and every invariant holds. */
  expectAgreement(): void {
    const running = [...this.members.values()].filter(({ up }) => up);
    const states = running.map((member) => {
      const { appliedIndex, machine, configuration } = member.group;
      member.group.verify();
      const contents = member.contents();
      return { appliedIndex, revision: machine.revision, configuration, contents };
    });
    for (const state of states) expect(state).toEqual(states[0] as (typeof states)[0]);
  }

  #moveOne(): boolean {
    if (this.network.move(({ to }) => !this.member(to).paused)) return true;
    const members = [...this.members.values()];
    return members.some((member) => member.workOnce()) || members.some((member) => member.sync());
  }
}

function recordOf(number: number, isLearner = false): Member {
  const peerURLs = [`http://m${number}:2380`];
  return Member.create({ ID: idOf(number), name: `m${number}`, peerURLs, isLearner });
}

function changeOf(
  action: "add" | "learn" | "remove" | "promote",
  number: number,
): { readonly step: ChangeStep; readonly kind: CommandKind; readonly body: Uint8Array } {
  const id = idOf(number);
  switch (action) {
    case "add":
    case "learn": {
      const body = encoded(Member, recordOf(number, action === "learn"));
      const step = { action: action === "add" ? "add-voter" : "add-learner", id } as const;
      return { step, kind: CommandKind.memberAdd, body };
    }
    case "promote": {
      const body = encoded(MemberPromoteRequest, { ID: id });
      return { step: { action: "add-voter", id }, kind: CommandKind.memberPromote, body };
    }
    case "remove": {
      const body = encoded(MemberRemoveRequest, { ID: id });
      return { step: { action: "remove", id }, kind: CommandKind.memberRemove, body };
    }
  }
}
