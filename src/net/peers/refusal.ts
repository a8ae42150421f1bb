/** Why a caller is refused: a reason that is counted, and a text that says what to do. */
import { GrpcCode } from "../../wire/grpc/status.ts";

/** Why a call or a frame was refused. */
export type RefusalReason =
  | "malformed" // no hello, or bytes that are none of our messages
  | "format" // another version of the peer protocol
  | "wrong-cluster"
  | "wrong-recipient" // meant for another member
  | "unknown-sender" // no member that we know, or ourselves
  | "removed" // was a member once, and can never be again
  | "unauthorized"
  | "no-secret" // wants to prove that it knows one, and we have none
  | "corrupt"; // a checksum does not fit, or a copy of the state cannot be

const CODES = {
  malformed: GrpcCode.INVALID_ARGUMENT,
  format: GrpcCode.FAILED_PRECONDITION,
  "wrong-cluster": GrpcCode.FAILED_PRECONDITION,
  "wrong-recipient": GrpcCode.FAILED_PRECONDITION,
  "unknown-sender": GrpcCode.PERMISSION_DENIED,
  removed: GrpcCode.PERMISSION_DENIED,
  unauthorized: GrpcCode.UNAUTHENTICATED,
  "no-secret": GrpcCode.FAILED_PRECONDITION,
  corrupt: GrpcCode.DATA_LOSS,
} as const satisfies Record<RefusalReason, GrpcCode>;

/** A peer's fault; ends its call. */
export class PeerRefusal extends Error {
  override readonly name = "PeerRefusal";
  readonly reason: RefusalReason;
  readonly code: GrpcCode;
  readonly trailers: readonly string[];

  constructor(reason: RefusalReason, message: string, trailers: readonly string[] = []) {
    super(message);
    this.reason = reason;
    this.code = CODES[reason];
    this.trailers = trailers;
  }
}

/** Counters of what was refused, all zero. */
export function noRefusals(): Record<RefusalReason, number> {
  return {
    malformed: 0,
    format: 0,
    "wrong-cluster": 0,
    "wrong-recipient": 0,
    "unknown-sender": 0,
    removed: 0,
    unauthorized: 0,
    "no-secret": 0,
    corrupt: 0,
  };
}
