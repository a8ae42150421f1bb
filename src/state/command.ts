/**
 * Commands: what the log carries. All proposals of one event-loop turn travel as one batch in one
 * Raft entry, so the cost of an entry (bookkeeping, a log row, a message) is shared by them.
 *
 *   batch   = version u8 · origin u64 · sequence u64 · count u32 · command × count
 *   command = kind u8 · length u32 · body (a protobuf message, named beside the kind)
 *
 * A prefix (kind onBehalf) looks like a command and is none: it has no outcome and is not counted.
 * It says on whose behalf the commands behind it are, up to the next prefix; without one they are
 * on nobody's, so that nothing is paid for it while auth is off.
 *
 * origin is the member that proposed the batch and sequence its number there: the proposer finds
 * its waiting calls by them when the entry is applied. Integers are big-endian.
 */
import { assert } from "../base/assert.ts";
import type { ByteWriter } from "../base/bytes.ts";
import { type Caller, encodeCaller } from "./auth/caller.ts";

/** The log's format; an older program refuses a newer one instead of guessing. */
export const COMMAND_FORMAT = 1;

export const BATCH_HEADER_BYTES = 1 + 8 + 8 + 4;
const COMMAND_HEADER_BYTES = 1 + 4;

/** Numbers are part of the log format: never reuse one. The body is named on the right. */
export const CommandKind = {
  put: 1, // etcdserverpb.PutRequest
  deleteRange: 2, // etcdserverpb.DeleteRangeRequest
  txn: 3, // etcdserverpb.TxnRequest
  compact: 4, // etcdserverpb.CompactionRequest
  leaseGrant: 5, // etcdserverpb.LeaseGrantRequest, ID and TTL chosen by the leader
  leaseRevoke: 6, // etcdserverpb.LeaseRevokeRequest
  leaseExpire: 7, // aether.v1.LeaseExpire: revoke many, refused if the leader's term is old
  memberAdd: 8, // etcdserverpb.Member, in the context of a configuration change (as 9 to 11)
  memberRemove: 9, // etcdserverpb.MemberRemoveRequest
  memberPromote: 10, // etcdserverpb.MemberPromoteRequest
  memberUpdate: 11, // etcdserverpb.MemberUpdateRequest: other peer URLs
  memberPublish: 12, // etcdserverpb.Member: a member's own name and client URLs
  alarm: 13, // etcdserverpb.AlarmRequest: raise or clear
  onBehalf: 14, // no command but a prefix: who asks for those behind it (auth/caller.ts)
  authEnable: 15, // etcdserverpb.AuthEnableRequest
  authDisable: 16, // etcdserverpb.AuthDisableRequest
  authenticate: 17, // aether.v1.Authenticated
  userAdd: 18, // etcdserverpb.AuthUserAddRequest with a hash instead of the password, as 20
  userDelete: 19, // etcdserverpb.AuthUserDeleteRequest
  userChangePassword: 20, // etcdserverpb.AuthUserChangePasswordRequest
  userGrantRole: 21, // etcdserverpb.AuthUserGrantRoleRequest
  userRevokeRole: 22, // etcdserverpb.AuthUserRevokeRoleRequest
  roleAdd: 23, // etcdserverpb.AuthRoleAddRequest
  roleDelete: 24, // etcdserverpb.AuthRoleDeleteRequest
  roleGrantPermission: 25, // etcdserverpb.AuthRoleGrantPermissionRequest
  roleRevokePermission: 26, // etcdserverpb.AuthRoleRevokePermissionRequest
  signingKey: 27, // the bytes of a key drawn by chance: the first one is kept
  authBegin: 28, // etcdserverpb.AuthUserAddRequest, of which the hash counts: root, and auth on
  clusterVersion: 40, // etcdserverpb.DowngradeRequest, of which the version counts
  downgrade: 41, // etcdserverpb.DowngradeRequest: enable or cancel
  leaseCheckpoint: 50, // aether.v1.LeaseCheckpoints: what is left of leases, refused as leaseExpire
  quotaAlarm: 42, // etcdserverpb.AlarmRequest: a member's own quota raises or clears NOSPACE
} as const;

export type CommandKind = (typeof CommandKind)[keyof typeof CommandKind];

/** Starts a batch in `out`, which must be empty; the count is patched by endBatch. */
export function beginBatch(out: ByteWriter, origin: bigint, sequence: number): void {
  assert(out.length === 0, "a batch starts in an empty writer");
  out.u8(COMMAND_FORMAT);
  out.u64(origin);
  out.u64(BigInt(sequence));
  out.u32(0);
}

