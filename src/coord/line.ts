/**
 * Standing in line: the caller owns a key of a queue and waits until no older key is left. Once
 * that is so it stays so, since keys to come are younger: nothing that happens between the last
 * look and the answer can put somebody before him.
 *
 *   look: the youngest key older than ours ─┬─ none ─▶ our turn
 *          ▲                                └─ one ──▶ wait until it is deleted ─┐
 *          └─────────────────────────────────────────────────────────────────────┘
 *
 * Each waits for the one before him only, so a release wakes one and not all.
 */
import { EMPTY_BYTES, type Key } from "../base/bytes.ts";
import { AetherError } from "../base/errors.ts";
import { KeyValue } from "../proto/gen/mvccpb.ts";
import { KeyWatch } from "./key-watch.ts";
import type { CallerKeys, Participant } from "./ports.ts";
import { before, deleteIfOwn, getRequest, SESSION_TTL_SECONDS } from "./queue-keys.ts";

/** A key in the queue of `prefix`. */
export interface Place {
  readonly prefix: Key;
  readonly key: Key;
  readonly createRevision: number;
}

/** The lease that was asked for, or a new one: nobody renews it, and it ends by itself. */
export async function sessionOf(keys: CallerKeys, lease: bigint): Promise<bigint> {
  return lease === 0n ? await keys.grant(SESSION_TTL_SECONDS) : lease;
}

/** Resolves when nobody stands before `place`; says whether anybody did. */
export async function waitInLine(participant: Participant, place: Place): Promise<boolean> {
  const { keys, changes, signal } = participant;
  for (let waited = false; ; waited = true) {
    const { kvs, revision } = await keys.range(before(place.prefix, place.createRevision));
    signal.throwIfAborted();
    const [kv] = kvs;
    if (kv === undefined) return waited;
    const { key } = KeyValue.decode(kv, 0, kv.length);
    using watch = new KeyWatch(changes, { key, rangeEnd: "", deletionsOnly: true }, revision);
    await watch.next(signal);
  }
}

/** Whether the place is still the caller's, and as of which revision. */
export async function isOwn(
  keys: CallerKeys,
  { key, createRevision }: Place,
): Promise<{ own: boolean; revision: number }> {
  const { kvs, revision } = await keys.range(getRequest(key));
  const [kv = EMPTY_BYTES] = kvs;
  const own = KeyValue.decode(kv, 0, kv.length).createRevision === createRevision;
  return { own, revision };
}

/** Takes back a place that is of no use to anybody any more, if it still is the caller's. */
export async function giveUp(keys: CallerKeys, { key, createRevision }: Place): Promise<void> {
  try {
    await keys.txn(deleteIfOwn(key, createRevision));
  } catch (error) {
    // The lease ends it sooner or later; the caller is told why he does not stand there, not this.
    if (!(error instanceof AetherError)) throw error;
  }
}

/** Whether it is this member that ends, and not the caller who has gone. */
export function isStopping({ aborted, reason }: AbortSignal): boolean {
  return aborted && !(reason instanceof AetherError && reason.code === "canceled");
}
