/**
 * Put and delete-range, as commands and inside transactions. Each checks everything that can fail
 * before it changes anything; the caller commits.
 */
import type { Key } from "../base/bytes.ts";
import { AetherError } from "../base/errors.ts";
import type { DeleteRangeRequest } from "../proto/gen/etcdserverpb.ts";
import { StoredKeyValue } from "../proto/hot/key-value.ts";
import { KeyBounds } from "./key-bounds.ts";
import type { KeyEntry, Lease } from "./key-entry.ts";
import type { KeySpace } from "./key-space.ts";
import type { DeleteRangeResult, PutResult } from "./results.ts";

const reader = new StoredKeyValue();

/** What a put is apart from its value; a PutRequest and a PutView are both one. */
export interface PutParts {
  readonly key: Key;
  readonly lease: bigint;
  readonly prevKv: boolean;
  readonly ignoreValue: boolean;
  readonly ignoreLease: boolean;
}

/**
 * Puts a key with the value bytes[valueStart, valueEnd) and binds it to the lease that it names, or
 * to none. Fails with lease_not_found, and with key_not_found if it should keep the value or the
 * lease of a key that does not exist. Once a transaction has changed something it may not fail: a
 * key to keep which it has deleted itself (by a range without end; others are refused before they
 * are proposed) is put with an empty value. etcd 3.4 panics there.
 */
export function put(
  space: KeySpace,
  of: PutParts,
  bytes: Uint8Array,
  valueStart: number,
  valueEnd: number,
): PutResult {
  if (of.key === "") throw new AetherError("empty_key");
  let lease: Lease | null = of.lease === 0n ? null : leaseOf(space, of.lease);
  let entry = space.index.get(of.key);
  const existed = entry !== undefined && !entry.tombstone;
  let source = bytes;
  let start = valueStart;
  let end = valueEnd;
  let previous: Uint8Array | undefined;
  if (of.ignoreValue || of.ignoreLease || of.prevKv) {
    if (existed) previous = space.bytesOf(entry as KeyEntry);
    else if (of.ignoreValue || of.ignoreLease) {
      if (space.changes === 0) throw new AetherError("key_not_found");
    }
  }
  if (previous !== undefined) {
    if (of.ignoreValue) {
      ({ bytes: source, valueStart: start, valueEnd: end } = reader.read(previous));
    }
    if (of.ignoreLease) lease = (entry as KeyEntry).lease;
    if (!of.prevKv) previous = undefined;
  }
  if (entry === undefined) entry = space.index.add(of.key);
  space.counts.puts++;
  space.counts.putBytes += of.key.length + end - start;
  space.put(entry, source, start, end, lease);
  return { kind: "put", revision: space.visibleRevision, previous };
}

function leaseOf(space: KeySpace, id: bigint): Lease {
  const lease = space.leases.get(id);
  if (lease === undefined) throw new AetherError("lease_not_found", `lease ${id.toString(16)}`);
  return lease;
}

const NONE: readonly Uint8Array[] = [];

/** Deletes the live keys of a range in order of key. */
export function deleteRange(space: KeySpace, request: DeleteRangeRequest): DeleteRangeResult {
  if (request.key === "") throw new AetherError("empty_key");
  space.counts.deletes++;
  if (request.rangeEnd === "") return deleteOne(space, request);
  const previous: Uint8Array[] = [];
  let deleted = 0;
  new KeyBounds(request.key, request.rangeEnd).forEachLive(space.index.tree, (entry) => {
    if (request.prevKv) previous.push(space.peekBytes(entry));
    space.delete(entry);
    deleted++;
  });
  return { kind: "deleteRange", revision: space.visibleRevision, deleted, previous };
}

function deleteOne(space: KeySpace, request: DeleteRangeRequest): DeleteRangeResult {
  const entry = space.live(request.key);
  let previous = NONE;
  if (entry !== undefined) {
    if (request.prevKv) previous = [space.bytesOf(entry)];
    space.delete(entry);
  }
  const deleted = entry === undefined ? 0 : 1;
  return { kind: "deleteRange", revision: space.visibleRevision, deleted, previous };
}
