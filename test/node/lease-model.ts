/** The clock of leases against a naive map, with time that jumps. */
import { expect } from "bun:test";
import { Prng } from "../../src/base/prng.ts";
import { LeaseClock } from "../../src/node/lease-clock.ts";

/** One run; the same on every machine. Throws at the first thing that differs. */
export function runLeaseModel(seed: number, steps: number): void {
  const random = new Prng(seed);
  const clock = new LeaseClock();
  const naive = new Map<bigint, { ttl: number; deadline: number }>();
  let now = 0;
  for (let i = 0; i < steps; i++) {
    now += random.chance(2) ? random.below(100_000_000) : random.below(50); // a day at most
    const id = BigInt(random.below(20) + 1);
    const lease = naive.get(id);
    if (random.chance(30)) {
      const ttl = random.below(300) + 1;
      clock.start(id, ttl, now);
      naive.set(id, { ttl, deadline: now + ttl });
    } else if (random.chance(50)) {
      const alive = lease !== undefined && lease.deadline > now;
      expect(clock.renew(id, now)).toBe(alive ? lease.ttl : undefined);
      if (alive) lease.deadline = now + lease.ttl;
    } else {
      const due = [...naive].filter(([, l]) => l.deadline <= now).map(([key]) => key);
      const expired = clock.takeExpired(now, 1000);
      expect(expired.sort()).toEqual(due.sort());
      for (const key of expired) {
        clock.forget(key);
        naive.delete(key);
      }
    }
    clock.verify();
  }
}
