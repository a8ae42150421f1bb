/** Expected failures between members: the codes that one may send, and what another makes of it. */
import { AetherError, type ErrorCode } from "../../base/errors.ts";

/** The trailer that bears the code of a failure; the status message is its detail. */
export const ERROR_FIELD = "x-aether-error";

/** The trailer that bears the seal of both, where there is a secret. */
export const ERROR_SEAL_FIELD = "x-aether-error-seal-bin";

/** What is sealed of a failure. A code has no zero byte. */
export function sealedText(code: string, detail: string): string {
  return `${code}\0${detail}`;
}

/** What a member may say about a proposal or a call; anything else reads as "unhealthy". */
const CODES: readonly ErrorCode[] = [
  "not_leader",
  "no_leader",
  "leader_changed",
  "too_many_requests",
  "no_space",
  "stopped",
  "timeout",
  "unhealthy",
  "lease_not_found",
  "not_primary_lessor",
  "compacted",
  "future_revision",
  "member_not_found",
  "member_exists",
  "peer_urls_exist",
  "bad_member_urls",
  "too_few_started_members",
  "not_a_learner",
  "learner_not_ready",
  "too_many_learners",
  "bad_transferee",
  "timeout_leader_failure",
  "timeout_leader_transfer",
  "not_found",
  "invalid_argument",
  "unimplemented",
  "corrupt",
];

/** The failure that a member named; a code from a newer release is kept in the detail. */
export function errorOf(code: string, detail: string): AetherError {
  const known = CODES.find((each) => each === code);
  if (known !== undefined) return new AetherError(known, detail);
  return new AetherError("unhealthy", detail === "" ? code : `${code}: ${detail}`);
}
