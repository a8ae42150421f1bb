/**
 * Whether all members hold the same state. The leader compares its hash with the others' now and
 * then, and raises the CORRUPT alarm for whoever differs from the majority:
 *
 *   due ─▶ own hash, of revision R ─▶ the others' of R ─▶ a linearizable read ─▶ judge ─▶ alarms
 *              hashHere                  hashAt            of the same term
 *
 * The read makes the leader's state at least as new as every answer, and says that it still led
 * when the answers came: so what state-verdict.ts concludes from them is true. A round that loses
 * its term on the way ends without a word; the next leader begins one of its own.
 *
 * At every member tick() says what an alarm means for it, and a leader whose own state is corrupt
 * hands leadership over: it would send its state to those who need a copy.
 */
import { assert } from "../base/assert.ts";
import { ByteWriter } from "../base/bytes.ts";
import { AetherError } from "../base/errors.ts";
import type { Clock, Log } from "../base/ports.ts";
import {
  AlarmAction,
  type AlarmMember,
  AlarmRequest,
  AlarmType,
  type Member,
} from "../proto/gen/etcdserverpb.ts";
import { isJoint, isMember, membersOf } from "../raft/membership/configuration.ts";
import type { Configuration, MemberId } from "../raft/types.ts";
import { WHOLE_CLUSTER } from "../state/alarms.ts";
import { CommandKind } from "../state/command.ts";
import type { Outcome } from "../state/results.ts";
import { corruptAdvice } from "./corrupt-advice.ts";
import type { PeerProgress } from "./ports.ts";
import { type Judgement, judge, type StateHash } from "./state-verdict.ts";

/** After an election others are still catching up, and perhaps starting. */
const SOON_MS_MAX = 30_000;

/** Until a round that decided nothing is repeated. */
const RETRY_MS_MAX = 10_000;

/** Rounds in a row that a compaction may spoil; then it is left to the next interval. */
const SPOILT_ROUNDS_MAX = 5;

/**
 * Rounds in a row without a majority; then all writes are stopped. A member that is away may be
 * back by then, and one that had applied a little less than another looks like it the next time.
 */
const TIES_MAX = 3;

/** Between two attempts to hand leadership over: each of them holds writes up. */
const LEAVE_AGAIN_MS = 10_000;

export type HashDone = (hash: StateHash | AetherError) => void;

export interface ConsistencyOptions {
  readonly memberId: MemberId;
  /** Between two rounds; 0: there are none. */
  readonly intervalMs: number;
  /**
   * Between two looks whether something was compacted since the last round, which makes another one
   * due (etcd's CompactHashCheck, which compares at compactions); left out: nobody looks.
   */
  readonly compactedIntervalMs?: number | undefined;
}

/** What the check needs of a group (node/group.ts is one). */
export interface ConsistencyGroup {
  /** Replaced when a snapshot is installed. */
  readonly machine: {
    readonly compactRevision: number;
    alarms(): readonly AlarmMember[];
    hasAlarm(type: number, memberId: bigint): boolean;
    member(id: bigint): Member | undefined;
  };
  readonly term: number;
  readonly isLeader: boolean;
  /** An entry of the term is applied here. */
  readonly isReady: boolean;
  readonly configuration: Configuration;
  /** Runs `done` when everything that was decided before the call is applied here. */
  read(done: (error: AetherError | undefined) => void): void;
  propose(
    kind: CommandKind,
    bytes: Uint8Array,
    start: number,
    end: number,
    done: (outcome: Outcome) => void,
  ): void;
  /** At the leader: all members but itself, learners too. Else empty. */
  progress(): readonly PeerProgress[];
  transferLeadership(to: MemberId): void;
}

export interface ConsistencyPorts {
  readonly group: ConsistencyGroup;
  readonly clock: Clock;
  readonly log: Log;
  /** Hashes the newest state of this member, in slices; ends once it is not wanted any more. */
  readonly hashHere: (isWanted: () => boolean, done: HashDone) => void;
  /**
   * Asks `to` for the hash up to `revision`, or up to its own newest one if that is lower after it
   * has applied everything that was decided before the question. `compacted`: it is compacted
   * beyond the revision. Any other failure says nothing about its state. Answers in any case.
   */
  readonly hashAt: (to: MemberId, revision: number, done: HashDone) => void;
}

/** One comparison, from its beginning to its judgement. */
interface Round {
  readonly term: number;
  readonly startedMs: number;
  readonly answers: Map<MemberId, StateHash | AetherError>;
  own: StateHash | undefined;
  waiting: number;
}

