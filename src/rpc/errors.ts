/**
 * The one table from our expected failures to what clients see. etcd's Go client looks the text
 * up and takes the code from its own table; other clients look at the code: both must be etcd's.
 * A code of base/errors.ts without a row here does not compile.
 */
import { AetherError, type ErrorCode } from "../base/errors.ts";
import type { Failure } from "../wire/grpc/server-call.ts";
import { GrpcCode } from "../wire/grpc/status.ts";

const {
  INVALID_ARGUMENT,
  OUT_OF_RANGE,
  RESOURCE_EXHAUSTED,
  NOT_FOUND,
  FAILED_PRECONDITION,
  UNAVAILABLE,
  DEADLINE_EXCEEDED,
  CANCELLED,
  UNIMPLEMENTED,
  UNKNOWN,
  DATA_LOSS,
  INTERNAL,
  PERMISSION_DENIED,
  UNAUTHENTICATED,
} = GrpcCode;

/** `undefined` as the text: the error's own detail is shown (failures etcd has no text for). */
const WIRE = {
  empty_key: [INVALID_ARGUMENT, "etcdserver: key is not provided"],
  key_not_found: [INVALID_ARGUMENT, "etcdserver: key not found"],
  value_provided: [INVALID_ARGUMENT, "etcdserver: value is provided"],
  lease_provided: [INVALID_ARGUMENT, "etcdserver: lease is provided"],
  too_many_ops: [INVALID_ARGUMENT, "etcdserver: too many operations in txn request"],
  duplicate_key: [INVALID_ARGUMENT, "etcdserver: duplicate key given in txn request"],
  invalid_sort_option: [INVALID_ARGUMENT, "etcdserver: invalid sort option"],
  request_too_large: [INVALID_ARGUMENT, "etcdserver: request is too large"],
  answer_too_large: [RESOURCE_EXHAUSTED, undefined],
  invalid_argument: [INVALID_ARGUMENT, undefined],
  lease_ttl_too_large: [OUT_OF_RANGE, "etcdserver: too large lease TTL"],
  lease_ttl_over_limit: [INVALID_ARGUMENT, undefined],
  unsupported_sort_stream: [UNIMPLEMENTED, "RangeStream does not support custom sort orders"],
  unsupported_filter_stream: [UNIMPLEMENTED, "RangeStream does not support revision filters"],
  compacted: [OUT_OF_RANGE, "etcdserver: mvcc: required revision has been compacted"],
  future_revision: [OUT_OF_RANGE, "etcdserver: mvcc: required revision is a future revision"],
  lease_not_found: [NOT_FOUND, "etcdserver: requested lease not found"],
  lease_exists: [FAILED_PRECONDITION, "etcdserver: lease already exists"],
  too_many_leases: [RESOURCE_EXHAUSTED, undefined],
  not_found: [NOT_FOUND, undefined],
  member_not_found: [NOT_FOUND, "etcdserver: member not found"],
  member_exists: [FAILED_PRECONDITION, "etcdserver: member ID already exist"],
  peer_urls_exist: [FAILED_PRECONDITION, "etcdserver: Peer URLs already exists"],
  bad_member_urls: [INVALID_ARGUMENT, "etcdserver: given member URLs are invalid"],
  // etcd sends this one as Unknown, by the same mistake as the one at too_many_requests.
  too_few_started_members: [
    UNKNOWN,
    "etcdserver: re-configuration failed due to not enough started members",
  ],
  not_a_learner: [FAILED_PRECONDITION, "etcdserver: can only promote a learner member"],
  learner_not_ready: [
    FAILED_PRECONDITION,
    "etcdserver: can only promote a learner member which is in sync with leader",
  ],
  too_many_learners: [FAILED_PRECONDITION, "etcdserver: too many learner members in cluster"],
  bad_transferee: [FAILED_PRECONDITION, "etcdserver: bad leader transferee"],
  not_for_learners: [FAILED_PRECONDITION, "etcdserver: rpc not supported for learner"],
  no_space: [RESOURCE_EXHAUSTED, "etcdserver: mvcc: database space exceeded"],
  // The code of etcd's own table. Its server sends Unknown, since it maps this one to the client's
  // error type (3.7.1 util.go); Go's clients take the code from their table by the text.
  too_many_requests: [RESOURCE_EXHAUSTED, "etcdserver: too many requests"],
  too_many_snapshots: [RESOURCE_EXHAUSTED, undefined],
  snapshot_no_room: [RESOURCE_EXHAUSTED, undefined],
  corrupt: [DATA_LOSS, "etcdserver: corrupt cluster"],
  invalid_downgrade_target: [INVALID_ARGUMENT, "etcdserver: invalid downgrade target version"],
  downgrade_version_format: [INVALID_ARGUMENT, "etcdserver: wrong downgrade target version format"],
  downgrade_in_progress: [
    FAILED_PRECONDITION,
    "etcdserver: cluster has a downgrade job in progress",
  ],
  user_empty: [INVALID_ARGUMENT, "etcdserver: user name is empty"],
  user_exists: [FAILED_PRECONDITION, "etcdserver: user name already exists"],
  user_not_found: [FAILED_PRECONDITION, "etcdserver: user name not found"],
  role_empty: [INVALID_ARGUMENT, "etcdserver: role name is empty"],
  role_exists: [FAILED_PRECONDITION, "etcdserver: role name already exists"],
  role_not_found: [FAILED_PRECONDITION, "etcdserver: role name not found"],
  role_not_granted: [FAILED_PRECONDITION, "etcdserver: role is not granted to the user"],
  permission_not_given: [INVALID_ARGUMENT, "etcdserver: permission not given"],
  permission_not_granted: [
    FAILED_PRECONDITION,
    "etcdserver: permission is not granted to the role",
  ],
  permission_denied: [PERMISSION_DENIED, "etcdserver: permission denied"],
  root_user_missing: [FAILED_PRECONDITION, "etcdserver: root user does not exist"],
  root_role_missing: [FAILED_PRECONDITION, "etcdserver: root user does not have root role"],
  invalid_auth_management: [INVALID_ARGUMENT, "etcdserver: invalid auth management"],
  invalid_auth_token: [UNAUTHENTICATED, "etcdserver: invalid auth token"],
  auth_failed: [INVALID_ARGUMENT, "etcdserver: authentication failed, invalid user ID or password"],
  auth_not_enabled: [FAILED_PRECONDITION, "etcdserver: authentication is not enabled"],
  auth_old_revision: [INVALID_ARGUMENT, "etcdserver: revision of auth store is old"],
  // These three are not among those that etcd's server maps: Unknown, with the text as it is.
  no_password_user: [
    UNKNOWN,
    "auth: authentication failed, password was given for no password user",
  ],
  password_too_long: [UNKNOWN, "bcrypt: password length exceeds 72 bytes"],
  token_not_signed: [UNKNOWN, "auth: token signing attempted with verify-only key"],
  // Those of etcd's client library, in which its servers of locks and elections are written.
  session_expired: [UNKNOWN, "mutex: session is expired"],
  election_no_leader: [UNKNOWN, "election: no leader"],
  election_not_leader: [UNKNOWN, "election: not leader"],
  leader_not_given: [UNKNOWN, '"leader" field must be provided'],
  no_leader: [UNAVAILABLE, "etcdserver: no leader"],
  not_leader: [FAILED_PRECONDITION, "etcdserver: not leader"],
  leader_changed: [UNAVAILABLE, "etcdserver: leader changed"],
  stopped: [UNAVAILABLE, "etcdserver: server stopped"],
  timeout: [UNAVAILABLE, "etcdserver: request timed out"],
  timeout_leader_failure: [
    UNAVAILABLE,
    "etcdserver: request timed out, possibly due to previous leader failure",
  ],
  timeout_leader_transfer: [
    UNKNOWN,
    "etcdserver: request timed out, leader transfer took too long",
  ],
  unhealthy: [UNAVAILABLE, "etcdserver: unhealthy cluster"],
  not_primary_lessor: [UNKNOWN, "not a primary lessor"],
  canceled: [CANCELLED, "etcdserver: request canceled"],
  deadline_exceeded: [DEADLINE_EXCEEDED, "context deadline exceeded"],
  unknown_method: [UNKNOWN, "etcdserver: unknown method"],
  unimplemented: [UNIMPLEMENTED, undefined],
  undecodable: [INTERNAL, undefined], // grpc-go's code for a request it cannot unmarshal
} satisfies Record<ErrorCode, readonly [GrpcCode, string | undefined]>;

/** How an expected failure ends an RPC. */
export function failureOf(error: AetherError): Failure {
  const [code, text] = WIRE[error.code];
  return { code, message: text ?? error.detail };
}

/** What a handler threw, as a failure; undefined if it is nothing that was to be expected. */
export function expectedFailure(error: unknown): Failure | undefined {
  return error instanceof AetherError ? failureOf(error) : undefined;
}

/** The text alone, for answers that carry an error in a field (watch cancel reasons). */
export function textOf(error: AetherError): string {
  return failureOf(error).message;
}

/** The text as Go prints an error of gRPC: etcd gives it as the reason of a refused watcher. */
export function goTextOf(error: AetherError): string {
  const { code, message } = failureOf(error);
  return `rpc error: code = ${goNameOf(code)} desc = ${message}`;
}

/** A code as Go spells it: PermissionDenied. */
function goNameOf(code: GrpcCode): string {
  const name = Object.entries(GrpcCode).find(([, each]) => each === code)?.[0] ?? "";
  const words = name === "CANCELLED" ? ["CANCELED"] : name.split("_");
  return words.map((word) => word.charAt(0) + word.slice(1).toLowerCase()).join("");
}
