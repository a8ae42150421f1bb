/**
 * What a message costs: each hot message through protobufjs (reflection, which compiles the same
 * code as its static target), through the generated codec, and through the hand-written one.
 *
 *   bun bench/proto.ts [iterations]     1000000 by default; small numbers make it a smoke test
 *
 * One JSON line: nanoseconds an operation, the median of five rounds, and a hash over all bytes
 * that were made, so that the three are known to have done the same work.
 */
import { readdirSync, readFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import protobuf from "protobufjs";
import { ByteWriter } from "../src/base/bytes.ts";
import {
  Compare,
  DeleteRangeRequest,
  PutRequest,
  PutResponse,
  RangeRequest,
  RangeResponse,
  RequestOp,
  ResponseHeader,
  ResponseOp,
  TxnRequest,
  TxnResponse,
  WatchResponse,
} from "../src/proto/gen/etcdserverpb.ts";
import { KeyValue } from "../src/proto/gen/mvccpb.ts";
import { HeaderEncoder } from "../src/proto/hot/header.ts";
import { encodeKeyValue, keyOf, modRevisionOf } from "../src/proto/hot/key-value.ts";
import { PutView } from "../src/proto/hot/put-view.ts";
import {
  addPut,
  addRange,
  beginTxn,
  encodePutResponse,
  encodeRangeResponse,
} from "../src/proto/hot/responses.ts";
import { encodeEvent, encodeEventFields, encodeWatchResponse } from "../src/proto/hot/watch.ts";
import type { MessageType } from "../src/proto/message.ts";

const total = Number(process.argv[2] ?? 1_000_000);
const ROUNDS = 5;

const root = new protobuf.Root();
const directory = join(import.meta.dir, "..", "proto");
for (const name of readdirSync(directory, { recursive: true }) as string[]) {
  if (name.endsWith(".proto")) protobuf.parse(readFileSync(join(directory, name), "utf8"), root);
}
root.resolveAll();

const out = new ByteWriter();
const results: Record<string, Record<string, number>> = {};
let hash = 0n;

/** Times `operation` and files the result; returns what it made last, for the hash. */
function time(name: string, codec: string, operation: () => unknown): unknown {
  const iterations = name.includes("100 kvs") ? Math.ceil(total / 50) : total;
  const rounds: number[] = [];
  let last: unknown;
  for (let round = 0; round <= ROUNDS; round++) {
    const start = Bun.nanoseconds();
    for (let i = 0; i < iterations; i++) last = operation();
    rounds.push((Bun.nanoseconds() - start) / iterations);
  }
  rounds.shift(); // compiles
  const median = rounds.sort((a, b) => a - b)[ROUNDS >> 1] as number;
  results[name] ??= {};
  results[name][codec] = Math.round(median * 10) / 10;
  return last;
}

function bytesOf<T>(type: MessageType<T>, message: T): Buffer {
  out.reset();
  type.encode(message, out);
  return Buffer.from(out.copy());
}

function same(bytes: Uint8Array, expected: Uint8Array, name: string): void {
  if (!asHash(bytes) || asHash(bytes) !== asHash(expected)) throw new Error(`${name}: other bytes`);
  hash = BigInt(Bun.hash(Buffer.concat([Buffer.from(hash.toString()), bytes])));
}

function asHash(bytes: Uint8Array): string {
  return Bun.hash(bytes).toString();
}

function decoding<T>(name: string, type: MessageType<T>, message: T): Buffer {
  const bytes = bytesOf(type, message);
  const theirs = root.lookupType(type.typeName);
  time(name, "protobufjs", () => theirs.decode(bytes));
  const read = time(name, "generated", () => type.decode(bytes, 0, bytes.length));
  same(bytesOf(type, read as T), bytes, name);
  return bytes;
}

function encoding<T>(name: string, type: MessageType<T>, message: T, hot?: () => void): void {
  const bytes = bytesOf(type, message);
  const theirs = root.lookupType(type.typeName);
  const object = theirs.decode(bytes); // as protobufjs holds it, with its Longs
  same(time(name, "protobufjs", () => theirs.encode(object).finish()) as Uint8Array, bytes, name);
  time(name, "generated", () => {
    out.reset();
    type.encode(message, out);
  });
  if (hot === undefined) return;
  time(name, "hot", () => {
    out.reset();
    hot();
  });
  same(out.view(), bytes, name);
}

const key = "/registry/pods/default/web-01";
const value = new Uint8Array(256).fill(7);
const put = PutRequest.create({ key, value });
const range = RangeRequest.create({ key });
const txn = TxnRequest.create({
  compare: [Compare.create({ target: 2, key, modRevision: 123456 })],
  success: [RequestOp.create({ requestPut: put })],
  failure: [RequestOp.create({ requestRange: range })],
});

const putBytes = decoding("decode PutRequest, 256 B", PutRequest, put);
const view = new PutView();
time("decode PutRequest, 256 B", "hot", () => view.read(putBytes, 0, putBytes.length));
const lease = 0x7123456789abcdefn;
const leaseBytes = decoding("decode PutRequest, 16 B, lease", PutRequest, {
  ...put,
  value: value.subarray(0, 16),
  lease,
});
time("decode PutRequest, 16 B, lease", "hot", () => view.read(leaseBytes, 0, leaseBytes.length));
decoding("decode RangeRequest", RangeRequest, range);
decoding("decode DeleteRangeRequest", DeleteRangeRequest, DeleteRangeRequest.create({ key }));
decoding("decode TxnRequest, 1 compare, 1 put | 1 range", TxnRequest, txn);

const ids = { clusterId: 0xcdf818194e3a8c32n, memberId: 0x8e9e05c52164694dn };
const header = ResponseHeader.create({ ...ids, revision: 123456, raftTerm: 3 });
const hotHeader = new HeaderEncoder(ids.clusterId, ids.memberId);
const kv = KeyValue.create({ key, createRevision: 1000, modRevision: 123456, version: 7, value });
const storedKv = encodeKeyValue(kv);
const hundred = { plain: Array<KeyValue>(100).fill(kv), stored: Array(100).fill(storedKv) };

encoding("encode PutResponse", PutResponse, PutResponse.create({ header }), () => {
  encodePutResponse(hotHeader.at(123456, 3), undefined, out);
});
const one = RangeResponse.create({ header, kvs: [kv], count: 1 });
const oneStored = [storedKv];
encoding("encode RangeResponse, 1 kv of 256 B", RangeResponse, one, () => {
  encodeRangeResponse(hotHeader.at(123456, 3), oneStored, false, 1, out);
});

const inner = new HeaderEncoder(0n, 0n);
const opHeader = ResponseHeader.create({ revision: 123456 });
const txnAnswer = TxnResponse.create({
  header,
  succeeded: true,
  responses: [
    ResponseOp.create({ responsePut: PutResponse.create({ header: opHeader }) }),
    ResponseOp.create({ responseRange: { header: opHeader, kvs: [kv], count: 1, more: false } }),
  ],
});
encoding("encode TxnResponse, put and range", TxnResponse, txnAnswer, () => {
  beginTxn(hotHeader.at(123456, 3), true, out);
  addPut(inner.at(123456, 0), undefined, out);
  addRange(inner.at(123456, 0), oneStored, false, 1, out);
});

const watched = { header, watchId: 3, events: [{ type: 0, kv, prevKv: undefined }] };
const fields = encodeEventFields([encodeEvent(false, storedKv, undefined)]);
encoding("encode WatchResponse, 1 event", WatchResponse, WatchResponse.create(watched), () => {
  encodeWatchResponse(hotHeader.at(123456, 3), 3, false, fields, out);
});

encoding("encode KeyValue", KeyValue, kv);
time("encode KeyValue", "hot, into bytes of its own", () => encodeKeyValue(kv));
time("key of a stored KeyValue", "hot", () => keyOf(storedKv));
time("mod_revision of a stored KeyValue", "hot", () => modRevisionOf(storedKv));

const many = RangeResponse.create({ header, kvs: hundred.plain, count: 100 });
const name = "encode RangeResponse, 100 kvs";
encoding(name, RangeResponse, many, () => {
  encodeRangeResponse(hotHeader.at(123456, 3), hundred.stored, false, 100, out);
});

const machine = { bun: Bun.version, cpu: cpus()[0]?.model, cores: cpus().length };
console.log(
  JSON.stringify({
    bench: "proto",
    unit: "ns",
    iterations: total,
    results,
    hash: `${hash}`,
    machine,
  }),
);
