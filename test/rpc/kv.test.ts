/** KV and AetherKV over a real group: what each call answers, and each way it fails. */
import { describe, expect, test } from "bun:test";
import {
  AetherKV,
  AetherMaintenance,
  DeleteRequest,
  DeleteResponse,
  GetRequest,
  GetResponse,
} from "../../src/proto/gen/aether.v1.ts";
import {
  CompactionRequest,
  CompactionResponse,
  Compare,
  DeleteRangeRequest,
  DeleteRangeResponse,
  KV,
  PutRequest,
  PutResponse,
  RangeRequest,
  RangeResponse,
  RequestOp,
  SortOrder,
  SortTarget,
  TxnRequest,
  TxnResponse,
} from "../../src/proto/gen/etcdserverpb.ts";
import type { MessageType } from "../../src/proto/message.ts";
import { MEMBER } from "../node/driven-group.ts";
import { bytesOfMessage, CLUSTER, type FakeCall, Harness } from "./harness.ts";

const bytes = (text: string): Uint8Array => Buffer.from(text);
const value = (kv: { value: Uint8Array } | undefined): string | undefined =>
  kv && Buffer.from(kv.value).toString();

function put(harness: Harness, key: string, text: string, more: Partial<PutRequest> = {}) {
  return harness.call(KV.Put.path, PutRequest, { key, value: bytes(text), ...more });
}

function range(harness: Harness, partial: Partial<RangeRequest>): RangeResponse {
  return harness.call(KV.Range.path, RangeRequest, partial).decode(RangeResponse);
}

describe("a header", () => {
  test("says who answered, at which revision, in which term", () => {
    const harness = new Harness();
    const { header } = put(harness, "a", "1").decode(PutResponse);
    const raftTerm = harness.driven.group.term;
    expect(header).toEqual({ clusterId: CLUSTER, memberId: MEMBER, revision: 2, raftTerm });
  });

  test("of a range holds the current revision, also when an older one is read", () => {
    const harness = new Harness();
    put(harness, "a", "1");
    put(harness, "a", "2");
    const answer = range(harness, { key: "a", revision: 2 });
    expect([answer.header?.revision, value(answer.kvs[0])]).toEqual([3, "1"]);
  });

  test("inside a transaction holds the revision alone", () => {
    const harness = new Harness();
    put(harness, "b", "0");
    const success = [
      RequestOp.create({ requestPut: PutRequest.create({ key: "a", value: bytes("1") }) }),
      RequestOp.create({ requestRange: RangeRequest.create({ key: "a" }) }),
      RequestOp.create({ requestDeleteRange: DeleteRangeRequest.create({ key: "b" }) }),
      RequestOp.create({ requestTxn: TxnRequest.create({}) }),
    ];
    const answer = harness.call(KV.Txn.path, TxnRequest, { success }).decode(TxnResponse);
    const [first, second, third, nested] = answer.responses;
    const inner = { clusterId: 0n, memberId: 0n, raftTerm: 0 };
    expect(first?.responsePut?.header).toEqual({ ...inner, revision: 3 });
    expect(second?.responseRange?.header).toEqual({ ...inner, revision: 3 });
    expect(second?.responseRange?.kvs.map(value)).toEqual(["1"]);
    expect(third?.responseDeleteRange?.deleted).toBe(1);
    expect(nested?.responseTxn?.header).toEqual({ ...inner, revision: 0 });
    expect(answer.header?.revision).toBe(3);
  });
});

