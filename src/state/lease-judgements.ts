/**
 * Who was found to have a right to all keys of a lease. Whoever hangs a key on it, renews it or
 * looks into it has to have it for each key, and a lease may have hundreds of thousands: to ask
 * for all of them again with each put would stop every member for as long as one user likes. So
 * only keys that were attached since are looked at. What was found holds for one auth revision.
 */
import type { Judgement, KeyEntry, Lease } from "./key-entry.ts";

/** Remembered of one lease: its clients are few. The oldest one goes. */
const JUDGEMENTS_MAX = 4;

type Asked = Pick<Judgement, "user" | "right" | "authRevision">;

/** The keys whose rights are not known yet: those attached since somebody asked, or all. */
export function* unjudgedKeys(lease: Lease, asked: Asked): Iterable<KeyEntry> {
  const found = judgementOf(lease, asked);
  if (found === undefined) yield* lease.keys;
  else for (const entry of found.fresh) if (entry.lease === lease) yield entry;
}

/** He has the right to all of them. */
export function noteAllowed(lease: Lease, asked: Asked): void {
  const found = judgementOf(lease, asked);
  const others = lease.judgements.filter(
    (each) => each !== found && each.authRevision === asked.authRevision,
  );
  const { user, right, authRevision } = asked;
  lease.judgements = [
    ...others.slice(1 - JUDGEMENTS_MAX),
    { user, right, authRevision, fresh: [] },
  ];
}

/** One more is on the lease. A list that would be as long as all of them is not kept. */
export function noteAttached(lease: Lease, entry: KeyEntry): void {
  if (lease.judgements.length === 0) return;
  for (const { fresh } of lease.judgements) fresh.push(entry);
  lease.judgements = lease.judgements.filter(({ fresh }) => fresh.length <= lease.keys.size);
}

function judgementOf({ judgements }: Lease, asked: Asked): Judgement | undefined {
  return judgements.find(
    ({ user, right, authRevision }) =>
      user === asked.user && right === asked.right && authRevision === asked.authRevision,
  );
}
