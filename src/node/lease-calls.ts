/**
 * Renewals of leases, and questions what is left of them, at any member. Only the leader counts,
 * so here they are done, or passed on to it, those of a turn together:
 *
 *   renew() ─┬─ leader ─▶ confirmed by a read index ─▶ Expiry ─────────────────▶ answer
 *            └─ follower ─▶ one call a turn to the leader ─▶ its here() ─ ... ─▶ answer
 *                 ▲            │ not_leader, unhealthy, timeout
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

/** Calls that wait here; beyond it they are refused. */
const WAITING_MAX = 100_000;

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
    this.#confirmed(done, () => this.#renewAll(ids, done));
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
    for (const { done } of this.#gathered.splice(0)) done(new AetherError("stopped"));
  }

  #ask(kind: Kind, id: bigint, done: LifeDone): void {
    if (this.#stopped) done(new AetherError("stopped"));
    else if (this.#gathered.length >= WAITING_MAX) {
      done(new AetherError("too_many_requests", "too many renewals wait for a leader"));
    } else {
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
    if (!(answer instanceof AetherError)) {
      for (let i = 0; i < calls.length; i++) {
        const life = answer[i] ?? new AetherError("unhealthy", "the leader's answer is too short");
        (calls[i] as Call).done(life);
      }
      return;
    }
    const nowMs = this.#parts.clock.monotonicMs();
    for (const call of calls) {
      const patient = nowMs - call.askedMs < this.#parts.leaderWaitMs;
      if (isPassing(answer) && patient && !this.#stopped) this.#gathered.push(call);
      else call.done(answer);
    }
  }

  /** Runs `act` when this member has confirmed that it leads, after the call came. */
  #confirmed(done: LeaseAnswer, act: () => void): void {
    const { group, clock } = this.#parts;
    const { term } = group;
    const askedMs = clock.monotonicMs();
    if (!group.isLeader) {
      done(new AetherError("not_leader"));
      return;
    }
    group.read((error) => {
      if (error !== undefined) done(error);
      else if (!group.isLeader || group.term !== term) done(new AetherError("not_leader"));
      else if (clock.monotonicMs() - askedMs > this.#parts.absenceMs) this.#confirmed(done, act);
      else act();
    });
  }

  #renewAll(ids: readonly bigint[], done: LeaseAnswer): void {
    const { expiry, clock } = this.#parts;
    const nowMs = clock.monotonicMs();
    const lives: LeaseLife[] = [];
    let waiting = ids.length;
    let failure: AetherError | undefined;
    if (waiting === 0) done(lives);
    for (const [position, id] of ids.entries()) {
      expiry.renew(id, nowMs, (ttl) => {
        if (ttl instanceof AetherError) failure = ttl;
        else {
          const leftMs = ttl === 0 ? undefined : ttl * 1000;
          lives[position] = { id, leftMs, ttlSeconds: ttl };
        }
        waiting--;
        if (waiting === 0) done(failure ?? lives);
      });
    }
  }

  #life(id: bigint): LeaseLife {
    const { expiry, clock } = this.#parts;
    const leftMs = expiry.remainingMs(id, clock.monotonicMs());
    return { id, leftMs, ttlSeconds: expiry.ttlSeconds(id) ?? 0 };
  }
}

/** Another attempt may go better: the leader was about to change, or could not be reached. */
function isPassing({ code }: AetherError): boolean {
  return PASSING.has(code);
}

const PASSING: ReadonlySet<string> = new Set([
  "not_leader",
  "no_leader",
  "not_primary_lessor",
  "leader_changed",
  "unhealthy",
  "timeout",
]);