describe("the calls", () => {
  test("put answers with what was before, if asked", () => {
    const harness = new Harness();
    expect(put(harness, "a", "1", { prevKv: true }).decode(PutResponse).prevKv).toBeUndefined();
    expect(value(put(harness, "a", "2", { prevKv: true }).decode(PutResponse).prevKv)).toBe("1");
    expect(put(harness, "a", "3").decode(PutResponse).prevKv).toBeUndefined();
  });

  test("range answers a key, a range, a count, nothing", () => {
    const harness = new Harness();
    for (const key of ["a", "b", "c"]) put(harness, key, key.toUpperCase());
    expect(range(harness, { key: "b" }).kvs.map(value)).toEqual(["B"]);
    expect(range(harness, { key: "nothing" })).toMatchObject({ kvs: [], count: 0, more: false });
    const two = range(harness, { key: "a", rangeEnd: "\0", limit: 2 });
    expect([two.kvs.map(value), two.count, two.more]).toEqual([["A", "B"], 3, true]);
    const down = { sortOrder: SortOrder.DESCEND, sortTarget: SortTarget.MOD };
    expect(range(harness, { key: "a", rangeEnd: "\0", ...down }).kvs.map(value)).toEqual([
      "C",
      "B",
      "A",
    ]);
    expect(range(harness, { key: "a", rangeEnd: "\0", countOnly: true })).toMatchObject({
      kvs: [],
      count: 3,
    });
    expect(range(harness, { key: "c", rangeEnd: "a" })).toMatchObject({ kvs: [], count: 0 });
    expect(range(harness, { key: "b", keysOnly: true }).kvs.map(value)).toEqual([""]);
    expect(range(harness, { key: "b", serializable: true }).count).toBe(1);
    expect(range(harness, { key: "b", limit: -1, revision: -1 }).count).toBe(1);
  });

  test("a range in many slices is that of one revision", () => {
    const harness = new Harness();
    for (let i = 0; i < 3500; i++) harness.driven.put(`k${String(i).padStart(5, "0")}`, "v");
    harness.driven.settle();
    const request = bytesOfMessage(RangeRequest, { key: "k", rangeEnd: "l" });
    const call = harness.start(KV.Range.path, request);
    put(harness, "k00000", "later");
    harness.driven.settle();
    const answer = call.decode(RangeResponse);
    expect([answer.kvs.length, answer.count, answer.more]).toEqual([3500, 3500, false]);
    expect([value(answer.kvs[0]), answer.header?.revision]).toEqual(["v", 3501]);
  });

  test("delete answers how many, and what they were if asked", () => {
    const harness = new Harness();
    for (const key of ["a", "b", "c"]) put(harness, key, key);
    const both = { key: "a", rangeEnd: "c", prevKv: true };
    const gone = harness.call(KV.DeleteRange.path, DeleteRangeRequest, both);
    const answer = gone.decode(DeleteRangeResponse);
    expect([answer.deleted, answer.prevKvs.map(value)]).toEqual([2, ["a", "b"]]);
    const again = harness.call(KV.DeleteRange.path, DeleteRangeRequest, both);
    expect(again.decode(DeleteRangeResponse)).toMatchObject({ deleted: 0, prevKvs: [] });
    expect(again.decode(DeleteRangeResponse).header?.revision).toBe(5);
  });

  test("a transaction that only reads takes no revision and no entry", () => {
    const harness = new Harness();
    put(harness, "a", "1");
    const before = harness.driven.group.appliedIndex;
    const failure = [RequestOp.create({ requestRange: RangeRequest.create({ key: "a" }) })];
    const compare = [Compare.create({ key: "a", version: 7 })];
    const call = harness.call(KV.Txn.path, TxnRequest, { compare, failure });
    const answer = call.decode(TxnResponse);
    expect([answer.succeeded, answer.header?.revision]).toEqual([false, 2]);
    expect(answer.responses[0]?.responseRange?.kvs.map(value)).toEqual(["1"]);
    expect(harness.driven.group.appliedIndex).toBe(before);
  });

  test("compaction answers when it is applied; a physical one when the rows are gone", () => {
    for (const path of [KV.Compact.path, AetherMaintenance.Compact.path]) {
      const harness = new Harness();
      put(harness, "a", "1");
      put(harness, "a", "2");
      const logical = harness.call(path, CompactionRequest, { revision: 2 });
      expect(logical.decode(CompactionResponse).header?.revision).toBe(3);
      const body = bytesOfMessage(CompactionRequest, { revision: 3, physical: true });
      const physical = harness.start(path, body);
      harness.driven.endTurn();
      harness.driven.log.sync();
      expect(physical.text).toBe("open");
      harness.driven.settle();
      expect(physical.text).toBe("0");
      expect(harness.driven.store.scan(0, 99, 99).length).toBe(1);
    }
  });

  test("our own face: get, put, delete, range, txn", () => {
    const harness = new Harness();
    harness.call(AetherKV.Put.path, PutRequest, { key: "a", value: bytes("1") });
    harness.call(AetherKV.Put.path, PutRequest, { key: "a", value: bytes("2") });
    const get = (partial: Partial<GetRequest>): FakeCall =>
      harness.call(AetherKV.Get.path, GetRequest, partial);
    const { kv, header } = get({ key: "a" }).decode(GetResponse);
    expect([value(kv), kv?.version, header?.revision]).toEqual(["2", 2, 3]);
    expect(value(get({ key: "a", revision: 2 }).decode(GetResponse).kv)).toBe("1");
    expect(value(get({ key: "a", serializable: true }).decode(GetResponse).kv)).toBe("2");
    expect(get({ key: "b" }).text).toBe("5 key not found");
    expect(get({ key: "" }).text).toBe("3 etcdserver: key is not provided");
    expect(get({ key: "a", revision: 9 }).text).toStartWith("11 etcdserver: mvcc");
    const all = { key: "\0", rangeEnd: "\0" };
    const found = harness.call(AetherKV.Range.path, RangeRequest, all);
    expect(found.decode(RangeResponse).count).toBe(1);
    const txn = harness.call(AetherKV.Txn.path, TxnRequest, {});
    expect(txn.decode(TxnResponse).succeeded).toBe(true);
    const gone = harness.call(AetherKV.Delete.path, DeleteRequest, { key: "a" });
    expect(gone.decode(DeleteResponse).deleted).toBe(1);
  });
});

