/**
 * Every error text that etcd 3.7.1 has for its clients (api/v3rpc/rpctypes/error.go, and what its
 * server sends as it is), with the code on the wire and the way to it: steps that provoke it, the
 * last of which is refused; a test that does; or why nobody is told it.
 *
 * Rows with steps are played in this order to one server: later ones find what earlier ones left.
 */
import { type Body, type Call, call } from "../differential/steps.ts";

export type ErrorRow = {
  readonly code: number;
  readonly text: string;
  /** What Aether answers instead, for a reason that stands with the row. */
  readonly ours?: string;
} & (
  | { readonly steps: readonly Call[] }
  | { readonly test: string; readonly as?: string }
  | { readonly never: string }
);

const [INVALID, DEADLINE, NOT_FOUND, EXHAUSTED, PRECONDITION] = [3, 4, 5, 8, 9];
const [CANCELLED, UNKNOWN, DENIED, OUT_OF_RANGE, UNIMPLEMENTED] = [1, 2, 7, 11, 12];
const [UNAVAILABLE, DATA_LOSS, UNAUTHENTICATED] = [14, 15, 16];

const put = (body: Body): Call => call("KV/Put", body);
const range = (body: Body): Call => call("KV/Range", body);
const txn = (...success: Body[]): Call => call("KV/Txn", { success });
const learner = (url: string): Call =>
  call("Cluster/MemberAdd", { peerURLs: [url], isLearner: true }, { save: "learner" });
const LEARNER = { $: "saved", name: "learner", path: "member.ID", otherwise: 1 } as const;
const OWN = { $: "own", what: "member" } as const;
const OWN_URL = { $: "own", what: "peerUrl" } as const;
const asRoot = (rpc: string, body: Body): Call => call(rpc, body, { token: "root" });
const NOSPACE = { memberID: 5, alarm: 1 };
const CORRUPT = { memberID: OWN, alarm: 2 };

function row(code: number, text: string, ...steps: Call[]): ErrorRow {
  return { code, text: `etcdserver: ${text}`, steps };
}

const tested = (code: number, text: string, test: string, as?: string): ErrorRow => ({
  code,
  text: `etcdserver: ${text}`,
  test,
  ...(as !== undefined && { as }),
});

const never = (code: number, text: string, why: string): ErrorRow => ({
  code,
  text: `etcdserver: ${text}`,
  never: why,
});

const KEYS: readonly ErrorRow[] = [
  row(INVALID, "key is not provided", put({})),
  row(INVALID, "key not found", put({ key: "none", ignoreValue: true })),
  row(INVALID, "value is provided", put({ key: "a", value: "b", ignoreValue: true })),
  row(INVALID, "lease is provided", put({ key: "a", lease: 1, ignoreLease: true })),
  row(
    INVALID,
    "too many operations in txn request",
    txn(...Array.from({ length: 129 }, () => ({ requestRange: { key: "a" } }))),
  ),
  row(
    INVALID,
    "duplicate key given in txn request",
    txn({ requestPut: { key: "a" } }, { requestPut: { key: "a" } }),
  ),
  row(INVALID, "invalid sort option", range({ key: "a", sortOrder: 9 })),
  row(INVALID, "request is too large", put({ key: "a", value: "x".repeat(1_600_000) })),
  {
    code: UNIMPLEMENTED,
    text: "RangeStream does not support custom sort orders",
    steps: [call("KV/RangeStream", { key: "a", sortOrder: 2 })],
  },
  {
    code: UNIMPLEMENTED,
    text: "RangeStream does not support revision filters",
    steps: [call("KV/RangeStream", { key: "a", minModRevision: 1 })],
  },
  row(
    OUT_OF_RANGE,
    "mvcc: required revision has been compacted",
    put({ key: "a" }),
    put({ key: "a" }),
    call("KV/Compact", { revision: 3 }),
    range({ key: "a", revision: 2 }),
  ),
  row(
    OUT_OF_RANGE,
    "mvcc: required revision is a future revision",
    range({ key: "a", revision: 99 }),
  ),
  row(NOT_FOUND, "requested lease not found", call("Lease/LeaseRevoke", { ID: 7 })),
  row(OUT_OF_RANGE, "too large lease TTL", call("Lease/LeaseGrant", { TTL: 9_000_000_001 })),
  row(
    PRECONDITION,
    "lease already exists",
    call("Lease/LeaseGrant", { ID: 8, TTL: 1000 }),
    call("Lease/LeaseGrant", { ID: 8, TTL: 1000 }),
  ),
];

