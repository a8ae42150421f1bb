/**
 * Leases run out: only at the leader, and only through the log. The leader proposes LeaseExpire
 * with its term; if another leads when the entry is applied, it does nothing (etcd's #16822: a
 * paused leader that wakes up must not take leases with it). A new leader counts every lease from
 * its full TTL, plus an election timeout, since it cannot know when it was last renewed.
 */
import { ByteWriter } from "../base/bytes.ts";
import { AetherError } from "../base/errors.ts";
import { LeaseExpire } from "../proto/gen/aether.v1.ts";
import { CommandKind } from "../state/command.ts";
import type { Outcome } from "../state/results.ts";
import type { CurrentMachine } from "./current-machine.ts";
import { LeaseClock } from "./lease-clock.ts";
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
  readonly #current: CurrentMachine;
  readonly #options: ExpiryOptions;
  readonly #clock = new LeaseClock();
  readonly #scratch = new ByteWriter();
  /** Called when a lease has ended: renewals that came too late and wait for that. */
  readonly #enders = new Map<bigint, (() => void)[]>();
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
    for (const id of [...this.#enders.keys()]) this.ended(id);
  }

  granted(id: bigint, ttlSeconds: number, nowMs: number): void {
    if (this.#leading) this.#clock.start(id, ttlSeconds * MS_PER_S, nowMs);
  }

  ended(id: bigint): void {
    this.#clock.forget(id);
    const enders = this.#enders.get(id);
    if (enders === undefined) return;
    this.#enders.delete(id);
    for (const done of enders) done();
  }

  /**
   * Renews a lease at the leader, which must have been confirmed just now. `done` gets the TTL in
   * seconds, or 0 if the lease is unknown; if it has run out and is being ended, once it has.
   */
  renew(id: bigint, nowMs: number, done: (ttlSeconds: number | AetherError) => void): void {
    if (!this.#leading) {
      done(new AetherError("not_primary_lessor"));
      return;
    }
    const ttlMs = this.#clock.renew(id, nowMs);
    if (ttlMs !== undefined) done(ttlMs / MS_PER_S);
    else if (!this.#current.machine.hasLease(id)) done(0);
    else {
      const waiting = this.#enders.get(id) ?? [];
      waiting.push(() => done(this.#leading ? 0 : new AetherError("not_primary_lessor")));
      this.#enders.set(id, waiting);
    }
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
