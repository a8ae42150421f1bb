/**
 * Maintenance: how a member is, alarms, hashes of the state, space given back, handing leadership
 * over. Ours differs from etcd's in the paths, in alarms, which it lists, adds and deletes by their
 * own methods, and in having no downgrade.
 */
import { AetherError } from "../base/errors.ts";
import { ETCD_VERSION } from "../base/version.ts";
import type { Group } from "../node/group.ts";
import { AetherMaintenance } from "../proto/gen/aether.v1.ts";
import {
  DefragmentResponse,
  DowngradeInfo,
  HashKVRequest,
  HashKVResponse,
  HashResponse,
  Maintenance,
  MoveLeaderRequest,
  MoveLeaderResponse,
  type ResponseHeader,
  StatusResponse,
} from "../proto/gen/etcdserverpb.ts";
import type { Method, ServerCall, UnaryMethod } from "../wire/grpc/server-call.ts";
import { alarmMethods, alarmText } from "./alarms.ts";
import { decodeRequest, fail, reply } from "./answer.ts";
import { downgradeMethod } from "./downgrade.ts";
import type { HashQueue, StateHash } from "./hash-queue.ts";
import { headerAt, type Identity } from "./headers.ts";
import type { MembershipCalls } from "./ports.ts";
import { QUOTA_BYTES_DEFAULT } from "./quota.ts";

export interface MaintenanceBackend {
  readonly group: Group;
  readonly identity: Identity;
  /** Shared with whoever else hashes the state: one hash is taken at a time. */
  readonly hashes: HashQueue;
  readonly membership: MembershipCalls;
  /** Bytes of the state's file, and those that hold data. */
  readonly sizeBytes: () => number;
  readonly sizeInUseBytes: () => number;
  /** The space quota as it was configured: 0 stands for the default, less for none. */
  readonly quotaBytes: number;
}

type Handler = UnaryMethod["unary"];

export function maintenanceMethods(backend: MaintenanceBackend): Method[] {
  const { hashes } = backend;
  const status = (call: ServerCall): void => reply(call, StatusResponse, statusOf(backend));
  const hashKv: Handler = (call, bytes, start, end) => {
    const { revision } = decodeRequest(HashKVRequest, bytes, start, end);
    answerHash(hashes, call, revision, ({ hash, revision: hashRevision, compactRevision }) => {
      const header = headerOf(backend);
      reply(call, HashKVResponse, { header, hash, compactRevision, hashRevision });
    });
  };
  const hash = (call: ServerCall): void => {
    answerHash(hashes, call, 0, (state) => {
      reply(call, HashResponse, { header: headerOf(backend), hash: state.hash });
    });
  };
  const moveLeader: Handler = (call, bytes, start, end) => {
    const { targetID } = decodeRequest(MoveLeaderRequest, bytes, start, end);
    backend.membership.moveLeader(targetID, (error) => {
      // Without a header, as in etcd.
      if (error === undefined) reply(call, MoveLeaderResponse, { header: undefined });
      else fail(call, error);
    });
  };
  const defragment = (call: ServerCall): void => {
    backend.group.compactor.defragment((error) => {
      // Without a header, as in etcd.
      if (error === undefined) reply(call, DefragmentResponse, { header: undefined });
      else fail(call, error);
    });
  };
  return [
    { path: Maintenance.Status.path, unary: status },
    { path: AetherMaintenance.Status.path, unary: status },
    { path: Maintenance.HashKV.path, unary: hashKv },
    { path: AetherMaintenance.Hash.path, unary: hashKv }, // the same messages
    { path: Maintenance.Hash.path, unary: hash },
    { path: Maintenance.MoveLeader.path, unary: moveLeader },
    { path: AetherMaintenance.MoveLeader.path, unary: moveLeader },
    { path: Maintenance.Defragment.path, unary: defragment },
    { path: AetherMaintenance.Defragment.path, unary: defragment },
    downgradeMethod(backend),
    ...alarmMethods(backend),
  ];
}

function answerHash(
  hashes: HashQueue,
  call: ServerCall,
  revision: number,
  answer: (hash: StateHash) => void,
): void {
  hashes.take(
    revision,
    () => !call.cancelled,
    (result) => {
      if (result instanceof AetherError) fail(call, result);
      else answer(result);
    },
  );
}

function headerOf({ identity, group }: MaintenanceBackend): ResponseHeader {
  return headerAt(identity, group.machine.revision, group.term);
}

/** How this member is; never waits for others. */
export function statusOf(
  backend: Omit<MaintenanceBackend, "hashes" | "membership">,
): StatusResponse {
  const { group, identity, sizeBytes, sizeInUseBytes, quotaBytes } = backend;
  const { machine, term, leader } = group;
  const { version, downgradeTarget } = machine.clusterVersion;
  return StatusResponse.create({
    header: headerAt(identity, machine.revision, term),
    version: ETCD_VERSION,
    dbSize: sizeBytes(),
    leader,
    raftIndex: group.committedIndex,
    raftTerm: term,
    raftAppliedIndex: group.appliedIndex,
    errors: [
      ...(leader === 0n ? ["etcdserver: no leader"] : []),
      ...machine.alarms().map(alarmText),
    ],
    dbSizeInUse: sizeInUseBytes(),
    isLearner: machine.member(identity.memberId)?.isLearner === true,
    storageVersion: version,
    dbSizeQuota: quotaBytes === 0 ? QUOTA_BYTES_DEFAULT : quotaBytes,
    downgradeInfo: DowngradeInfo.create({
      enabled: downgradeTarget !== undefined,
      targetVersion: downgradeTarget ?? "",
    }),
  });
}
