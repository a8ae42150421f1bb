/**
 * Who belongs to the cluster, for whoever asks at any member: adding, removing, changing and
 * promoting members, listing them, and handing leadership over.
 *
 *   call ─┬─ we lead ────────────▶ LeaderChanges ─────────▶ answer, with the members here
 *         ├─ somebody else leads ▶ forward ─▶ its index is applied here ─▶ the same
 *         └─ nobody, or it lost leadership before it did anything ▶ again with the next tick
 *
 * A change is tried again only when it certainly was not done. Everything ends after the request
 * timeout at the latest.
 */
import { AetherError, type ErrorCode } from "../base/errors.ts";
import type { Clock } from "../base/ports.ts";
import { MemberChangePeerRequest, type MemberChangePeerResponse } from "../proto/gen/aether.v1.ts";
import type {
  Member,
  MemberAddRequest,
  MemberPromoteRequest,
  MemberRemoveRequest,
  MemberUpdateRequest,
} from "../proto/gen/etcdserverpb.ts";
import { type MemberId, NOBODY } from "../raft/types.ts";
import { LeaderChanges, type LeaderOptions } from "./leader-changes.ts";
import type { ChangeDone, ForwardChange, MembershipGroup } from "./ports.ts";

/** Election timeouts after which a change that nobody has taken is given up. */
const LEADERLESS_ELECTIONS = 3;

/** Answers that promise that nothing was done and nothing will be. */
const UNDONE: readonly ErrorCode[] = ["not_leader", "leader_changed"];

/** Answers of somebody who may have done it and is gone. */
const BROKEN: readonly ErrorCode[] = ["unhealthy", "timeout", "stopped"];

export interface MembershipPorts {
  readonly group: MembershipGroup;
  readonly clock: Clock;
  readonly forward: ForwardChange;
}

/** The members after a change. */
export interface Changed {
  /** The member that was added. */
  readonly member: Member | undefined;
  /** In order of id; borrowed. */
  readonly members: readonly Member[];
}

export type ChangedDone = (answer: Changed | AetherError) => void;
export type ListDone = (answer: readonly Member[] | AetherError) => void;
export type MoveDone = (error: AetherError | undefined) => void;

/** A call on its way. */
interface Call {
  readonly request: MemberChangePeerRequest;
  readonly done: ChangedDone;
  readonly startedMs: number;
  /** Nobody has it: no leader was known, or who was asked does not lead. */
  isWaiting: boolean;
}

/** A wish that somebody else should lead. */
interface Move {
  readonly target: MemberId;
  readonly done: MoveDone;
  readonly startedMs: number;
}

export class Membership {
  readonly #options: LeaderOptions;
  readonly #ports: MembershipPorts;
  readonly #leaderChanges: LeaderChanges;
  readonly #calls = new Set<Call>();
  readonly #moves = new Set<Move>();
  #stopped = false;

  constructor(options: LeaderOptions, ports: MembershipPorts) {
    this.#options = options;
    this.#ports = ports;
    this.#leaderChanges = new LeaderChanges(options, ports.group, ports.clock);
  }

  /** bad_member_urls, peer_urls_exist, too_many_learners, too_few_started_members, unhealthy. */
  add(add: MemberAddRequest, done: ChangedDone): void {
    this.#change({ add }, done);
  }

  /** member_not_found, too_few_started_members, unhealthy. Ours may be the id. */
  remove(remove: MemberRemoveRequest, done: ChangedDone): void {
    this.#change({ remove }, done);
  }

  /** Other peer URLs: member_not_found, bad_member_urls, peer_urls_exist. */
  update(update: MemberUpdateRequest, done: ChangedDone): void {
    this.#change({ update }, done);
  }

  /** member_not_found, not_a_learner, learner_not_ready, too_few_started_members, unhealthy. */
  promote(promote: MemberPromoteRequest, done: ChangedDone): void {
    this.#change({ promote }, done);
  }

  /** The members as they are here, or with everything that was decided before the call. */
  list(linearizable: boolean, done: ListDone): void {
    const { group } = this.#ports;
    if (!linearizable) done(group.machine.members());
    else group.read((error) => done(error ?? group.machine.members()));
  }

  /** A change that another member forwards; not_leader if that is not this one. */
  changeHere(request: MemberChangePeerRequest, done: ChangeDone): void {
    this.#leaderChanges.change(request, done);
  }

