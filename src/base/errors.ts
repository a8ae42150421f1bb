/**
 * Expected failures: those the caller can do something about. One closed set of codes for the
 * whole program; rpc/errors.ts maps each to the gRPC code and the text that etcd's clients
 * compare, and a code without a row there does not compile.
 */

export type ErrorCode =
  // requests that cannot be right (the client must change them)
  | "empty_key"
  | "key_not_found"
  | "value_provided"
  | "lease_provided"
  | "too_many_ops"
  | "duplicate_key"
  | "invalid_sort_option"
  | "request_too_large"
  | "answer_too_large"
  | "invalid_argument"
  | "lease_ttl_too_large"
  | "lease_ttl_over_limit"
  | "unsupported_sort_stream"
  | "unsupported_filter_stream"
  // the state says no
  | "compacted"
  | "future_revision"
  | "lease_not_found"
  | "lease_exists"
  | "too_many_leases"
  | "not_found"
  | "member_not_found"
  | "member_exists"
  | "peer_urls_exist"
  | "bad_member_urls"
  | "too_few_started_members"
  | "not_a_learner"
  | "learner_not_ready"
  | "too_many_learners"
  | "bad_transferee"
  | "not_for_learners"
  | "no_space"
  | "too_many_requests"
  | "too_many_snapshots"
  | "snapshot_no_room"
  | "corrupt"
  | "invalid_downgrade_target"
  | "downgrade_version_format"
  | "downgrade_in_progress"
  // who asks, and what he may
  | "user_empty"
  | "user_exists"
  | "user_not_found"
  | "role_empty"
  | "role_exists"
  | "role_not_found"
  | "role_not_granted"
  | "permission_not_given"
  | "permission_not_granted"
  | "permission_denied"
  | "root_user_missing"
  | "root_role_missing"
  | "invalid_auth_management"
  | "invalid_auth_token"
  | "auth_failed"
  | "auth_not_enabled"
  | "auth_old_revision"
  | "no_password_user"
  | "password_too_long"
  | "token_not_signed"
  // locks and elections
  | "session_expired"
  | "election_no_leader"
  | "election_not_leader"
  | "leader_not_given"
  // the cluster says not now
  | "no_leader"
  | "not_leader"
  | "leader_changed"
  | "stopped"
  | "timeout"
  | "timeout_leader_failure"
  | "timeout_leader_transfer"
  | "unhealthy"
  | "not_primary_lessor"
  // the call itself
  | "canceled"
  | "deadline_exceeded"
  | "undecodable"
  | "unknown_method"
  | "unimplemented";

/**
 * An expected failure. `detail` is for logs and for native clients; etcd's clients get the exact
 * text of the table in rpc/errors.ts. `cause` is kept for logs and never sent.
 */
export class AetherError extends Error {
  override readonly name = "AetherError";
  readonly code: ErrorCode;
  readonly detail: string;

  constructor(code: ErrorCode, detail = "", options?: { cause?: unknown }) {
    super(detail === "" ? code : `${code}: ${detail}`, options);
    this.code = code;
    this.detail = detail;
  }
}
