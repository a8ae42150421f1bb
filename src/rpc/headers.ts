/** ResponseHeader: who answered, at which revision, in which term. */
import type { ResponseHeader } from "../proto/gen/etcdserverpb.ts";

/** What of a header never changes while a member lives. */
export interface Identity {
  readonly clusterId: bigint;
  readonly memberId: bigint;
}

/** What a header says about the present. */
export interface Present {
  readonly revision: number;
  readonly term: number;
}

export function headerOf(identity: Identity, present: Present): ResponseHeader {
  return headerAt(identity, present.revision, present.term);
}

export function headerAt(identity: Identity, revision: number, raftTerm: number): ResponseHeader {
  return { clusterId: identity.clusterId, memberId: identity.memberId, revision, raftTerm };
}
