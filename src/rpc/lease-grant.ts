/** Granting a lease: the proposer chooses its id and raises its TTL, then it goes into the log. */
import { ByteWriter } from "../base/bytes.ts";
import type { Random } from "../base/ports.ts";
import type { Group } from "../node/group.ts";
import type { Done } from "../node/proposals.ts";
import { LeaseGrantRequest } from "../proto/gen/etcdserverpb.ts";
import { CommandKind } from "../state/command.ts";
import type { Outcome } from "../state/results.ts";

export interface GrantParts {
  readonly group: Group;
  readonly random: Random;
  /** Shorter TTLs are raised to this: a lease must outlive an election. */
  readonly ttlSecondsMin: number;
}

const body = new ByteWriter(64);

/** `id` 0: a free one is chosen. Returns what is asked of the log, `done` gets what it says. */
export function proposeGrant(
  { group, random, ttlSecondsMin }: GrantParts,
  asked: { readonly id: bigint; readonly ttlSeconds: number },
  done: Done<Outcome>,
): { readonly id: bigint; readonly ttlSeconds: number } {
  let { id } = asked;
  while (id === 0n || (asked.id === 0n && group.machine.hasLease(id))) id = random.id63();
  const ttlSeconds = Math.max(asked.ttlSeconds, ttlSecondsMin);
  LeaseGrantRequest.encode({ ID: id, TTL: ttlSeconds }, body);
  const bytes = body.view();
  group.propose(CommandKind.leaseGrant, bytes, 0, bytes.length, done);
  body.reset();
  return { id, ttlSeconds };
}
