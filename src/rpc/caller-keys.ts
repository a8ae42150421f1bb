/**
 * Keys and leases for operations of coord/, as the client of one call may use them: what an
 * operation does on the way is checked, bounded and refused as if the client had asked for it.
 */
import { assert } from "../base/assert.ts";
import { ByteWriter, type Key } from "../base/bytes.ts";
import { AetherError } from "../base/errors.ts";
import type { CallerKeys } from "../coord/ports.ts";
import { DeleteRangeRequest, type RangeRequest, TxnRequest } from "../proto/gen/etcdserverpb.ts";
import type { MessageType } from "../proto/message.ts";
import { CommandKind } from "../state/command.ts";
import type { Outcome, RangeResult, TxnResult } from "../state/results.ts";
import { checkDeleteRange, checkRange, checkTxn } from "../state/validate.ts";
import type { ServerCall } from "../wire/grpc/server-call.ts";
import { checkSize } from "./answer.ts";
import type { Authorizer } from "./authorize.ts";
import { type GrantParts, proposeGrant } from "./lease-grant.ts";

const body = new ByteWriter();

/** What these calls may do is judged as if `call` had asked for each of them. */
export function callerKeys(parts: GrantParts, auth: Authorizer, call: ServerCall): CallerKeys {
  const { group } = parts;
  const propose = <T>(kind: CommandKind, type: MessageType<T>, request: T): Promise<Outcome> => {
    type.encode(request, body);
    const bytes = body.copy();
    body.reset();
    checkSize(0, bytes.length);
    const caller = auth.callerOf(call);
    return new Promise((resolve) => group.propose(kind, bytes, 0, bytes.length, resolve, caller));
  };
  return {
    async txn(request: TxnRequest): Promise<TxnResult> {
      checkTxn(request);
      return resultOf(await propose(CommandKind.txn, TxnRequest, request), "txn");
    },
    async delete(key: Key): Promise<number> {
      const request = DeleteRangeRequest.create({ key });
      checkDeleteRange(request);
      const outcome = await propose(CommandKind.deleteRange, DeleteRangeRequest, request);
      return resultOf(outcome, "deleteRange").revision;
    },
    async range(request: RangeRequest): Promise<RangeResult> {
      checkRange(request);
      const { promise, resolve } = Promise.withResolvers<AetherError | undefined>();
      group.read(resolve);
      const failure = await promise;
      if (failure !== undefined) throw failure;
      auth.checkRead(call, request);
      return group.machine.range(request);
    },
    async grant(ttlSeconds: number): Promise<bigint> {
      const { promise, resolve } = Promise.withResolvers<Outcome>();
      const { id } = proposeGrant(parts, { id: 0n, ttlSeconds }, resolve);
      resultOf(await promise, "leaseGrant");
      return id;
    },
  };
}

/** The result of a command of this kind, or its failure thrown. */
function resultOf<K extends Exclude<Outcome, AetherError>["kind"]>(
  outcome: Outcome,
  kind: K,
): Extract<Outcome, { readonly kind: K }> {
  if (outcome instanceof AetherError) throw outcome;
  assert(isOf(outcome, kind), "a command has a result of its kind");
  return outcome;
}

function isOf<K extends Exclude<Outcome, AetherError>["kind"]>(
  outcome: Exclude<Outcome, AetherError>,
  kind: K,
): outcome is Extract<Outcome, { readonly kind: K }> {
  return outcome.kind === kind;
}
