/**
 * Leases run out: only at the leader, and only through the log. The leader proposes LeaseExpire
 * with its term; if another leads when the entry is applied, it does nothing (etcd's #16822: a
 * paused leader that wakes up must not take leases with it). A new leader counts every lease from
 * its full TTL, plus an election timeout, since it cannot know when it was last renewed.
 */
import { assert } from "../base/assert.ts";
import { ByteWriter } from "../base/bytes.ts";
import { LeaseExpire } from "../proto/gen/aether.v1.ts";
import { CommandKind } from "../state/command.ts";
import type { Outcome } from "../state/results.ts";
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
  readonly propose: (kind: CommandKind, bytes: Uint8Array, done: Done<Outcome>) => void;
}

export class Expiry {
  /** Renewals of leases that this member counted. */
  renewedCount = 0;
  readonly #current: CurrentMachine;
  readonly #options: ExpiryOptions;
  readonly #clock = new LeaseClock();
  readonly #scratch = new ByteWriter();
  #leading = false;

  constructor(current: CurrentMachine, options: ExpiryOptions) {
    this.#current = current;
    this.#options = options;
  }

  /** Leadership begins: every lease has its whole time again. */
  lead(nowMs: number): void {
    this.#leading = true;
    this.#clock.clear();
    this.#current.machine.forEachLease((id, ttlSeconds) => {
      this.#clock.start(id, ttlSeconds * MS_PER_S, nowMs, this.#options.graceMs);
    });
  }

  /** Leadership is over or elsewhere: nobody counts here. */
  follow(): void {
    this.#leading = false;
    this.#clock.clear();
  }

  granted(id: bigint, ttlSeconds: number, nowMs: number): void {
    if (this.#leading) this.#clock.start(id, ttlSeconds * MS_PER_S, nowMs);
  }

  ended(id: bigint): void {
    this.#clock.forget(id);
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

  /** Proposes the end of what has run out. */
  tick(nowMs: number, term: number): void {
    const IDs = this.#clock.takeExpired(nowMs, EXPIRE_MAX);
    if (IDs.length === 0) return;
    LeaseExpire.encode({ IDs, term }, this.#scratch);
    this.#options.propose(CommandKind.leaseExpire, this.#scratch.view(), ignoreOutcome);
    this.#scratch.reset();
  }

  /** Checks the clock's invariants; throws AssertionError. */
  verify(): void {
    this.#clock.verify();
  }
}

/** The clock offers a lease again whose expiry was lost, so nothing is to be done here. */
function ignoreOutcome(): void {}
