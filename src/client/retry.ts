/**
 * What may be tried again (the rules of etcd's Go client):
 *   any call    that certainly was not processed, on any server
 *   a read      on UNAVAILABLE, whatever happened: reading twice does no harm
 *   a write     never otherwise: the answer that was lost may have been a success
 *   any call    refused by a learner, when there is another server to ask
 * and beyond them, when there is another server to ask:
 *   any call    that a follower did not forward: it says so, and where the leader is
 *   any call    that found no leader: nobody has it, and a server elsewhere may know one
 */
import type { Random } from "../base/ports.ts";
import { AetherCluster, AetherKV, AetherLease, AetherMaintenance } from "../proto/gen/aether.v1.ts";
import {
  AlarmAction,
  type AlarmRequest,
  Auth,
  Cluster,
  KV,
  Lease,
  Maintenance,
  type RequestOp,
  type TxnRequest,
} from "../proto/gen/etcdserverpb.ts";
import type { MethodType } from "../proto/message.ts";
import { GrpcCode } from "../wire/grpc/status.ts";
import type { GrpcError } from "./grpc-error.ts";

/** Between two tries, when every endpoint was tried once: short, since an election takes longer
 * than a few of them and a restarted server should be found at once. */
export const RETRY_MS_MIN = 25;
/** Growth ends here: a client that waits longer notices a healed cluster too late. */
export const RETRY_MS_MAX = 1_000;
/** A call without a deadline gives up after this; a person would have long before. */
export const RETRY_TOTAL_MS_MAX = 10_000;

const LEARNER_REFUSAL = "etcdserver: rpc not supported for learner";
const NO_LEADER = "etcdserver: no leader";
/** host:port of the leader, from a follower that does not forward. */
const LEADER_TRAILER = "x-aether-leader";

const READS: ReadonlyMap<string, (request: unknown) => boolean> = new Map([
  ...always(KV.Range, KV.RangeStream, Maintenance.Status, Maintenance.Hash, Maintenance.HashKV),
  ...always(Cluster.MemberList, Lease.LeaseTimeToLive, Lease.LeaseLeases, Auth.AuthStatus),
  ...always(Auth.UserGet, Auth.UserList, Auth.RoleGet, Auth.RoleList),
  when(KV.Txn, readsOnly),
  when(Maintenance.Alarm, (request: AlarmRequest) => request.action === AlarmAction.GET),
  ...always(AetherKV.Get, AetherKV.Range, AetherCluster.MemberList, AetherLease.LeaseLeases),
  ...always(AetherLease.LeaseTimeToLive, AetherMaintenance.Status, AetherMaintenance.Hash),
  ...always(AetherMaintenance.AlarmList),
  when(AetherKV.Txn, readsOnly),
]);

/** True if doing it twice changes nothing. Unknown methods are writes. */
export function isRead(path: string, request: unknown): boolean {
  return READS.get(path)?.(request) === true;
}

/** True if the same request may be sent again after `failure`. */
export function mayRetry(failure: GrpcError, read: boolean, endpointCount: number): boolean {
  if (failure.unprocessed) return true;
  if (endpointCount > 1 && isElsewhere(failure)) return true;
  return failure.code === GrpcCode.UNAVAILABLE && read;
}

/** This server did not take the call, and another one may. */
function isElsewhere(failure: GrpcError): boolean {
  const { message } = failure;
  return message === LEARNER_REFUSAL || message === NO_LEADER || leaderOf(failure) !== undefined;
}

/** Where the leader is, `host:port`, if the server said so. */
export function leaderOf({ trailers }: GrpcError): string | undefined {
  return trailers.get(LEADER_TRAILER);
}

/**
 * How long to wait before try number `attempt` (the first repetition is 1): nothing while there are
 * endpoints that were not asked yet, then doubling, a fifth more or less by chance so that the
 * clients of a failed server do not come back in step.
 */
export function retryPauseMs(attempt: number, endpointCount: number, random: Random): number {
  if (attempt % endpointCount !== 0) return 0;
  const rounds = Math.min(attempt / endpointCount, 10);
  const plainMs = Math.min(RETRY_MS_MIN * 2 ** (rounds - 1), RETRY_MS_MAX);
  return jittered(plainMs, random);
}

/** `ms` times a number between 0.8 and 1.2. */
export function jittered(ms: number, random: Random): number {
  return ms * (0.8 + random.below(401) / 1000);
}

/** Every operation of both branches is a range; nested transactions count as what they hold. */
function readsOnly(txn: TxnRequest): boolean {
  return txn.success.every(isRange) && txn.failure.every(isRange);
}

function isRange(op: RequestOp): boolean {
  if (op.requestTxn !== undefined) return readsOnly(op.requestTxn);
  return op.requestRange !== undefined;
}

type Row = [string, (request: unknown) => boolean];

function always(...methods: readonly { readonly path: string }[]): Row[] {
  return methods.map(({ path }) => [path, () => true]);
}

function when<Request>(
  method: MethodType<Request, unknown>,
  test: (request: Request) => boolean,
): Row {
  return [method.path, (request) => test(request as Request)];
}
