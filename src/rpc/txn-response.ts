/** TxnResponse from a result, without an object in between. */
import type { ByteWriter } from "../base/bytes.ts";
import { HeaderEncoder } from "../proto/hot/header.ts";
import {
  addDeleteRange,
  addPut,
  addRange,
  beginNestedTxn,
  beginTxn,
  endNestedTxn,
} from "../proto/hot/responses.ts";
import type { OperationResult, TxnResult } from "../state/results.ts";

/** Headers inside a transaction hold the revision only (etcd's rule). */
const inner = new HeaderEncoder(0n, 0n);

/** Bytes of the key values in a response: nearly all of it. */
export function kvBytesOfTxn(result: TxnResult): number {
  let bytes = 0;
  for (const response of result.responses) {
    if (response.kind === "txn") bytes += kvBytesOfTxn(response);
    else if (response.kind === "range") bytes += bytesOf(response.kvs);
    else if (response.kind === "deleteRange") bytes += bytesOf(response.previous);
    else bytes += response.previous?.length ?? 0;
  }
  return bytes;
}

function bytesOf(kvs: readonly Uint8Array[]): number {
  let bytes = 0;
  for (const kv of kvs) bytes += kv.length;
  return bytes;
}

/** Appends the response of a whole transaction. */
export function encodeTxnResult(header: HeaderEncoder, result: TxnResult, out: ByteWriter): void {
  beginTxn(header, result.succeeded, out);
  for (const response of result.responses) addResponse(response, out);
}

function addResponse(result: OperationResult, out: ByteWriter): void {
  const header = inner.at(result.revision, 0);
  switch (result.kind) {
    case "put":
      addPut(header, result.previous, out);
      break;
    case "deleteRange":
      addDeleteRange(header, result.deleted, result.previous, out);
      break;
    case "range":
      addRange(header, result.kvs, result.more, result.count, out);
      break;
    case "txn": {
      const nested = beginNestedTxn(header, result.succeeded, out);
      for (const response of result.responses) addResponse(response, out);
      endNestedTxn(nested, out);
      break;
    }
  }
}
