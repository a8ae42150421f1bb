/** What is left of leases, as members tell each other: in whole seconds, like etcd's answers. */
import { AetherError } from "../base/errors.ts";
import type { LeaseLife } from "../node/ports.ts";
import { LeaseTime } from "../proto/gen/aether.v1.ts";

const MS_PER_S = 1000;

/** Rounded down; -1 for what has run out. */
export function timesOf(lives: readonly LeaseLife[]): LeaseTime[] {
  return lives.map(({ id: ID, leftMs, ttlSeconds: grantedTTL }) => {
    if (leftMs === undefined) return LeaseTime.create({ ID, error: "lease_not_found" });
    const TTL = leftMs <= 0 ? -1 : Math.floor(leftMs / MS_PER_S);
    return LeaseTime.create({ ID, TTL, grantedTTL });
  });
}

/**
 * What the answer says of the leases `ids`, or why it cannot be believed. Of a second the middle is
 * taken, so that it is rounded to the same one again.
 */
export function livesOf(
  ids: readonly bigint[],
  times: readonly LeaseTime[],
): readonly LeaseLife[] | AetherError {
  if (times.length !== ids.length || times.some(({ ID }, i) => ID !== ids[i])) {
    return new AetherError("unhealthy", "the leader answered for other leases");
  }
  return times.map(({ ID: id, TTL, grantedTTL, error }) => {
    if (error !== "") return { id, leftMs: undefined, ttlSeconds: 0 };
    const leftMs = TTL < 0 ? 0 : TTL * MS_PER_S + MS_PER_S / 2;
    return { id, leftMs, ttlSeconds: grantedTTL };
  });
}
