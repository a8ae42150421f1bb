/**
 * Elections by etcd's recipe: candidates stand in line, the oldest key of the queue is the
 * leader's, and its value is what he proclaims. Who was elected names his place by key and create
 * revision, and everything he does later holds only as long as that key lives: a leader who was
 * deposed without knowing it is refused, not believed.
 */
import { assert } from "../base/assert.ts";
import { asBuffer, type Key } from "../base/bytes.ts";
import { AetherError } from "../base/errors.ts";
import { TxnRequest } from "../proto/gen/etcdserverpb.ts";
import { type Event, EventType, KeyValue } from "../proto/gen/mvccpb.ts";
import { KeyWatch } from "./key-watch.ts";
import { giveUp, isOwn, isStopping, type Place, sessionOf, waitInLine } from "./line.ts";
import type { CallerKeys, Participant } from "./ports.ts";
import {
  createdAt,
  deleteIfOwn,
  endOf,
  foundIn,
  getRequest,
  oldest,
  placeOf,
  prefixOf,
  putOp,
  rangeOp,
} from "./queue-keys.ts";

export interface Candidacy {
  readonly name: Key;
  /** 0: one of 60 s is granted, which nobody renews. */
  readonly lease: bigint;
  readonly value: Uint8Array;
}

/** v3electionpb.LeaderKey: by what a leader is known. */
export interface LeaderPlace {
  readonly key: Key;
  readonly rev: number;
  readonly lease: bigint;
}

export interface Elected extends LeaderPlace {
  /** Of the transaction that entered the queue, as in etcd: not of the victory. */
  readonly revision: number;
}

/** A leader's key value, and the revision at which it was seen. */
export interface Sighting {
  readonly revision: number;
  readonly kv: KeyValue;
}

/**
 * Resolves when the candidate leads. A lease that is a candidate already stays one, with the new
 * value. A caller who goes away resigns; one who fails otherwise keeps his key. Rejects with
 * election_not_leader if the key was gone when its turn came (etcd calls that a victory).
 */
export async function campaign(participant: Participant, candidacy: Candidacy): Promise<Elected> {
  const { keys, signal } = participant;
  const { name, value } = candidacy;
  const lease = await sessionOf(keys, candidacy.lease);
  signal.throwIfAborted();
  const key = placeOf(name, lease);
  const entered = await keys.txn(
    TxnRequest.create({
      compare: [createdAt(key, 0)],
      success: [putOp(key, value, lease)],
      failure: [rangeOp(getRequest(key))],
    }),
  );
  const { revision, succeeded, responses } = entered;
  const before = succeeded ? undefined : foundIn(responses[0]);
  if (!succeeded) signal.throwIfAborted(); // the key is of another call with this lease
  const place = { prefix: prefixOf(name), key, createRevision: before?.createRevision ?? revision };
  if (before !== undefined && !asBuffer(before.value).equals(value)) {
    await changeValue(keys, place, { value, lease });
  }
  try {
    await awaitVictory(participant, place);
  } catch (error) {
    if (signal.aborted && !isStopping(signal)) await giveUp(keys, place);
    throw error;
  }
  return { key, rev: place.createRevision, lease, revision };
}

/** Another value for a leader; the revision then. Rejects with election_not_leader if deposed. */
export async function proclaim(
  keys: CallerKeys,
  leader: LeaderPlace,
  value: Uint8Array,
): Promise<number> {
  const lease = await sessionOf(keys, leader.lease);
  return await putIfOwn(keys, { key: leader.key, createRevision: leader.rev }, { value, lease });
}

/** Ends a leadership, or a candidacy; nothing happens if it has ended. The revision then. */
export async function resign(keys: CallerKeys, { key, rev }: LeaderPlace): Promise<number> {
  return (await keys.txn(deleteIfOwn(key, rev))).revision;
}

/** Who leads now. Rejects with election_no_leader. */
export async function leaderOf(keys: CallerKeys, name: Key): Promise<Sighting> {
  const sighting = await look(keys, prefixOf(name));
  if (sighting.kv === undefined) throw new AetherError("election_no_leader");
  return { revision: sighting.revision, kv: sighting.kv };
}

/**
 * Whoever leads, with each of his proclamations, then the next one, without an end. Every change of
 * a leader that was seen is seen; leaders between two looks may be passed over (as in etcd).
 */
export async function* observe(
  participant: Participant,
  name: Key,
): AsyncGenerator<Sighting, never> {
  const prefix = prefixOf(name);
  for (;;) {
    const { revision, kv } = await look(participant.keys, prefix);
    participant.signal.throwIfAborted();
    const first =
      kv === undefined ? await firstPut(participant, prefix, revision) : { revision, kv };
    if (first === undefined) continue;
    yield first;
    yield* laterValues(participant, first);
  }
}

async function look(
  keys: CallerKeys,
  prefix: Key,
): Promise<{ revision: number; kv: KeyValue | undefined }> {
  const { revision, kvs } = await keys.range(oldest(prefix));
  const [kv] = kvs;
  return { revision, kv: kv === undefined ? undefined : KeyValue.decode(kv, 0, kv.length) };
}

/** The first candidate of a queue that was empty at `revision`; undefined: he has to be sought. */
async function firstPut(
  { changes, signal }: Participant,
  prefix: Key,
  revision: number,
): Promise<Sighting | undefined> {
  const queue = { key: prefix, rangeEnd: endOf(prefix), deletionsOnly: false };
  using watch = new KeyWatch(changes, queue, revision);
  for (;;) {
    const event = await watch.next(signal);
    if (event === undefined) return undefined;
    if (event.type === EventType.PUT) return sightingOf(event);
  }
}

/** What a leader proclaims after `first`, until he leads no more or cannot be followed. */
async function* laterValues(
  { changes, signal }: Participant,
  { kv: { key }, revision }: Sighting,
): AsyncGenerator<Sighting, void> {
  using watch = new KeyWatch(changes, { key, rangeEnd: "", deletionsOnly: false }, revision);
  for (;;) {
    const event = await watch.next(signal);
    if (event === undefined || event.type === EventType.DELETE) return;
    yield sightingOf(event);
  }
}

function sightingOf({ kv }: Event): Sighting {
  assert(kv !== undefined, "an event is of a key");
  return { revision: kv.modRevision, kv };
}

async function awaitVictory(participant: Participant, place: Place): Promise<void> {
  if (!(await waitInLine(participant, place))) return;
  const { own } = await isOwn(participant.keys, place);
  participant.signal.throwIfAborted();
  if (!own) throw new AetherError("election_not_leader");
}

type Own = Pick<Place, "key" | "createRevision">;
type Bid = { readonly value: Uint8Array; readonly lease: bigint };

/** A candidate who cannot have the value that he asks for is none any more. */
async function changeValue(keys: CallerKeys, place: Place, bid: Bid): Promise<void> {
  try {
    await putIfOwn(keys, place, bid);
  } catch (error) {
    await giveUp(keys, place);
    throw error;
  }
}

async function putIfOwn(
  keys: CallerKeys,
  { key, createRevision }: Own,
  { value, lease }: Bid,
): Promise<number> {
  const { succeeded, revision } = await keys.txn(
    TxnRequest.create({
      compare: [createdAt(key, createRevision)],
      success: [putOp(key, value, lease)],
    }),
  );
  if (!succeeded) throw new AetherError("election_not_leader");
  return revision;
}
