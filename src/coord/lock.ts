/**
 * A mutex with a fair queue, as etcd's Lock service has it: the oldest key of the queue holds the
 * lock, as long as its lease lives. The create revision of the key is the fencing token.
 */
import { EMPTY_BYTES, type Key } from "../base/bytes.ts";
import { AetherError } from "../base/errors.ts";
import { TxnRequest } from "../proto/gen/etcdserverpb.ts";
import { giveUp, isOwn, isStopping, type Place, sessionOf, waitInLine } from "./line.ts";
import type { CallerKeys, Participant } from "./ports.ts";
import {
  createdAt,
  foundIn,
  getRequest,
  oldest,
  placeOf,
  prefixOf,
  putOp,
  rangeOp,
} from "./queue-keys.ts";

export interface LockAsked {
  readonly name: Key;
  /** 0: one of 60 s is granted, which nobody renews. */
  readonly lease: bigint;
}

export interface Held {
  readonly key: Key;
  /** When the lock was known to be held. */
  readonly revision: number;
}

/**
 * Resolves when the lock is held. Rejects with session_expired if the key was gone when its turn
 * came (deleted, or its lease ended), and with what its transactions and reads fail with. Who
 * waits in vain leaves no key, unless this member ends: then he may come again with his lease, and
 * finds his place in the queue kept.
 */
export async function lock(participant: Participant, { name, lease }: LockAsked): Promise<Held> {
  const { keys, signal } = participant;
  const session = await sessionOf(keys, lease);
  signal.throwIfAborted();
  const prefix = prefixOf(name);
  const key = placeOf(name, session);
  const entered = await keys.txn(entry(prefix, key, session));
  const { revision, succeeded, responses } = entered;
  const createRevision = succeeded ? revision : foundIn(responses[0]).createRevision;
  const isOwner = foundIn(responses[1]).createRevision === createRevision;
  if (isOwner && !signal.aborted) return { key, revision };
  if (!succeeded) signal.throwIfAborted(); // the key is of another call with this lease
  const place = { prefix, key, createRevision };
  try {
    return await awaitTurn(participant, place);
  } catch (error) {
    if (!isStopping(signal)) await giveUp(keys, place);
    throw error;
  }
}

/** Enters the queue, unless the lease stands there already; tells who owns it. */
function entry(prefix: Key, key: Key, lease: bigint): TxnRequest {
  const owner = rangeOp(oldest(prefix));
  return TxnRequest.create({
    compare: [createdAt(key, 0)],
    success: [putOp(key, EMPTY_BYTES, lease), owner],
    failure: [rangeOp(getRequest(key)), owner],
  });
}

async function awaitTurn(participant: Participant, place: Place): Promise<Held> {
  await waitInLine(participant, place);
  const { own, revision } = await isOwn(participant.keys, place);
  participant.signal.throwIfAborted();
  if (!own) throw new AetherError("session_expired");
  return { key: place.key, revision };
}

/** Frees the lock that `key` holds; a key that is gone is no failure. The revision then. */
export async function unlock(keys: CallerKeys, key: Key): Promise<number> {
  return await keys.delete(key);
}
