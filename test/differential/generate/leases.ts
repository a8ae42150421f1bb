/** Lease: grants with ids of one's own and of the server's choice, renewals, questions. */
import type { Prng } from "../../../src/base/prng.ts";
import { type Call, call, type Open } from "../steps.ts";

/** Leases that keys are attached to: far from expiry during a run. */
export const LEASES = [1, 2, 3, 4];
const LEASE_TTL_SECONDS = 100_000;
/**
 * Leases from this id on are granted once each, with a TTL that the server must raise; they expire
 * when they please, so nothing is attached to them and nothing is asked of them.
 */
export const SHORT_LEASES_FROM = 1000;
export const UNKNOWN_LEASE = 77;
const NEGATIVE_LEASE = -5;
/** The longest a lease may have, and one more. */
const TTL_MAX = 9_000_000_000;

/** Answers of grants whose id the server chose, by the name under which they are saved. */
const CHOSEN = ["lease-a", "lease-b"];

export class LeaseGenerator {
  readonly #prng: Prng;
  #shortLease = SHORT_LEASES_FROM - 1;

  constructor(prng: Prng) {
    this.#prng = prng;
  }

  next(): Call {
    const roll = this.#prng.below(100);
    const ID = this.#id();
    if (roll < 40) return this.#grant();
    if (roll < 55) return call("Lease/LeaseRevoke", { ID });
    if (roll < 75) return call("Lease/LeaseTimeToLive", { ID, keys: this.#prng.chance(70) });
    if (roll < 90) {
      const bodies = Array.from({ length: 1 + this.#prng.below(3) }, () => ({ ID: this.#id() }));
      return { do: "call", rpc: "Lease/LeaseKeepAlive", bodies };
    }
    return call("Lease/LeaseLeases", {});
  }

  #id(): number | Open {
    if (this.#prng.chance(12)) {
      return { $: "saved", name: this.#prng.pick(CHOSEN), path: "ID", otherwise: UNKNOWN_LEASE };
    }
    return this.#prng.pick([...LEASES, ...LEASES, UNKNOWN_LEASE, NEGATIVE_LEASE, 0]);
  }

  #grant(): Call {
    const roll = this.#prng.below(10);
    const TTL = LEASE_TTL_SECONDS + this.#prng.below(1000);
    const ID = this.#prng.pick([...LEASES, NEGATIVE_LEASE]);
    if (roll === 0) {
      return call("Lease/LeaseGrant", { TTL: TTL_MAX + this.#prng.below(2), ID });
    }
    if (roll === 1) {
      return call("Lease/LeaseGrant", { TTL, ID: 0 }, { save: this.#prng.pick(CHOSEN) });
    }
    if (roll < 4) {
      this.#shortLease += 1;
      const short = this.#prng.pick([-1, 0, 1]);
      return call("Lease/LeaseGrant", { TTL: short, ID: this.#shortLease });
    }
    return call("Lease/LeaseGrant", { TTL, ID });
  }
}
