/** A transaction whose answer would not fit: a small request must not take all memory. */
import { expect, test } from "bun:test";
import {
  KV,
  PutRequest,
  RangeRequest,
  RequestOp,
  TxnRequest,
  TxnResponse,
} from "../../src/proto/gen/etcdserverpb.ts";
import { GrpcCode } from "../../src/wire/grpc/status.ts";
import { Harness } from "./harness.ts";

const KEY = "big";
const VALUE_BYTES = 1_000_000;

function ranges(count: number): RequestOp[] {
  const requestRange = RangeRequest.create({ key: KEY });
  return Array.from({ length: count }, () => RequestOp.create({ requestRange }));
}

test("the answer of a transaction is bounded, and says what to do instead", () => {
  const harness = new Harness();
  harness.call(KV.Put.path, PutRequest, { key: KEY, value: new Uint8Array(VALUE_BYTES) });
  const fits = harness.call(KV.Txn.path, TxnRequest, { success: ranges(2) });
  expect(fits.decode(TxnResponse).responses.length).toBe(2);
  const over = harness.call(KV.Txn.path, TxnRequest, { success: ranges(100) });
  expect(over.ending?.code).toBe(GrpcCode.RESOURCE_EXHAUSTED);
  expect(over.text).toContain("RangeStream");
  expect(over.endings).toBe(1);
});