/** A way to fail: method, request, and the status that etcd's clients see. */
type Row = readonly [string, (harness: Harness) => FakeCall, string];

function row<T>(
  name: string,
  path: string,
  type: MessageType<T>,
  request: Partial<T>,
  text: string,
) {
  return [name, (harness: Harness) => harness.call(path, type, request), text] as Row;
}

const op = {
  put: (key: string, more: Partial<PutRequest> = {}) =>
    RequestOp.create({ requestPut: PutRequest.create({ key, ...more }) }),
  range: (key: string, more: Partial<RangeRequest> = {}) =>
    RequestOp.create({ requestRange: RangeRequest.create({ key, ...more }) }),
  txn: (request: Partial<TxnRequest>) =>
    RequestOp.create({ requestTxn: TxnRequest.create(request) }),
};

const { path: RANGE } = KV.Range;
const { path: PUT } = KV.Put;
const { path: TXN } = KV.Txn;
const OVER_128 = Array.from({ length: 129 }, (_, i) => op.range(`k${i}`));
const COMPACTED = "11 etcdserver: mvcc: required revision has been compacted";
const FUTURE = "11 etcdserver: mvcc: required revision is a future revision";
const NO_KEY = "3 etcdserver: key is not provided";

/** The store of these: a at revisions 2 to 4, compacted at 3. */
const FAILURES: readonly Row[] = [
  row("range without a key", RANGE, RangeRequest, { rangeEnd: "\0" }, NO_KEY),
  row(
    "range with an unknown order",
    RANGE,
    RangeRequest,
    { key: "a", sortOrder: 9 as SortOrder },
    "3 etcdserver: invalid sort option",
  ),
  row("range in the future", RANGE, RangeRequest, { key: "a", revision: 5 }, FUTURE),
  row("range below the compaction", RANGE, RangeRequest, { key: "a", revision: 2 }, COMPACTED),
  row(
    "serializable range below it",
    RANGE,
    RangeRequest,
    { key: "a", revision: 2, serializable: true },
    COMPACTED,
  ),
  row("put without a key", PUT, PutRequest, {}, NO_KEY),
  row(
    "put that ignores the value it gives",
    PUT,
    PutRequest,
    { key: "a", ignoreValue: true, value: bytes("x") },
    "3 etcdserver: value is provided",
  ),
  row(
    "put that ignores the lease it gives",
    PUT,
    PutRequest,
    { key: "a", ignoreLease: true, lease: 1n },
    "3 etcdserver: lease is provided",
  ),
  row(
    "put that ignores the value of no key",
    PUT,
    PutRequest,
    { key: "new", ignoreValue: true },
    "3 etcdserver: key not found",
  ),
  row(
    "put with an unknown lease",
    PUT,
    PutRequest,
    { key: "a", lease: 5n },
    "5 etcdserver: requested lease not found",
  ),
  row(
    "put beyond the size",
    PUT,
    PutRequest,
    { key: "a", value: new Uint8Array(1_572_864) },
    "3 etcdserver: request is too large",
  ),
  row("delete without a key", KV.DeleteRange.path, DeleteRangeRequest, { rangeEnd: "z" }, NO_KEY),
  row(
    "txn of too many operations",
    TXN,
    TxnRequest,
    { success: OVER_128 },
    "3 etcdserver: too many operations in txn request",
  ),
  row(
    "txn nested beyond what is left",
    TXN,
    TxnRequest,
    { success: [op.txn({ failure: OVER_128.slice(0, 128) })] },
    "3 etcdserver: too many operations in txn request",
  ),
  row("txn comparing no key", TXN, TxnRequest, { compare: [Compare.create({})] }, NO_KEY),
  row(
    "txn with an empty operation",
    TXN,
    TxnRequest,
    { failure: [RequestOp.create({})] },
    "3 etcdserver: key not found",
  ),
  row(
    "txn that puts a key twice",
    TXN,
    TxnRequest,
    { failure: [op.put("x"), op.put("x")] },
    "3 etcdserver: duplicate key given in txn request",
  ),
  row(
    "txn with an unknown lease, after a put",
    TXN,
    TxnRequest,
    { success: [op.put("x"), op.put("y", { lease: 5n })] },
    "5 etcdserver: requested lease not found",
  ),
  row(
    "txn reading below the compaction",
    TXN,
    TxnRequest,
    { success: [op.range("a", { revision: 2 })] },
    COMPACTED,
  ),
  row(
    "txn writing and reading in the future",
    TXN,
    TxnRequest,
    { success: [op.put("x"), op.range("a", { revision: 99 })] },
    FUTURE,
  ),
  row("compaction again", KV.Compact.path, CompactionRequest, { revision: 3 }, COMPACTED),
  row("compaction of the future", KV.Compact.path, CompactionRequest, { revision: 5 }, FUTURE),
  row(
    "physical compaction of the future",
    KV.Compact.path,
    CompactionRequest,
    { revision: 5, physical: true },
    FUTURE,
  ),
];

