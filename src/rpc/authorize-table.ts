/**
 * What every RPC of every service needs while auth is enabled, by etcd's rules
 * (server/etcdserver/api/v3rpc, v3_server.go). There is no default: an RPC that is not named here
 * cannot be served, and a test walks the descriptors. What `judged` calls may do is decided where
 * the state is at hand: state/auth/judge.ts when a command is applied, the handlers when they read.
 */
import { assert } from "../base/assert.ts";
import * as aether from "../proto/gen/aether.v1.ts";
import * as etcd from "../proto/gen/etcdserverpb.ts";
import { Health } from "../proto/gen/grpc.health.v1.ts";
import { ServerReflection } from "../proto/gen/grpc.reflection.v1.ts";
import { ServerReflection as ServerReflectionAlpha } from "../proto/gen/grpc.reflection.v1alpha.ts";
import { Election } from "../proto/gen/v3electionpb.ts";
import { Lock } from "../proto/gen/v3lockpb.ts";
import { CommandKind } from "../state/command.ts";
import { checkedPeerUrls } from "../state/peer-urls.ts";
import {
  checkDeleteRange,
  checkPut,
  checkRange,
  checkRangeStream,
  checkTxn,
} from "../state/validate.ts";
import { decodeRequest } from "./answer.ts";

/**
 *   nothing      answers anybody
 *   valid token  anybody, but who shows a token shows a good one
 *   user         somebody, whoever it is
 *   judged       somebody; what he may do is judged at the keys, or when it is applied
 *   root         somebody with the role root
 *   members      never a client: members know each other by other means (net/peers/admission.ts)
 */
export type Need = "nothing" | "valid token" | "user" | "judged" | "root" | "members";

type Bytes = readonly [bytes: Uint8Array, start: number, end: number];

export interface AuthRow {
  /** A function where the request decides. */
  readonly needs: Need | ((...request: Bytes) => Need);
  /** Throws what is wrong with the request whoever asks: said before who may not ask. */
  readonly validate?: (...request: Bytes) => void;
  /** Of which kind it is in the log, where that may be refused for want of room before all else. */
  readonly kind?: CommandKind;
  /** Refusals are UNKNOWN, with the right text: etcd's service is a client of its own server. */
  readonly losesCode?: true;
}

/** The row of a method, by its path. */
export function rowOf(path: string): AuthRow {
  const row = ROWS.get(path);
  assert(row !== undefined, `${path} has no row in the table of what it needs`);
  return row;
}

type Service = Readonly<Record<string, { readonly path: string }>>;

/** One need for each method of a service. */
function rows<S extends Service>(
  service: S,
  needs: Readonly<Record<keyof S, Need | AuthRow>>,
): [string, AuthRow][] {
  return Object.entries(service).map(([name, { path }]) => {
    const need: Need | AuthRow = needs[name as keyof S];
    return [path, typeof need === "string" ? { needs: need } : need];
  });
}

/** The same need for all methods of a service. */
function all(service: Service, row: Need | AuthRow): [string, AuthRow][] {
  const needs = typeof row === "string" ? { needs: row } : row;
  return Object.values(service).map(({ path }) => [path, needs]);
}

const RANGE: AuthRow = {
  needs: "judged",
  validate: (...bytes) => checkRange(decodeRequest(etcd.RangeRequest, ...bytes)),
};

const RANGE_STREAM: AuthRow = {
  needs: "judged",
  validate: (...bytes) => checkRangeStream(decodeRequest(etcd.RangeRequest, ...bytes)),
};

const PUT: AuthRow = {
  needs: "judged",
  kind: CommandKind.put,
  validate: (...bytes) => checkPut(decodeRequest(etcd.PutRequest, ...bytes)),
};

const DELETE_RANGE: AuthRow = {
  needs: "judged",
  validate: (...bytes) => checkDeleteRange(decodeRequest(etcd.DeleteRangeRequest, ...bytes)),
};