const MEMBERS: readonly ErrorRow[] = [
  row(NOT_FOUND, "member not found", call("Cluster/MemberRemove", { ID: 9 })),
  row(INVALID, "given member URLs are invalid", learner("nonsense")),
  row(
    PRECONDITION,
    "Peer URLs already exists",
    call("Cluster/MemberAdd", { peerURLs: [OWN_URL], isLearner: true }),
  ),
  row(
    PRECONDITION,
    "can only promote a learner member",
    call("Cluster/MemberPromote", { ID: OWN }),
  ),
  row(
    PRECONDITION,
    "can only promote a learner member which is in sync with leader",
    learner("http://127.0.0.1:1"),
    call("Cluster/MemberPromote", { ID: LEARNER }),
  ),
  row(PRECONDITION, "too many learner members in cluster", learner("http://127.0.0.1:2")),
  row(
    PRECONDITION,
    "bad leader transferee",
    call("Cluster/MemberRemove", { ID: LEARNER }),
    call("Maintenance/MoveLeader", { targetID: 5 }),
  ),
  tested(PRECONDITION, "member ID already exist", "state/members.test.ts", "member_exists"),
  tested(
    UNKNOWN, // not FailedPrecondition: the server maps it to the client's own error
    "re-configuration failed due to not enough started members",
    "conformance/three-members.test.ts",
  ),
  tested(UNAVAILABLE, "unhealthy cluster", "rpc/cluster.test.ts"),
  tested(PRECONDITION, "rpc not supported for learner", "rpc/admission.test.ts"),
  tested(PRECONDITION, "not leader", "conformance/three-members.test.ts"),
  never(PRECONDITION, "cluster ID mismatch", "between members, at the door of peers"),
  never(PRECONDITION, "not capable", "of clusters that still speak version 2"),
];

const MAINTENANCE: readonly ErrorRow[] = [
  row(
    INVALID,
    "wrong downgrade target version format",
    call("Maintenance/Downgrade", { action: 0, version: "x" }),
  ),
  row(UNKNOWN, "unknown method", call("Maintenance/Downgrade", { action: 7, version: "3.6.0" })),
  row(
    INVALID,
    "invalid downgrade target version",
    call("Maintenance/Downgrade", { action: 0, version: "3.5.0" }),
  ),
  row(
    PRECONDITION,
    "cluster has a downgrade job in progress",
    call("Maintenance/Downgrade", { action: 1, version: "3.6.0" }),
    call("Maintenance/Downgrade", { action: 0, version: "3.6.0" }),
  ),
  never(PRECONDITION, "no inflight downgrade job", "cancelling none is no failure any more"),
  never(
    PRECONDITION,
    "cluster version not found during downgrade",
    "a cluster that answers has a version",
  ),
  row(
    EXHAUSTED,
    "mvcc: database space exceeded",
    call("Maintenance/Downgrade", { action: 2 }),
    call("Maintenance/Alarm", { action: 1, ...NOSPACE }),
    put({ key: "a" }),
  ),
];

