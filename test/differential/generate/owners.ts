/** Lock and Election: who has it, who waits, who gives it up; leases of one's own and unknown. */
import type { Prng } from "../../../src/base/prng.ts";
import { type Body, call, type Step, type Value } from "../steps.ts";
import { LEASES, UNKNOWN_LEASE } from "./leases.ts";

/**
 * Whoever waits has a lease of a known id: two keys at once, one of them with an id that its server
 * drew, would stand in an order that is chance.
 */
const RIVAL_LEASE = call("Lease/LeaseGrant", { ID: 902, TTL: 100_000 });
const NAMES = ["lock", "lock/", "office"];

export class OwnerGenerator {
  readonly #prng: Prng;
  #count = 0;

  constructor(prng: Prng) {
    this.#prng = prng;
  }

  /** A little story: what it takes it gives back, for the next one would wait. */
  next(): Step[] {
    const roll = this.#prng.below(10);
    if (roll < 3) return this.#lock();
    if (roll < 6) return this.#election();
    return [this.#refused()];
  }

  #lock(): Step[] {
    this.#count += 1;
    const [first, second] = [`lock-${this.#count}`, `lock-${this.#count}-second`];
    const name = this.#prng.pick(NAMES);
    const lease = this.#prng.chance(50) ? { lease: 900 } : {};
    const grant = call("Lease/LeaseGrant", { ID: 900, TTL: 100_000 });
    const unlock = (of: string): Step => call("Lock/Unlock", { key: saved(of, "key", "nowhere") });
    const steps: Step[] = [grant, call("Lock/Lock", { name, ...lease }, { save: first })];
    if (lease.lease === undefined) return [...steps, unlock(first)];
    if (this.#prng.chance(40)) steps.push(call("Lock/Lock", { name, ...lease })); // has it already
    if (this.#prng.chance(40)) return [...steps, unlock(first)];
    steps.push(
      RIVAL_LEASE,
      {
        do: "begin",
        name: second,
        call: call("Lock/Lock", { name, lease: 902 }, { save: second }),
      },
      unlock(first),
      { do: "finish", name: second },
      unlock(second),
    );
    return steps;
  }

  #election(): Step[] {
    this.#count += 1;
    const [first, second] = [`office-${this.#count}`, `office-${this.#count}-second`];
    const name = this.#prng.pick(NAMES);
    const leader = saved(first, "leader", {});
    const grant = call("Lease/LeaseGrant", { ID: 901, TTL: 100_000 });
    const campaign = { name, value: "first", lease: 901 };
    const steps: Step[] = [grant, call("Election/Campaign", campaign, { save: first })];
    if (this.#prng.chance(70)) steps.push(call("Election/Leader", { name }));
    if (this.#prng.chance(50)) steps.push(call("Election/Proclaim", { leader, value: "again" }));
    if (this.#prng.chance(50))
      steps.push(call("Election/Observe", { name }, { take: 1, deadlineMs: 2000 }));
    if (this.#prng.chance(30)) steps.push(call("Election/Campaign", { ...campaign, value: "x" }));
    if (this.#prng.chance(50)) return [...steps, call("Election/Resign", { leader })];
    const rival = { name, value: "second", lease: 902 };
    steps.push(
      RIVAL_LEASE,
      {
        do: "begin",
        name: second,
        call: call("Election/Campaign", rival, { save: second }),
      },
      call("Election/Resign", { leader }),
      { do: "finish", name: second },
      call("Election/Leader", { name }),
      call("Election/Proclaim", { leader, value: "too late" }),
      call("Election/Resign", { leader: saved(second, "leader", {}) }),
    );
    return steps;
  }

  #refused(): Step {
    const name = this.#prng.pick([...NAMES, ""]);
    const leader = { name, key: `${name}/384`, rev: 3, lease: this.#prng.pick(LEASES) };
    const requests: [string, Body][] = [
      ["Lock/Lock", { name, lease: UNKNOWN_LEASE }],
      ["Lock/Unlock", { key: `${name}/nothing` }],
      ["Lock/Unlock", {}],
      ["Election/Campaign", { name, lease: UNKNOWN_LEASE, value: "x" }],
      ["Election/Leader", { name: `${name}nobody` }],
      ["Election/Proclaim", { value: "x" }],
      ["Election/Proclaim", { leader, value: "x" }],
      ["Election/Resign", {}],
      ["Election/Resign", { leader }],
    ];
    const [rpc, body] = this.#prng.pick(requests);
    return call(rpc, body);
  }
}

function saved(name: string, path: string, otherwise: number | string | object): Value {
  return { $: "saved", name, path, otherwise };
}