export class Consistency {
  readonly #options: ConsistencyOptions;
  readonly #ports: ConsistencyPorts;
  readonly #body = new ByteWriter(64);
  /** The term in which we lead, as seen by the last tick; 0 if we do not. */
  #term = 0;
  #round: Round | undefined = undefined;
  #dueMs = 0;
  /** When to look for compactions again, and the point at which states were compared last. */
  #lookMs = 0;
  #comparedCompaction = -1;
  /** Rounds in a row without a majority, and with a compaction in between. */
  #ties = 0;
  #spoilt = 0;
  #leaveMs = 0;
  /** As seen by the last tick; another list with each change. */
  #alarms: readonly AlarmMember[] = [];
  #stopped = false;

  constructor(options: ConsistencyOptions, ports: ConsistencyPorts) {
    this.#options = options;
    this.#ports = ports;
  }

  /** To be called with every tick of the group, after it, at every member. */
  tick(): void {
    if (this.#stopped) return;
    const { group, clock } = this.#ports;
    this.#noticeAlarms(group.machine.alarms());
    if (!group.isLeader || !group.isReady) {
      this.#round = undefined;
      this.#term = 0;
      return;
    }
    const nowMs = clock.monotonicMs();
    if (group.term !== this.#term) this.#lead(group.term, nowMs);
    if (this.#isCorrupt(this.#options.memberId)) this.#leave(nowMs);
    else if (this.#round === undefined && this.#isDue(nowMs)) this.#maybeBegin(nowMs);
  }

  /** Ends the round that is under way, and begins no other. */
  stop(): void {
    this.#stopped = true;
    this.#round = undefined;
  }

  #lead(term: number, nowMs: number): void {
    this.#term = term;
    this.#round = undefined;
    this.#ties = 0;
    this.#spoilt = 0;
    this.#leaveMs = nowMs;
    this.#lookMs = nowMs + (this.#options.compactedIntervalMs ?? 0);
    this.#dueAfter(SOON_MS_MAX);
  }

  #isDue(nowMs: number): boolean {
    const { intervalMs, compactedIntervalMs } = this.#options;
    if (intervalMs > 0 && nowMs >= this.#dueMs) return true;
    if (compactedIntervalMs === undefined || nowMs < this.#lookMs) return false;
    this.#lookMs = nowMs + compactedIntervalMs;
    return this.#ports.group.machine.compactRevision !== this.#comparedCompaction;
  }

  #dueAfter(ms: number): void {
    this.#dueMs = this.#ports.clock.monotonicMs() + Math.min(ms, this.#options.intervalMs);
  }

  #maybeBegin(startedMs: number): void {
    const { intervalMs } = this.#options;
    const { group, hashHere } = this.#ports;
    const { configuration, term } = group;
    if (isJoint(configuration)) {
      this.#dueAfter(RETRY_MS_MAX); // it is about to be another one
      return;
    }
    this.#dueAfter(intervalMs);
    if (this.#others().length === 0) return;
    const round: Round = { term, startedMs, answers: new Map(), own: undefined, waiting: 0 };
    this.#round = round;
    hashHere(
      () => this.#isOn(round),
      (own) => this.#ask(round, own),
    );
  }

  /** Members to compare with; of those with an alarm of their own it is known. */
  #others(): MemberId[] {
    const { memberId } = this.#options;
    const all = membersOf(this.#ports.group.configuration);
    return all.filter((id) => id !== memberId && !this.#isCorrupt(id));
  }

  #ask(round: Round, own: StateHash | AetherError): void {
    if (!this.#isOn(round)) return;
    if (own instanceof AetherError) {
      this.#giveUp(own);
      return;
    }
    round.own = own;
    const others = this.#others();
    round.waiting = others.length;
    if (others.length === 0) this.#round = undefined; // removed meanwhile, or known to be corrupt
    for (const id of others) {
      this.#ports.hashAt(id, own.revision, (answer) => this.#answered(round, id, answer));
    }
  }

  #answered(round: Round, id: MemberId, answer: StateHash | AetherError): void {
    if (!this.#isOn(round)) return;
    round.answers.set(id, answer);
    round.waiting--;
    if (round.waiting > 0) return;
    this.#ports.group.read((error) => {
      if (!this.#isOn(round)) return;
      if (error === undefined) this.#conclude(round);
      else this.#giveUp(error);
    });
  }

  /** Whether nothing has ended the round, nor its term. */
  #isOn(round: Round): boolean {
    const { isLeader, term } = this.#ports.group;
    return this.#round === round && isLeader && term === round.term;
  }

  /** Ends a round that came to nothing. */
  #giveUp(error: AetherError): void {
    this.#ports.log.warn("the members' states were not compared", { reason: error.message });
    this.#round = undefined;
    this.#dueAfter(RETRY_MS_MAX);
  }

  #conclude(round: Round): void {
    const { own, answers } = round;
    assert(own !== undefined, "others are asked once the own hash is there");
    const { configuration, machine } = this.#ports.group;
    const { memberId: self, intervalMs } = this.#options;
    for (const id of answers.keys()) if (!isMember(configuration, id)) answers.delete(id);
    const { voters } = configuration;
    const { compactRevision } = machine;
    const judgement = judge({ self, voters, own, answers, compactRevision });
    this.#report(round, own, judgement);
    this.#round = undefined;
    const { verdict, later } = judgement;
    this.#ties = verdict.kind === "tie" ? (this.#ties + 1) % TIES_MAX : 0;
    this.#spoilt = later.length > 0 ? (this.#spoilt + 1) % SPOILT_ROUNDS_MAX : 0;
    this.#dueAfter(this.#ties + this.#spoilt > 0 ? RETRY_MS_MAX : intervalMs);
    if (this.#ties + this.#spoilt === 0) this.#comparedCompaction = own.compactRevision;
    if (verdict.kind === "wrong") for (const id of verdict.wrong) this.#raise(id);
    if (verdict.kind === "tie" && this.#ties === 0) this.#raise(WHOLE_CLUSTER);
  }

  #raise(memberID: bigint): void {
    const { group, log } = this.#ports;
    if (this.#isCorrupt(memberID)) return;
    const request = { action: AlarmAction.ACTIVATE, memberID, alarm: AlarmType.CORRUPT };
    AlarmRequest.encode(request, this.#body);
    const body = this.#body.view();
    group.propose(CommandKind.alarm, body, 0, body.length, (outcome) => {
      if (!(outcome instanceof AetherError)) return;
      const { message: reason } = outcome;
      log.error("an alarm was not raised", { member: this.#name(memberID), reason });
      this.#dueAfter(RETRY_MS_MAX);
    });
    this.#body.reset();
  }

  #report({ answers, startedMs }: Round, { revision }: StateHash, judgement: Judgement): void {
    const { log, clock } = this.#ports;
    const { verdict, groups, later, absent } = judgement;
    for (const id of absent) {
      const reason = String((answers.get(id) as AetherError).message);
      log.warn("a member's state was not compared", { member: this.#name(id), reason });
    }
    if (later.length > 0) {
      log.info("a compaction came in between: states are compared again", { revision });
    }
    const ms = Math.round(clock.monotonicMs() - startedMs);
    const states = groups.map((group) => group.map((id) => this.#name(id)).join(", ")).join(" | ");
    if (verdict.kind !== "equal") log.error("the members' states differ", { revision, states });
    else if (answers.size > absent.length + later.length) {
      log.info("the members' states are equal", { revision, members: states, ms });
    }
  }

  /** Says once of each alarm what it means, and what can be done. */
  #noticeAlarms(alarms: readonly AlarmMember[]): void {
    if (alarms === this.#alarms) return;
    const before = this.#alarms;
    this.#alarms = alarms;
    for (const { memberID, alarm } of alarms) {
      if (alarm !== AlarmType.CORRUPT) continue;
      if (before.some((each) => each.alarm === alarm && each.memberID === memberID)) continue;
      const { group, log } = this.#ports;
      const record = group.machine.member(memberID);
      log.error(corruptAdvice(memberID, memberID === this.#options.memberId, record));
    }
  }

  /** To the best voter whose state is not known to be wrong. Without one it leads on. */
  #leave(nowMs: number): void {
    this.#round = undefined;
    if (nowMs < this.#leaveMs) return;
    this.#leaveMs = nowMs + LEAVE_AGAIN_MS;
    const { group, log } = this.#ports;
    const { voters } = group.configuration;
    const heirs = group
      .progress()
      .filter(({ id, active }) => active && voters.includes(id) && !this.#isCorrupt(id));
    const [heir] = heirs.sort((a, b) => b.match - a.match);
    if (heir === undefined) {
      log.warn("it leads with a corrupt state: there is nobody to hand leadership over to");
      return;
    }
    log.warn("leadership is handed over: the state is corrupt", { to: this.#name(heir.id) });
    group.transferLeadership(heir.id);
  }

  #isCorrupt(memberId: bigint): boolean {
    return this.#ports.group.machine.hasAlarm(AlarmType.CORRUPT, memberId);
  }

  /** For people. */
  #name(id: bigint): string {
    const name = this.#ports.group.machine.member(id)?.name ?? "";
    return name === "" ? id.toString(16) : `${name} (${id.toString(16)})`;
  }
}
