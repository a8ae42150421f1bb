/**
 * A few members that share one log, without Raft: what is proposed at the leader is decided, and
 * each member applies it when told. Enough of a group for membership to be driven call by call.
 */
import { assert } from "../../src/base/assert.ts";
import { AetherError } from "../../src/base/errors.ts";
import type { LeaderOptions } from "../../src/cluster/leader-changes.ts";
import { Membership } from "../../src/cluster/membership.ts";
import type { ChangeDone, MembershipGroup, PeerProgress } from "../../src/cluster/ports.ts";
import type { MemberChangePeerRequest } from "../../src/proto/gen/aether.v1.ts";
import { Member } from "../../src/proto/gen/etcdserverpb.ts";
import { applyChange, type ChangeStep } from "../../src/raft/membership/change.ts";
import { configurationOf } from "../../src/raft/membership/configuration.ts";
import { type Configuration, type MemberId, NOBODY } from "../../src/raft/types.ts";
import type { CommandKind } from "../../src/state/command.ts";
import { StateMachine } from "../../src/state/machine.ts";
import type { Outcome } from "../../src/state/results.ts";
import { batchOf } from "../state/driver.ts";
import { MemoryHistory } from "../state/memory-history.ts";

export const ELECTION_MS = 1000;
export const REQUEST_TIMEOUT_MS = 7000;
export const TICK_MS = 100;

/** The first index after the founding. */
const FIRST_INDEX = 2;

export const memberId = (id: bigint): MemberId => id as MemberId;

/** A member as it is founded; started unless told otherwise. */
export function founder(ID: bigint, more: Partial<Member> = {}): Member {
  const peerURLs = [`http://m${ID}:2380`];
  return Member.create({
    ID,
    name: `m${ID}`,
    peerURLs,
    clientURLs: [`http://m${ID}:2379`],
    ...more,
  });
}

interface LogEntry {
  readonly steps: readonly ChangeStep[];
  readonly kind: CommandKind;
  readonly body: Uint8Array;
  readonly origin: FakeGroup;
  readonly done: (outcome: Outcome) => void;
}

export class FakeCluster {
  readonly log: LogEntry[] = [];
  readonly groups = new Map<bigint, FakeGroup>();
  readonly memberships = new Map<bigint, Membership>();
  readonly founders: readonly Member[];
  /** Changes on their way to the leader. */
  readonly forwarded: { to: MemberId; request: MemberChangePeerRequest; done: ChangeDone }[] = [];
  readonly #options: Partial<LeaderOptions>;
  /** The first leads. */
  leader: MemberId;
  nowMs = 50_000;
  wallMs = 1_700_000_000_000;
  /** Members that are not heard of and apply nothing. */
  readonly down = new Set<bigint>();
  /** Members whose log ends here, as the leader knows. */
  readonly matches = new Map<bigint, number>();
  /** A leader that was asked to hand over does so. */
  transfers = true;

  constructor(founders: readonly Member[], options: Partial<LeaderOptions> = {}) {
    this.founders = founders;
    this.#options = options;
    this.leader = memberId((founders[0] as Member).ID);
    for (const { ID } of founders) this.start(ID);
  }

  get committedIndex(): number {
    return FIRST_INDEX - 1 + this.log.length;
  }

  get lead(): FakeGroup {
    return this.group(this.leader);
  }

  group(id: bigint): FakeGroup {
    const group = this.groups.get(id);
    assert(group !== undefined, "the member was started");
    return group;
  }

  at(id: bigint): Membership {
    const membership = this.memberships.get(id);
    assert(membership !== undefined, "the member was started");
    return membership;
  }

  /** A member that begins where the log does, whoever it is. */
  start(id: bigint): void {
    const group = new FakeGroup(this, memberId(id));
    this.groups.set(id, group);
    const options: LeaderOptions = {
      memberId: memberId(id),
      strict: true,
      learnersMax: 1,
      electionMs: ELECTION_MS,
      requestTimeoutMs: REQUEST_TIMEOUT_MS,
      ...this.#options,
    };
    const clock = { monotonicMs: () => this.nowMs, wallMs: () => this.wallMs };
    const forward = (to: MemberId, request: MemberChangePeerRequest, done: ChangeDone): void => {
      this.forwarded.push({ to, request, done });
    };
    this.memberships.set(id, new Membership(options, { group, clock, forward }));
  }

  /** A command without a change of Raft's configuration is decided. */
  decide(kind: CommandKind, body: Uint8Array): void {
    this.log.push({ steps: [], kind, body, origin: this.lead, done: () => {} });
  }

  /** Everything that can happen without time passing happens. */
  run(): void {
    for (let more = true; more; ) {
      more = false;
      for (const { to, request, done } of this.forwarded.splice(0)) {
        more = true;
        if (this.down.has(to)) done(new AetherError("unhealthy"));
        else this.at(to).changeHere(request, done);
      }
      for (const [id, group] of this.groups) {
        if (!this.down.has(id) && group.step()) more = true;
      }
    }
    this.#maybeRetire();
  }

