/**
 * What a caller may do, by etcd's rules (server/etcdserver/apply/auth.go, server/auth/store.go):
 * pure questions to the auth store, asked at apply for what goes through the log and by the
 * services for what is read. Nothing is refused while auth is off.
 *
 *   checkKeys  user_empty (nobody), auth_old_revision (permissions may be others since he was
 *              known), permission_denied
 *   checkRoot  user_empty, user_not_found, permission_denied; the revision is not looked at
 */
import type { Key } from "../../base/bytes.ts";
import { AetherError } from "../../base/errors.ts";
import type {
  Compare,
  DeleteRangeRequest,
  RequestOp,
  TxnRequest,
} from "../../proto/gen/etcdserverpb.ts";
import { noteAllowed, unjudgedKeys } from "../lease-judgements.ts";
import type { Leases } from "../leases.ts";
import { type AuthStore, type Right, ROOT } from "./auth-store.ts";
import type { Caller } from "./caller.ts";
import type { NamedRange } from "./key-ranges.ts";

/** Who asks, and what the answer depends on. */
export interface Question {
  readonly auth: AuthStore;
  readonly caller: Caller | undefined;
  readonly leases: Pick<Leases, "get">;
}

/** A put as far as permissions go: a PutRequest and a PutView are both one. */
interface AskedPut {
  readonly key: Key;
  readonly lease: bigint;
  readonly prevKv: boolean;
}

/** Whether the caller has `right` over the whole range. */
export function checkKeys({ auth, caller }: Question, right: Right, range: NamedRange): void {
  if (!auth.enabled) return;
  const user = knownUser(auth, caller);
  if (!auth.allows(user, right, range)) throw new AetherError("permission_denied");
}

/** Whether the caller has the role root. */
export function checkRoot({ auth, caller }: Pick<Question, "auth" | "caller">): void {
  if (!auth.enabled) return;
  if (caller === undefined || caller.user === "") throw new AetherError("user_empty");
  if (auth.user(caller.user) === undefined) throw new AetherError("user_not_found");
  if (!auth.hasRole(caller.user, ROOT)) throw new AetherError("permission_denied");
}

/** Write the key, and whatever hangs on its lease; read it, if the old version is asked for. */
export function checkPut(question: Question, { key, lease, prevKv }: AskedPut): void {
  const range = { key, rangeEnd: "" };
  checkKeys(question, "write", range);
  checkLease(question, "write", lease);
  if (prevKv) checkKeys(question, "read", range);
}

export function checkDeleteRange(question: Question, request: DeleteRangeRequest): void {
  checkKeys(question, "write", request);
  if (request.prevKv) checkKeys(question, "read", request);
}

/** All conditions, and all operations of both branches: whichever runs, nothing leaks. */
export function checkTxn(question: Question, request: TxnRequest): void {
  for (const compare of request.compare) checkKeys(question, "read", rangeOf(compare));
  for (const operation of request.success) checkOperation(question, operation);
  for (const operation of request.failure) checkOperation(question, operation);
}

/** `right` over every key that hangs on a lease; one that does not exist is no secret. */
export function checkLease(question: Question, right: Right, id: bigint): void {
  const lease = question.leases.get(id);
  if (lease === undefined || lease.keys.size === 0 || isRoot(question)) return;
  const { auth, caller } = question;
  const user = knownUser(auth, caller);
  const asked = { user, right, authRevision: auth.revision };
  for (const { key } of unjudgedKeys(lease, asked)) {
    if (!auth.allows(user, right, { key, rangeEnd: "" }))
      throw new AetherError("permission_denied");
  }
  noteAllowed(lease, asked);
}

/** Who asks, known by the present rules. */
function knownUser({ revision }: AuthStore, caller: Caller | undefined): string {
  if (caller === undefined || caller.authRevision === 0) throw new AetherError("user_empty");
  if (caller.authRevision < revision) throw new AetherError("auth_old_revision");
  return caller.user;
}

function checkOperation(question: Question, operation: RequestOp): void {
  const { requestRange, requestPut, requestDeleteRange, requestTxn } = operation;
  if (requestRange !== undefined) checkKeys(question, "read", requestRange);
  else if (requestPut !== undefined) checkPut(question, requestPut);
  else if (requestDeleteRange !== undefined) checkDeleteRange(question, requestDeleteRange);
  else if (requestTxn !== undefined) checkTxn(question, requestTxn);
}

function isRoot({ auth, caller }: Question): boolean {
  return !auth.enabled || (caller !== undefined && auth.hasRole(caller.user, ROOT));
}

function rangeOf({ key, rangeEnd }: Compare): NamedRange {
  return { key, rangeEnd };
}
