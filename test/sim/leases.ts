/**
 * What all clients together know of leases, and the promise that they check with it: a lease lives
 * for its TTL after the last acknowledged grant or renewal was sent, and a member that says it
 * renewed a lease had it.
 */
import type { Prng } from "../../src/base/prng.ts";
import type { Answer, Request } from "../check/requests.ts";
import { fail } from "./failure.ts";
import type { SimProcess } from "./process.ts";

interface Lease {
  readonly id: string;
  ttlMs: number;
  /** It lives until then, unless revoked: by the acknowledged request that was sent last. */
  certainUntilMs: number;
  /** Somebody may have revoked it. */
  mayBeRevoked: boolean;
  endedMs: number | undefined;
}

/** Leases that requests are about: the newest ones. */
const SPOKEN_OF_MAX = 6;

const MS_PER_S = 1000;

export class LeaseBook {
  readonly #leases = new Map<string, Lease>();
  readonly #nowMs: () => number;
  /** How fast the fastest clock is. */
  readonly #fastest: number;
  #lastId = 0;
  #lastValue = 0;

  constructor(nowMs: () => number, driftPercentMax: number) {
    this.#nowMs = nowMs;
    this.#fastest = 1 + driftPercentMax / 100;
  }

  newId(): string {
    return `${++this.#lastId}`;
  }

  /** A value that nobody has written. */
  newValue(): string {
    return `v${++this.#lastValue}`;
  }

  someId(random: Prng): string | undefined {
    const oldest = Math.max(1, this.#lastId - SPOKEN_OF_MAX + 1);
    if (this.#lastId === 0) return undefined;
    return `${oldest + random.below(this.#lastId - oldest + 1)}`;
  }

  /** A request is about to be sent. */
  called(request: Request): void {
    if (request.kind === "grant") {
      const { id } = request;
      const unknown = { certainUntilMs: 0, mayBeRevoked: false, endedMs: undefined };
      this.#leases.set(id, { id, ttlMs: request.ttlSeconds * MS_PER_S, ...unknown });
    }
    const lease = request.kind === "revoke" ? this.#leases.get(request.id) : undefined;
    if (lease !== undefined) lease.mayBeRevoked = true;
  }

  /** An answer has come to a request that was sent at `calledMs`. */
  answered(request: Request, answer: Answer, calledMs: number): void {
    if (answer.kind !== "grant" && answer.kind !== "renew") return;
    if (request.kind !== "grant" && request.kind !== "renew") return;
    const lease = this.#leases.get(request.id);
    if (lease === undefined || answer.ttlSeconds <= 0) return;
    if (answer.ttlSeconds * MS_PER_S !== lease.ttlMs) fail(`lease ${lease.id} has another TTL`);
    if (lease.endedMs !== undefined && lease.endedMs < calledMs) {
      fail(`lease ${lease.id} was gone when ${answer.kind} was asked, and it said yes`);
    }
    const untilMs = calledMs + lease.ttlMs / this.#fastest;
    lease.certainUntilMs = Math.max(lease.certainUntilMs, untilMs);
    // The end may have been seen before the answer came.
    this.#checkEnd(lease);
  }

  /** The newest state that anybody has: which leases are gone there. */
  look({ group }: SimProcess): void {
    const { machine } = group;
    for (const lease of this.#leases.values()) {
      if (lease.endedMs !== undefined) continue;
      const lives = machine.hasLease(BigInt(lease.id));
      if (lives) this.#lived.add(lease.id);
      else if (this.#lived.has(lease.id)) {
        lease.endedMs = this.#nowMs();
        this.#checkEnd(lease);
      }
    }
  }

  /** Leases that were seen to exist. */
  readonly #lived = new Set<string>();

  #checkEnd({ id, endedMs, certainUntilMs, mayBeRevoked }: Lease): void {
    if (endedMs === undefined || mayBeRevoked || endedMs >= certainUntilMs) return;
    fail(`lease ${id} ended ${certainUntilMs - endedMs} ms early, at ${endedMs}`);
  }
}