  /** One tick of everybody, and what follows from it. */
  tick(ms = TICK_MS): void {
    this.nowMs += ms;
    this.wallMs += ms;
    for (const membership of this.memberships.values()) membership.tick();
    this.run();
  }

  /** A leader that is no voter any more leads until the voters know it. */
  #maybeRetire(): void {
    if (this.leader === NOBODY) return;
    const { voters } = this.lead.configuration;
    if (voters.includes(this.leader)) return;
    const know = voters.filter((id) => this.groups.get(id)?.appliedIndex === this.committedIndex);
    if (know.length > voters.length / 2) this.leader = know[0] as MemberId;
  }
}

export class FakeGroup implements MembershipGroup {
  readonly machine = new StateMachine(new MemoryHistory());
  readonly #cluster: FakeCluster;
  readonly #id: MemberId;
  configuration: Configuration;
  appliedIndex = FIRST_INDEX - 1;
  readonly #reads: ((error: AetherError | undefined) => void)[] = [];
  #waiting: { index: number; done: () => void }[] = [];
  /** The next read fails with this. */
  readError: AetherError | undefined = undefined;
  transferee = NOBODY;

  constructor(cluster: FakeCluster, id: MemberId) {
    this.#cluster = cluster;
    this.#id = id;
    const ids = (isLearner: boolean): MemberId[] =>
      cluster.founders.filter((each) => each.isLearner === isLearner).map(({ ID }) => memberId(ID));
    this.configuration = configurationOf(ids(false), ids(true));
    this.machine.found(cluster.founders, FIRST_INDEX - 1, 1);
  }

  get isLeader(): boolean {
    return this.#cluster.leader === this.#id;
  }
  get leader(): MemberId {
    return this.#cluster.leader;
  }
  get committedIndex(): number {
    return this.#cluster.committedIndex;
  }

  proposeChange(
    { steps }: { readonly steps: readonly ChangeStep[] },
    kind: CommandKind,
    body: Uint8Array,
    done: (outcome: Outcome) => void,
  ): void {
    if (!this.isLeader) {
      done(new AetherError("not_leader"));
      return;
    }
    if (this.appliedIndex < this.committedIndex) {
      done(new AetherError("unhealthy", "an earlier change is not applied yet"));
      return;
    }
    const change = { transition: "auto" as const, steps, context: body };
    const result = applyChange(this.configuration, change);
    if (!result.ok) done(new AetherError("invalid_argument", result.why));
    else this.#cluster.log.push({ steps, kind, body, origin: this, done });
  }

  read(done: (error: AetherError | undefined) => void): void {
    this.#reads.push(done);
  }

  progress(): readonly PeerProgress[] {
    if (!this.isLeader) return [];
    const { voters, learners } = this.configuration;
    const { matches, committedIndex, down } = this.#cluster;
    return [...voters, ...learners]
      .filter((id) => id !== this.#id)
      .map((id) => ({ id, match: matches.get(id) ?? committedIndex, active: !down.has(id) }));
  }

  transferLeadership(to: MemberId): void {
    if (!this.isLeader) throw new AetherError("not_leader");
    if (!this.configuration.voters.includes(to)) throw new AetherError("bad_transferee");
    this.transferee = to;
  }

  whenApplied(index: number, done: () => void): void {
    if (index <= this.appliedIndex) done();
    else this.#waiting.push({ index, done });
  }

  /** Applies one entry, or answers what waits; false if there was nothing to do. */
  step(): boolean {
    if (this.appliedIndex < this.committedIndex) {
      this.#apply(this.#cluster.log[this.appliedIndex + 1 - FIRST_INDEX] as LogEntry);
      return true;
    }
    if (this.transferee !== NOBODY && this.#cluster.transfers) {
      this.#cluster.leader = this.transferee;
      this.transferee = NOBODY;
      return true;
    }
    const due = this.#waiting.filter(({ index }) => index <= this.appliedIndex);
    this.#waiting = this.#waiting.filter(({ index }) => index > this.appliedIndex);
    for (const { done } of due) done();
    const reads = this.#reads.splice(0);
    const error = this.readError;
    if (reads.length > 0) this.readError = undefined;
    for (const done of reads) done(error);
    return due.length + reads.length > 0;
  }

  /** As the driver: the command counts if Raft takes the change; Raft counts it last. */
  #apply({ steps, kind, body, origin, done }: LogEntry): void {
    const change = { transition: "auto" as const, steps, context: body };
    const result = applyChange(this.configuration, change);
    assert(result.ok || steps.length === 0, "the leader proposes only what fits");
    const index = this.appliedIndex + 1;
    const payload = batchOf([{ kind, body }]);
    this.machine.apply(index, 1, payload, (_, outcome) => {
      if (origin === this) done(outcome);
    });
    if (result.ok) this.configuration = result.configuration;
    this.appliedIndex = index;
  }
}