  /**
   * Hands leadership over to `target`; runs `done` when it leads. not_leader, bad_transferee, or
   * timeout_leader_transfer after an election timeout: then it may lead yet.
   */
  moveLeader(target: MemberId, done: MoveDone): void {
    const { group, clock } = this.#ports;
    if (this.#stopped) done(new AetherError("stopped"));
    else if (!group.isLeader) done(new AetherError("not_leader"));
    else if (group.leader === target) done(undefined);
    else {
      try {
        group.transferLeadership(target);
      } catch (error) {
        if (!(error instanceof AetherError)) throw error;
        done(error);
        return;
      }
      this.#moves.add({ target, done, startedMs: clock.monotonicMs() });
    }
  }

  /** To be called with every tick of the group, after it. */
  tick(): void {
    const nowMs = this.#ports.clock.monotonicMs();
    this.#leaderChanges.tick();
    for (const move of this.#moves) this.#checkMove(move, nowMs);
    for (const call of this.#calls) this.#checkCall(call, nowMs);
  }

  /** Answers everything that waits with "stopped", and whatever comes later; once. */
  stop(): void {
    this.#stopped = true;
    this.#leaderChanges.stop();
    for (const call of [...this.#calls]) this.#end(call, new AetherError("stopped"));
    for (const move of this.#moves) move.done(new AetherError("stopped"));
    this.#moves.clear();
  }

  #change(named: Partial<MemberChangePeerRequest>, done: ChangedDone): void {
    if (this.#stopped) {
      done(new AetherError("stopped"));
      return;
    }
    const startedMs = this.#ports.clock.monotonicMs();
    const request = MemberChangePeerRequest.create(named);
    const call: Call = { request, done, startedMs, isWaiting: false };
    this.#calls.add(call);
    this.#route(call);
  }

  #route(call: Call): void {
    const { group, forward } = this.#ports;
    const onAnswer: ChangeDone = (answer) => this.#answered(call, answer);
    if (group.isLeader) this.#leaderChanges.change(call.request, onAnswer);
    else if (group.leader !== NOBODY) forward(group.leader, call.request, onAnswer);
    else call.isWaiting = true;
  }

  #answered(call: Call, answer: MemberChangePeerResponse | AetherError): void {
    if (answer instanceof AetherError) {
      const gone = call.request.remove?.ID;
      const isBroken = BROKEN.includes(answer.code) && gone !== undefined;
      if (isBroken && this.#ports.group.machine.isRemoved(gone)) {
        // The leader removed itself and went before its answer was heard.
        this.#end(call, { member: undefined, members: this.#membersAfter(call) });
      } else if (UNDONE.includes(answer.code)) call.isWaiting = true;
      else this.#end(call, answer);
      return;
    }
    const { index, member } = answer;
    const finish = (): void => this.#end(call, { member, members: this.#membersAfter(call) });
    // Nobody sends the log to a member that is gone, so it would wait for its own end in vain.
    if (call.request.remove?.ID === this.#options.memberId) finish();
    else this.#ports.group.whenApplied(index, finish);
  }

  #membersAfter({ request }: Call): readonly Member[] {
    const members = this.#ports.group.machine.members();
    const gone = request.remove?.ID;
    if (members.every((member) => member.ID !== gone)) return members;
    return members.filter((member) => member.ID !== gone);
  }

  #checkCall(call: Call, nowMs: number): void {
    const { requestTimeoutMs, electionMs } = this.#options;
    const waitedMs = nowMs - call.startedMs;
    if (waitedMs > requestTimeoutMs) this.#end(call, new AetherError("timeout"));
    else if (!call.isWaiting) return;
    else if (waitedMs > LEADERLESS_ELECTIONS * electionMs) {
      this.#end(call, new AetherError("no_leader"));
    } else {
      call.isWaiting = false;
      this.#route(call);
    }
  }

  #checkMove(move: Move, nowMs: number): void {
    const { target, done, startedMs } = move;
    let code: ErrorCode | undefined;
    if (this.#ports.group.leader !== target) {
      if (nowMs - startedMs <= this.#options.electionMs) return;
      code = "timeout_leader_transfer";
    }
    this.#moves.delete(move);
    done(code === undefined ? undefined : new AetherError(code));
  }

  #end(call: Call, answer: Changed | AetherError): void {
    if (this.#calls.delete(call)) call.done(answer);
  }
}
