/**
 * Renewals of leases, and questions what is left of them, at any member. Only the leader counts,
 * so here they are done, or passed on to it, those of a turn together:
 *
 *   renew() ─┬─ leader ─▶ confirmed by a read index ─▶ Expiry ─────────────────▶ answer
 *            └─ follower ─▶ one call a turn to the leader ─▶ its here() ─ ... ─▶ answer
 *                 ▲            │ not_leader, unhealthy, timeout; its end is under way
 *                 └─ tick() ◀──┘ until the wait for a leader is over
 *
 * A success must not be a lie (etcd's #20615): the leader confirms itself after the call came, and
 * again if it was away for so long in between that others may have elected somebody.
 */
import { AetherError } from "../base/errors.ts";
import type { Clock } from "../base/ports.ts";
import { type Turn, TurnPhase } from "../base/turn.ts";
import type { MemberId } from "../raft/types.ts";
import type { Expiry } from "./expiry.ts";
import type { LeaseAnswer, LeaseLife, Transport } from "./ports.ts";
import type { ReadDone } from "./reads.ts";

/** Leases in one call to the leader. */
const CALL_LEASES_MAX = 10_000;

/** Calls that wait here or at the leader; beyond it they are refused. */
export const LEASE_CALLS_MAX = 100_000;

/** What the calls need of their group. */
export interface LeaseCallsGroup {
  readonly isLeader: boolean;
  readonly term: number;
  /** NOBODY while unknown. */
  readonly leader: MemberId;
  read(done: ReadDone): void;
}

export interface LeaseCallsParts {
  readonly group: LeaseCallsGroup;
  readonly expiry: Expiry;
  readonly transport: Transport;
  readonly clock: Clock;
  readonly turn: Turn;
  /** How long to look for a leader, in ms. */
  readonly leaderWaitMs: number;
  /** A leader that was away for so long confirms itself again. */
  readonly absenceMs: number;
}

type Kind = "renew" | "look";
type LifeDone = (life: LeaseLife | AetherError) => void;

interface Call {
  readonly kind: Kind;
  readonly id: bigint;
  readonly askedMs: number;
  readonly done: LifeDone;
}

export class LeaseCalls {
  readonly #parts: LeaseCallsParts;
  #gathered: Call[] = [];
  #waiting = 0;
  #armed = false;
  #stopped = false;
  readonly #run = (): void => this.#send();

  constructor(parts: LeaseCallsParts) {
    this.#parts = parts;
  }

  /** Renews a lease; the whole time it has now, or none if nobody knows it. */
  renew(id: bigint, done: LifeDone): void {
    this.#ask("renew", id, done);
  }

  /** What is left of a lease. */
  look(id: bigint, done: LifeDone): void {
    this.#ask("look", id, done);
  }

