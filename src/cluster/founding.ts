/**
 * Who the members of a new cluster are. Ids are computed, not drawn, so that every founder comes
 * to the same ones from the same configuration, and they are etcd's: the first eight bytes of
 * SHA-1 over the sorted peer URLs and the cluster token; the cluster's over the members' ids
 * (etcd server/etcdserver/api/membership: computeMemberID, genID).
 */
import { assert } from "../base/assert.ts";
import type { MemberId } from "../raft/types.ts";

/** etcd's default --initial-cluster-token. */
export const DEFAULT_CLUSTER_TOKEN = "etcd-cluster";

export interface Founder {
  readonly name: string;
  readonly peerUrls: readonly string[];
}

export interface FoundingMember extends Founder {
  readonly id: MemberId;
}

export interface Founding {
  readonly clusterId: bigint;
  /** In order of id. */
  readonly members: readonly FoundingMember[];
}

/** Computes ids; asserts that no two founders have the same peer URLs. */
export function foundCluster(founders: readonly Founder[], token: string): Founding {
  const members = founders
    .map((founder) => ({ ...founder, id: memberIdOf(founder.peerUrls, token) }))
    .sort((a, b) => (a.id < b.id ? -1 : 1));
  assert(new Set(members.map(({ id }) => id)).size === members.length, "founders are different");
  const bytes = Buffer.alloc(8 * members.length);
  for (const [position, { id }] of members.entries()) bytes.writeBigUInt64BE(id, 8 * position);
  return { clusterId: firstEight(bytes), members };
}

/** The id of a member that founds a cluster. */
export function memberIdOf(peerUrls: readonly string[], token: string): MemberId {
  return firstEight(Buffer.from([...peerUrls].sort().join("") + token)) as MemberId;
}

/** The id of a member that is added later, at that second since 1970. */
export function addedMemberId(peerUrls: readonly string[], unixSeconds: number): MemberId {
  return memberIdOf(peerUrls, String(unixSeconds));
}

function firstEight(bytes: Uint8Array): bigint {
  return new Bun.CryptoHasher("sha1").update(bytes).digest().readBigUInt64BE(0);
}