const TXN: AuthRow = {
  // One that says nothing names no key that anybody could need a right to.
  needs: (_bytes, start, end) => (start === end ? "valid token" : "judged"),
  kind: CommandKind.txn,
  validate: (...bytes) => checkTxn(decodeRequest(etcd.TxnRequest, ...bytes)),
};

/** Looking at alarms is everybody's, raising and clearing them is not. */
const ALARM: AuthRow = {
  needs: (...bytes) => {
    const { action } = decodeRequest(etcd.AlarmRequest, ...bytes);
    return action === etcd.AlarmAction.GET ? "user" : "root";
  },
};

const LEASE = {
  LeaseGrant: "user",
  LeaseRevoke: "judged",
  LeaseKeepAlive: "judged",
  LeaseTimeToLive: "judged",
  LeaseLeases: "judged",
} as const;

const MEMBER_ADD: AuthRow = {
  needs: "root",
  validate: (...bytes) => {
    checkedPeerUrls(decodeRequest(etcd.MemberAddRequest, ...bytes).peerURLs);
  },
};

const CLUSTER = {
  MemberAdd: MEMBER_ADD,
  MemberRemove: "root",
  MemberUpdate: "root",
  MemberPromote: "root",
  MemberList: "user",
} as const;

/** Changes are judged when they are applied, questions about others by the handlers. */
const AUTH = {
  Authenticate: "nothing",
  AuthStatus: "valid token",
  AuthEnable: "judged",
  AuthDisable: "judged",
  UserAdd: "judged",
  UserGet: "judged",
  UserList: "judged",
  UserDelete: "judged",
  UserChangePassword: "judged",
  UserGrantRole: "judged",
  UserRevokeRole: "judged",
  RoleAdd: "judged",
  RoleGet: "judged",
  RoleList: "judged",
  RoleDelete: "judged",
  RoleGrantPermission: "judged",
  RoleRevokePermission: "judged",
} as const;

const ROWS: ReadonlyMap<string, AuthRow> = new Map([
  ...rows(etcd.KV, {
    ...{ Range: RANGE, RangeStream: RANGE_STREAM, Put: PUT, DeleteRange: DELETE_RANGE, Txn: TXN },
    Compact: "root",
  }),
  ...rows(etcd.Watch, { Watch: "judged" }),
  ...rows(etcd.Lease, LEASE),
  ...rows(etcd.Cluster, CLUSTER),
  ...rows(etcd.Maintenance, {
    Alarm: ALARM,
    Status: "user",
    Defragment: "root",
    Hash: "root",
    HashKV: "root",
    Snapshot: "root",
    MoveLeader: "root",
    Downgrade: "root",
  }),
  ...rows(etcd.Auth, AUTH),
  ...all(Lock, { needs: "judged", losesCode: true }),
  ...all(Election, { needs: "judged", losesCode: true }),
  ...rows(aether.AetherKV, {
    ...{ Range: RANGE, Put: PUT, Delete: DELETE_RANGE, Txn: TXN },
    Get: "judged",
  }),
  ...rows(aether.AetherWatch, { Watch: "judged" }),
  ...rows(aether.AetherLease, LEASE),
  ...rows(aether.AetherCluster, CLUSTER),
  ...rows(aether.AetherMaintenance, {
    Status: "user",
    AlarmList: "user",
    AlarmAdd: "root",
    AlarmDelete: "root",
    Defragment: "root",
    Compact: "root",
    Hash: "root",
    Snapshot: "root",
    MoveLeader: "root",
  }),
  ...rows(aether.AetherAuth, AUTH),
  ...all(aether.AetherBarrier, "judged"),
  ...all(aether.AetherElection, "judged"),
  ...all(aether.AetherLock, "judged"),
  ...all(aether.AetherQueue, "judged"),
  ...all(aether.AetherSession, "judged"),
  ...rows(aether.AetherShard, {
    CreateRegion: "root",
    SplitRegion: "root",
    MergeRegions: "root",
    GetRegion: "user",
    ListRegions: "user",
  }),
  ...all(aether.AetherPeer, "members"),
  ...all(Health, "nothing"),
  ...all(ServerReflection, "nothing"),
  ...all(ServerReflectionAlpha, "nothing"),
]);