  /** Renewals passed on by a follower, or of our own: not_leader unless this member leads. */
  renewHere(ids: readonly bigint[], done: LeaseAnswer): void {
    const { group, expiry, clock } = this.#parts;
    this.#confirmed(done, () => {
      const { term } = group;
      expiry.forgetCheckpoints(ids, { nowMs: clock.monotonicMs(), term }, (error) => {
        if (error !== undefined) done(error);
        else if (!group.isLeader || group.term !== term) done(new AetherError("not_leader"));
        else done(ids.map((id) => expiry.renew(id, clock.monotonicMs())));
      });
    });
  }

  /** Questions passed on by a follower, or of our own: not_leader unless this member leads. */
  livesHere(ids: readonly bigint[], done: LeaseAnswer): void {
    this.#confirmed(done, () => done(ids.map((id) => this.#life(id))));
  }

  /** Tries again what found no leader, and gives up what has waited for too long. */
  tick(): void {
    if (this.#gathered.length > 0) this.#send();
  }

  stop(): void {
    this.#stopped = true;
    for (const call of this.#gathered.splice(0)) this.#answer(call, new AetherError("stopped"));
  }

  #ask(kind: Kind, id: bigint, done: LifeDone): void {
    if (this.#stopped) done(new AetherError("stopped"));
    else if (this.#waiting >= LEASE_CALLS_MAX) {
      done(new AetherError("too_many_requests", "too many renewals wait for the leader"));
    } else {
      this.#waiting++;
      const askedMs = this.#parts.clock.monotonicMs();
      this.#gathered.push({ kind, id, askedMs, done });
      if (this.#armed) return;
      this.#armed = true;
      this.#parts.turn.after(TurnPhase.PROPOSE, this.#run);
    }
  }

  #send(): void {
    this.#armed = false;
    const calls = this.#gathered;
    this.#gathered = [];
    for (const kind of ["renew", "look"] as const) {
      const ofKind = calls.filter((call) => call.kind === kind);
      for (let at = 0; at < ofKind.length; at += CALL_LEASES_MAX) {
        this.#sendSome(kind, ofKind.slice(at, at + CALL_LEASES_MAX));
      }
    }
  }

  #sendSome(kind: Kind, calls: readonly Call[]): void {
    const { group, transport } = this.#parts;
    const ids = calls.map(({ id }) => id);
    const onAnswer: LeaseAnswer = (answer) => this.#answered(calls, answer);
    if (group.isLeader && kind === "renew") this.renewHere(ids, onAnswer);
    else if (group.isLeader) this.livesHere(ids, onAnswer);
    else if (group.leader === 0n) onAnswer(new AetherError("no_leader"));
    else if (kind === "renew") transport.renewLeases(group.leader, ids, onAnswer);
    else transport.leaseLives(group.leader, ids, onAnswer);
  }

  #answered(calls: readonly Call[], answer: readonly LeaseLife[] | AetherError): void {
    for (let i = 0; i < calls.length; i++) {
      const call = calls[i] as Call;
      const life = answer instanceof AetherError ? answer : answer[i];
      if (life === undefined) this.#answer(call, tooShort());
      else if (life instanceof AetherError) this.#failed(call, life);
      else if (call.kind === "renew" && life.leftMs === 0) this.#failed(call, ending());
      else this.#answer(call, life);
    }
  }

  /** Tries again with the next tick what may go better then. */
  #failed(call: Call, error: AetherError): void {
    const waitedMs = this.#parts.clock.monotonicMs() - call.askedMs;
    const isPatient = waitedMs < this.#parts.leaderWaitMs && !this.#stopped;
    if (isPatient && isPassing(error)) this.#gathered.push(call);
    else this.#answer(call, error);
  }

  #answer({ done }: Call, life: LeaseLife | AetherError): void {
    this.#waiting--;
    done(life);
  }

  /**
   * Runs `act` when this member has confirmed that it leads, after the call came and not long ago:
   * it may have been away since, and others may have elected somebody.
   */
  #confirmed(done: LeaseAnswer, act: () => void, sinceMs = this.#parts.clock.monotonicMs()): void {
    const { group, clock, absenceMs, leaderWaitMs } = this.#parts;
    const { term } = group;
    const askedMs = clock.monotonicMs();
    if (!group.isLeader) done(new AetherError("not_leader"));
    else if (askedMs - sinceMs > leaderWaitMs) done(new AetherError("timeout"));
    else {
      group.read((error) => {
        if (error !== undefined) done(error);
        else if (!group.isLeader || group.term !== term) done(new AetherError("not_leader"));
        else if (clock.monotonicMs() - askedMs > absenceMs) this.#confirmed(done, act, sinceMs);
        else act();
      });
    }
  }

  #life(id: bigint): LeaseLife {
    const { expiry, clock } = this.#parts;
    const leftMs = expiry.remainingMs(id, clock.monotonicMs());
    return { id, leftMs, ttlSeconds: expiry.ttlSeconds(id) ?? 0 };
  }
}

function tooShort(): AetherError {
  return new AetherError("unhealthy", "the leader's answer is too short");
}

/** A lease that has run out is not renewed; whether it really ends is known soon. */
function ending(): AetherError {
  return new AetherError("timeout", "the lease has run out, and its end is not decided");
}

/** Another attempt may go better: the leader was about to change, or could not be reached. */
function isPassing({ code }: AetherError): boolean {
  return PASSING.has(code);
}

const PASSING: ReadonlySet<string> = new Set([
  "not_leader",
  "not_primary_lessor",
  "no_leader",
  "leader_changed",
  "unhealthy",
  "timeout",
]);
