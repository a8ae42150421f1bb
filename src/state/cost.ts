/**
 * What requests cost by etcd's rules (storage/quota.go): an estimate of the room that a put or a
 * grant takes. What costs nothing is never refused for want of space.
 */
import { type PutRequest, type RequestOp, TxnRequest } from "../proto/gen/etcdserverpb.ts";
import { CommandKind } from "./command.ts";

/** What a key takes beside its name and its value. */
const KEY_BYTES = 256;

export const GRANT_BYTES = 64;

export function costOfPut(keyBytes: number, valueBytes: number): number {
  return KEY_BYTES + keyBytes + valueBytes;
}

/** That of the dearer branch: which one will run is not known before. */
export function costOfTxn({ success, failure }: TxnRequest): number {
  return Math.max(costOfAll(success), costOfAll(failure));
}

/** Whether a command takes room. */
export function hasCost(kind: number, bytes: Uint8Array, start: number, end: number): boolean {
  if (kind === CommandKind.put || kind === CommandKind.leaseGrant) return true;
  return kind === CommandKind.txn && costOfTxn(TxnRequest.decode(bytes, start, end)) > 0;
}

function costOfAll(operations: readonly RequestOp[]): number {
  let bytes = 0;
  for (const { requestPut, requestTxn } of operations) {
    if (requestPut !== undefined) bytes += costOfRequest(requestPut);
    else if (requestTxn !== undefined) bytes += costOfTxn(requestTxn);
  }
  return bytes;
}

function costOfRequest({ key, value }: PutRequest): number {
  return costOfPut(key.length, value.length);
}
