/**
 * Leases run out: only at the leader, and only through the log. The leader proposes LeaseExpire
 * with its term; if another leads when the entry is applied, it does nothing (etcd's #16822: a
 * paused leader that wakes up must not take leases with it). A new leader counts every lease from
 * its full TTL, plus an election timeout, since it cannot know when it was last renewed; or from
 * what was left of it, if an earlier leader wrote that down and nobody renewed it since.
 */
import { assert } from "../base/assert.ts";
import { ByteWriter } from "../base/bytes.ts";
import { AetherError } from "../base/errors.ts";
import { LeaseCheckpoints, LeaseExpire } from "../proto/gen/aether.v1.ts";
import { CommandKind } from "../state/command.ts";
import type { Outcome } from "../state/results.ts";
import { Checkpoints } from "./checkpoints.ts";
import type { CurrentMachine } from "./current-machine.ts";
import { LeaseClock } from "./lease-clock.ts";
import type { LeaseLife } from "./ports.ts";
import type { Done } from "./proposals.ts";

/** Leases that one command ends: bounded work at apply, as etcd's 500 a pass. */
const EXPIRE_MAX = 500;

const MS_PER_S = 1000;

export interface ExpiryOptions {
  /** Added to every lease when leadership begins. */
  readonly graceMs: number;
  /** Between two checkpoints of a lease; left out: none are written. */
  readonly checkpointMs: number | undefined;
  readonly propose: (kind: CommandKind, bytes: Uint8Array, done: Done<Outcome>) => void;
}

export class Expiry {
  /** Renewals of leases that this member counted. */
  renewedCount = 0;
  readonly #current: CurrentMachine;
  readonly #options: ExpiryOptions;
  readonly #clock = new LeaseClock();
  readonly checkpoints: Checkpoints;
  readonly #scratch = new ByteWriter();
  #leading = false;

  constructor(current: CurrentMachine, options: ExpiryOptions) {
    this.#current = current;
    this.#options = options;
    this.checkpoints = new Checkpoints(options.checkpointMs);
  }

  /** Leadership begins: every lease has its whole time again. */
  lead(nowMs: number): void {
    this.#leading = true;
    this.#clock.clear();
    this.checkpoints.clear();
    this.#current.machine.forEachLease((id, ttlSeconds, remainingSeconds) => {
      this.#count(id, ttlSeconds * MS_PER_S, remainingSeconds, nowMs);
      if (remainingSeconds > 0) this.checkpoints.noted(id, true);
    });
  }

  /** Counts a lease of earlier leaders from what they left of it. */
  #count(id: bigint, ttlMs: number, remainingSeconds: number, nowMs: number): void {
    const leftMs = (remainingSeconds * MS_PER_S || ttlMs) + this.#options.graceMs;
    this.#clock.start(id, ttlMs, nowMs, leftMs);
    this.checkpoints.start(id, leftMs, nowMs);
  }

  /** Leadership is over or elsewhere: nobody counts here. */
  follow(): void {
    this.#leading = false;
    this.#clock.clear();
    this.checkpoints.clear();
  }

  granted(id: bigint, ttlSeconds: number, nowMs: number): void {
    if (!this.#leading) return;
    this.#clock.start(id, ttlSeconds * MS_PER_S, nowMs);
    this.checkpoints.start(id, ttlSeconds * MS_PER_S, nowMs);
  }

  ended(id: bigint): void {
    this.#clock.forget(id);
    this.checkpoints.forget(id);
  }

  /**
   * What is left of these leases was written down, or that was taken back: by this leader, who
   * knows it, or (`isOurs` false) by an earlier one, whose entries are applied only now.
   */
  checkpointed(ids: readonly bigint[], isOurs: boolean, nowMs: number): void {
    if (!this.#leading) return;
    const { machine } = this.#current;
    for (const id of ids) {
      const remainingSeconds = machine.checkpointOf(id);
      this.checkpoints.noted(id, remainingSeconds > 0);
      const ttlMs = this.#clock.ttlMs(id);
      if (!isOurs && ttlMs !== undefined) this.#count(id, ttlMs, remainingSeconds, nowMs);
    }
  }

  /**
   * Takes back what was written down of these leases, so that their renewals hold for every leader
   * to come; `done` when that is certain, at once if there is nothing to take back.
   */
  forgetCheckpoints(
    ids: readonly bigint[],
    { nowMs, term }: { readonly nowMs: number; readonly term: number },
    done: (error: AetherError | undefined) => void,
  ): void {
    const noted = this.checkpoints.takeBack(ids, nowMs);
    if (noted.length === 0) done(undefined);
    else {
      this.#proposeCheckpoints(
        noted,
        () => 0,
        term,
        (outcome) => {
          done(outcome instanceof AetherError ? outcome : undefined);
        },
      );
    }
  }

  /**
   * Renews a lease at the leader, which must have been confirmed just now: its whole time is left,
   * or no time if it has run out and its end is under way, or undefined if it is unknown.
   */
  renew(id: bigint, nowMs: number): LeaseLife {
    assert(this.#leading, "only a leader renews leases");
    const ttlMs = this.#clock.ttlMs(id);
    if (ttlMs === undefined) return { id, leftMs: undefined, ttlSeconds: 0 };
    this.renewedCount++;
    return { id, leftMs: this.#clock.renew(id, nowMs) ?? 0, ttlSeconds: ttlMs / MS_PER_S };
  }

  /** Milliseconds left; undefined if nobody counts the lease here. */
  remainingMs(id: bigint, nowMs: number): number | undefined {
    return this.#clock.remainingMs(id, nowMs);
  }

  /** The granted time in seconds; undefined if nobody counts the lease here. */
  ttlSeconds(id: bigint): number | undefined {
    const ttlMs = this.#clock.ttlMs(id);
    return ttlMs === undefined ? undefined : ttlMs / MS_PER_S;
  }

  /** Proposes the end of what has run out, and the checkpoints that are due. */
  tick(nowMs: number, term: number): void {
    const due = this.checkpoints.takeDue(nowMs, (id) => this.#clock.remainingMs(id, nowMs));
    if (due.length > 0) {
      const leftSeconds = (id: bigint): number =>
        Math.ceil((this.#clock.remainingMs(id, nowMs) ?? 0) / MS_PER_S);
      this.#proposeCheckpoints(due, leftSeconds, term, ignoreOutcome);
    }
    const IDs = this.#clock.takeExpired(nowMs, EXPIRE_MAX);
    if (IDs.length === 0) return;
    LeaseExpire.encode({ IDs, term }, this.#scratch);
    this.#options.propose(CommandKind.leaseExpire, this.#scratch.view(), ignoreOutcome);
    this.#scratch.reset();
  }

  #proposeCheckpoints(
    IDs: readonly bigint[],
    leftSeconds: (id: bigint) => number,
    term: number,
    done: Done<Outcome>,
  ): void {
    const remaining = IDs.map(leftSeconds);
    LeaseCheckpoints.encode({ IDs: [...IDs], remaining, term }, this.#scratch);
    this.#options.propose(CommandKind.leaseCheckpoint, this.#scratch.view(), done);
    this.#scratch.reset();
  }

  /** Checks the clock's invariants; throws AssertionError. */
  verify(): void {
    this.#clock.verify();
  }
}

/** An expiry that was lost is offered again, and so is a checkpoint: nothing is to be done here. */
function ignoreOutcome(): void {}
