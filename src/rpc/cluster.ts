/** Cluster and Maintenance, as far as one node can answer: who the members are, how this one is. */
import type { Group } from "../node/group.ts";
import { AetherCluster, AetherMaintenance } from "../proto/gen/aether.v1.ts";
import {
  Cluster,
  Maintenance,
  type Member,
  MemberListRequest,
  MemberListResponse,
  StatusResponse,
} from "../proto/gen/etcdserverpb.ts";
import type { Method, ServerCall, UnaryMethod } from "../wire/grpc/server-call.ts";
import { decodeRequest, fail, reply } from "./answer.ts";
import { headerAt, type Identity } from "./headers.ts";

/** The etcd version whose behaviour we answer with: clients choose features by it. */
export const ETCD_VERSION = "3.7.1";
export const ETCD_STORAGE_VERSION = "3.7.0";

/** etcd's default --quota-backend-bytes, which Status reports when none is set. */
const QUOTA_BYTES = 2_147_483_648;

export interface ClusterBackend {
  readonly group: Group;
  readonly identity: Identity;
  readonly members: () => readonly Member[];
  /** Bytes of the state's file, and those that hold data. */
  readonly sizeBytes: () => number;
  readonly sizeInUseBytes: () => number;
}

export function clusterMethods(backend: ClusterBackend): Method[] {
  const memberList: UnaryMethod["unary"] = (call, bytes, start, end) => {
    const { linearizable } = decodeRequest(MemberListRequest, bytes, start, end);
    const answer = (): void => {
      // Cluster answers carry no revision (etcd's quirk).
      const header = headerAt(backend.identity, 0, backend.group.term);
      reply(call, MemberListResponse, { header, members: [...backend.members()] });
    };
    if (!linearizable) answer();
    else backend.group.read((error) => (error === undefined ? answer() : fail(call, error)));
  };
  const status = (call: ServerCall): void => {
    reply(call, StatusResponse, statusOf(backend));
  };
  return [
    { path: Cluster.MemberList.path, unary: memberList },
    { path: AetherCluster.MemberList.path, unary: memberList },
    { path: Maintenance.Status.path, unary: status },
    { path: AetherMaintenance.Status.path, unary: status },
  ];
}

/** How this member is; never waits for others. */
export function statusOf(backend: ClusterBackend): StatusResponse {
  const { group, identity } = backend;
  return StatusResponse.create({
    header: headerAt(identity, group.machine.revision, group.term),
    version: ETCD_VERSION,
    dbSize: backend.sizeBytes(),
    leader: group.leader,
    raftIndex: group.committedIndex,
    raftTerm: group.term,
    raftAppliedIndex: group.appliedIndex,
    errors: group.leader === 0n ? ["etcdserver: no leader"] : [],
    dbSizeInUse: backend.sizeInUseBytes(),
    storageVersion: ETCD_STORAGE_VERSION,
    dbSizeQuota: QUOTA_BYTES,
  });
}
