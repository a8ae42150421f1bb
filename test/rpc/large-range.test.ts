import { expect, test } from "bun:test";
import { Turn } from "../../src/base/turn.ts";
import { HeaderEncoder } from "../../src/proto/hot/header.ts";
import { LargeRange, sizeOfKvs } from "../../src/rpc/large-range.ts";
import { LargeReads } from "../../src/rpc/large-reads.ts";
import type { RangeResult } from "../../src/state/results.ts";
import { FakeCall } from "./harness.ts";

test("an answer that no client could take is refused, not begun", () => {
  const kv = new Uint8Array(2 ** 20); // the same one over and over: only its size counts
  const kvs = new Array<Uint8Array>(2048).fill(kv);
  const result: RangeResult = { kind: "range", revision: 2, kvs, more: false, count: 2048 };
  const call = new FakeCall("/etcdserverpb.KV/Range");
  const range = new LargeRange(call, new Turn(() => {}), result, new LargeReads().begin());
  range.begin(new HeaderEncoder(1n, 1n).at(2, 1), sizeOfKvs(result));
  expect(call.text).toStartWith("8 grpc: trying to send message larger than max (2147");
  expect(call.messages.length).toBe(0);
});