const USERS: readonly ErrorRow[] = [
  row(
    PRECONDITION,
    "authentication is not enabled",
    call("Maintenance/Alarm", { action: 2, ...NOSPACE }),
    call("Auth/Authenticate", { name: "root", password: "p" }),
  ),
  row(PRECONDITION, "root user does not exist", call("Auth/AuthEnable", {})),
  row(
    PRECONDITION,
    "root user does not have root role",
    call("Auth/UserAdd", { name: "root", password: "p" }),
    call("Auth/AuthEnable", {}),
  ),
  row(INVALID, "user name is empty", call("Auth/UserAdd", { password: "p" })),
  row(
    PRECONDITION,
    "user name already exists",
    call("Auth/UserAdd", { name: "root", password: "p" }),
  ),
  row(PRECONDITION, "user name not found", call("Auth/UserGet", { name: "nobody" })),
  row(INVALID, "role name is empty", call("Auth/RoleAdd", {})),
  row(
    PRECONDITION,
    "role name already exists",
    call("Auth/RoleAdd", { name: "root" }),
    call("Auth/RoleAdd", { name: "root" }),
  ),
  row(PRECONDITION, "role name not found", call("Auth/RoleGet", { role: "nothing" })),
  row(
    PRECONDITION,
    "role is not granted to the user",
    call("Auth/UserRevokeRole", { name: "root", role: "root" }),
  ),
  row(
    PRECONDITION,
    "permission is not granted to the role",
    call("Auth/RoleRevokePermission", { role: "root", key: "a" }),
  ),
  row(INVALID, "permission not given", call("Auth/RoleGrantPermission", { name: "root" })),
  {
    code: UNKNOWN,
    text: "auth: authentication failed, password was given for no password user",
    // Aether tells nobody who exists.
    ours: "3 etcdserver: authentication failed, invalid user ID or password",
    steps: [
      call("Auth/UserAdd", { name: "bob", options: { noPassword: true } }),
      call("Auth/UserAdd", { name: "alice", password: "p" }),
      call("Auth/UserGrantRole", { user: "root", role: "root" }),
      call("Auth/AuthEnable", {}),
      call("Auth/Authenticate", { name: "root", password: "p" }, { save: "root" }),
      call("Auth/Authenticate", { name: "alice", password: "p" }, { save: "alice" }),
      call("Auth/Authenticate", { name: "bob", password: "p" }),
    ],
  },
  row(
    INVALID,
    "authentication failed, invalid user ID or password",
    call("Auth/Authenticate", { name: "root", password: "wrong" }),
  ),
  row(DENIED, "permission denied", call("KV/Range", { key: "a" }, { token: "alice" })),
  row(
    UNAUTHENTICATED,
    "invalid auth token",
    call("KV/Range", { key: "a" }, { metadata: { token: "nonsense" } }),
  ),
  row(INVALID, "invalid auth management", asRoot("Auth/UserDelete", { name: "root" })),
  tested(INVALID, "revision of auth store is old", "state/auth/judge.test.ts", "auth_old_revision"),
];

const OWNERS: readonly ErrorRow[] = [
  {
    code: UNKNOWN,
    text: '"leader" field must be provided',
    steps: [asRoot("Auth/AuthDisable", {}), call("Election/Proclaim", { value: "x" })],
  },
  {
    code: UNKNOWN,
    text: "election: no leader",
    steps: [call("Election/Leader", { name: "office" })],
  },
  {
    code: UNKNOWN,
    text: "election: not leader",
    steps: [
      call("Election/Proclaim", {
        leader: { name: "office", key: "office/1", rev: 2, lease: 1 },
        value: "x",
      }),
    ],
  },
  {
    code: UNKNOWN,
    text: "mutex: session is expired",
    test: "differential/coordination.test.ts",
  },
];

const TIMES: readonly ErrorRow[] = [
  row(
    DATA_LOSS,
    "corrupt cluster",
    call("Maintenance/Alarm", { action: 1, ...CORRUPT }),
    put({ key: "a" }),
  ),
  // The code of etcd's table; its server sends Unknown, since it maps this to its client's error.
  tested(EXHAUSTED, "too many requests", "rpc/services.test.ts"),
  tested(UNAVAILABLE, "no leader", "rpc/admission.test.ts"),
  tested(UNAVAILABLE, "leader changed", "rpc/services.test.ts"),
  tested(UNAVAILABLE, "server stopped", "rpc/lease.test.ts"),
  tested(UNAVAILABLE, "request timed out", "rpc/kv.test.ts"),
  tested(
    UNAVAILABLE,
    "request timed out, possibly due to previous leader failure",
    "node/cluster.test.ts",
    "timeout_leader_failure",
  ),
  tested(UNKNOWN, "request timed out, leader transfer took too long", "rpc/maintenance.test.ts"),
  { code: UNKNOWN, text: "not a primary lessor", test: "rpc/services.test.ts" },
  tested(CANCELLED, "request canceled", "rpc/services.test.ts"),
  never(
    UNAVAILABLE,
    "request timed out, possibly due to connection lost",
    "we do not guess why nobody answered in time",
  ),
  never(
    UNAVAILABLE,
    "request timed out, waiting for the applied index took too long",
    "what is too far behind is refused before it waits",
  ),
  never(CANCELLED, "watch canceled", "a stream that its client cancels has nobody to be told"),
  never(DEADLINE, "context deadline exceeded", "sent without the word before it, by gRPC itself"),
  never(INVALID, "invalid client api version", "of bytes that are no text, which nobody sends"),
];

export const ERRORS: readonly ErrorRow[] = [
  ...KEYS,
  ...MEMBERS,
  ...MAINTENANCE,
  ...USERS,
  ...OWNERS,
  ...TIMES,
];