/** Adds one command whose body is bytes[start, end). */
export function addCommand(
  out: ByteWriter,
  kind: CommandKind,
  bytes: Uint8Array,
  start: number,
  end: number,
): void {
  out.u8(kind);
  out.u32(end - start);
  out.append(bytes, start, end);
}

/** Says on whose behalf the commands that follow are; not counted by endBatch(). */
export function addCaller(out: ByteWriter, caller: Caller | undefined): void {
  const body = encodeCaller(caller);
  addCommand(out, CommandKind.onBehalf, body, 0, body.length);
}

/** Ends the batch; returns its bytes, owned by the caller. */
export function endBatch(out: ByteWriter, count: number): Uint8Array {
  out.bytes.writeUInt32BE(count, BATCH_HEADER_BYTES - 4);
  const payload = out.copy();
  out.reset();
  return payload;
}

/** A copy of a batch under another number of its origin; owned by the caller. */
export function renumberBatch(payload: Buffer, sequence: number): Buffer {
  const copy = Buffer.from(payload);
  copy.writeBigUInt64BE(BigInt(sequence), 9);
  return copy;
}

/** Who proposed a batch, and its number there, without reading the rest. */
export function batchOrigin(payload: Buffer): bigint {
  return payload.readBigUInt64BE(1);
}

export function batchSequence(payload: Buffer): number {
  return Number(payload.readBigUInt64BE(9));
}

/**
 * Whether every member can apply a batch that another one passed on: a broken entry in the log
 * would end them all, again and again. What is in the commands is judged when they are applied.
 */
export function isSoundBatch(payload: Buffer): boolean {
  return isBatchOf(payload, FREE);
}

/** The same for what stands in a change of Raft's configuration. */
export function isSoundChange(payload: Buffer): boolean {
  return isBatchOf(payload, KNOWN);
}

/** One look at each head, no allocation: every entry of every follower passes here. */
function isBatchOf(payload: Buffer, kinds: Uint8Array): boolean {
  const { length } = payload;
  if (length < BATCH_HEADER_BYTES || payload[0] !== COMMAND_FORMAT) return false;
  let count = 0;
  let at = BATCH_HEADER_BYTES;
  while (at + COMMAND_HEADER_BYTES <= length) {
    const kind = payload[at] as number;
    if (kinds[kind] === 0) return false;
    if (kind !== CommandKind.onBehalf) count++;
    at += COMMAND_HEADER_BYTES + payload.readUInt32BE(at + 1);
  }
  return at === length && count === payload.readUInt32BE(BATCH_HEADER_BYTES - 4);
}

/** 1 at each kind that there is. */
const KNOWN = new Uint8Array(256);
for (const kind of Object.values(CommandKind)) KNOWN[kind] = 1;

/** Commands that exist, and that do not belong into a change of Raft's configuration. */
const FREE = KNOWN.slice().fill(0, CommandKind.memberAdd, CommandKind.memberUpdate + 1);

/** Reads a batch command by command, in place. */
export class BatchReader {
  readonly count: number;
  /** The command that next() stands on: its kind and its body, payload[start, end). */
  kind = 0;
  start = 0;
  end = BATCH_HEADER_BYTES;
  readonly payload: Buffer;

  constructor(payload: Buffer) {
    assert(payload.length >= BATCH_HEADER_BYTES, "a command batch has a whole header");
    assert(
      payload[0] === COMMAND_FORMAT,
      `command format ${payload[0]} is unknown: newer program?`,
    );
    this.payload = payload;
    this.count = payload.readUInt32BE(17);
  }

  /** The member that proposed the batch. */
  get origin(): bigint {
    return this.payload.readBigUInt64BE(1);
  }

  /** The batch's number at its origin. */
  get sequence(): number {
    return Number(this.payload.readBigUInt64BE(9));
  }

  /** Steps to the next command; false at the end of the batch. */
  next(): boolean {
    const at = this.end;
    if (at === this.payload.length) return false;
    assert(at + COMMAND_HEADER_BYTES <= this.payload.length, "a command has a whole header");
    this.kind = this.payload[at] as number;
    this.start = at + COMMAND_HEADER_BYTES;
    this.end = this.start + this.payload.readUInt32BE(at + 1);
    assert(this.end <= this.payload.length, "a command lies inside its batch");
    return true;
  }
}