describe("a call fails as in etcd", () => {
  const harness = new Harness();
  for (const text of ["1", "2", "3"]) put(harness, "a", text);
  harness.call(KV.Compact.path, CompactionRequest, { revision: 3 });

  test.each([...FAILURES])("%s", (_, run, text) => {
    const call = run(harness);
    expect(call.text).toBe(text);
    expect([call.endings, call.messages.length]).toEqual([1, 0]);
    expect(harness.driven.group.machine.revision).toBe(4);
  });
});

describe("a group that cannot answer", () => {
  test("after a stop every call ends with it", () => {
    const harness = new Harness();
    harness.driven.group.stop();
    const stopped = "14 etcdserver: server stopped";
    expect(put(harness, "a", "1").text).toBe(stopped);
    expect(harness.call(RANGE, RangeRequest, { key: "a" }).text).toBe(stopped);
    expect(harness.call(TXN, TxnRequest, { success: [op.put("a")] }).text).toBe(stopped);
    expect(harness.call(TXN, TxnRequest, { success: [op.range("a")] }).text).toBe(stopped);
    expect(harness.call(KV.RangeStream.path, RangeRequest, { key: "a" }).text).toBe(stopped);
    const body = { revision: 1, physical: true };
    expect(harness.call(KV.Compact.path, CompactionRequest, body).text).toBe(stopped);
    expect(harness.call(RANGE, RangeRequest, { key: "a", serializable: true }).text).toBe("0");
  });

  test("writes and reads time out when the disk does not answer", () => {
    const harness = new Harness({ unconfirmed: true });
    const write = harness.start(PUT, bytesOfMessage(PutRequest, { key: "a" }));
    const read = harness.start(RANGE, bytesOfMessage(RangeRequest, { key: "a" }));
    while (harness.driven.endTurn());
    harness.driven.tick(7100);
    expect(write.text).toBe("14 etcdserver: request timed out");
    expect(read.text).toBe("14 etcdserver: request timed out");
  });
});
