/** The hand-written codecs against the generated ones, which are tested against protobufjs. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { ByteWriter } from "../../src/base/bytes.ts";
import { DecodeError } from "../../src/proto/decode-error.ts";
import {
  DeleteRangeResponse,
  PutRequest,
  PutResponse,
  RangeResponse,
  ResponseHeader,
  ResponseOp,
  TxnResponse,
  WatchResponse,
} from "../../src/proto/gen/etcdserverpb.ts";
import { Event, KeyValue } from "../../src/proto/gen/mvccpb.ts";
import { HeaderEncoder } from "../../src/proto/hot/header.ts";
import * as stored from "../../src/proto/hot/key-value.ts";
import { PutView } from "../../src/proto/hot/put-view.ts";
import * as responses from "../../src/proto/hot/responses.ts";
import * as watch from "../../src/proto/hot/watch.ts";
import { encodeOurs, messagesOf, PROPERTY } from "./oracle.ts";

const MANY = { ...PROPERTY, numRuns: 300 };

/** Random messages of a type, with the counters that really occur: never negative. */
function randomOf<T>(type: { typeName: string }, depth = 3): fc.Arbitrary<T> {
  return messagesOf(type as never, depth) as fc.Arbitrary<T>;
}

const keyValues = randomOf<KeyValue>(KeyValue).map(
  (kv): KeyValue => ({
    ...kv,
    createRevision: Math.abs(kv.createRevision),
    modRevision: Math.abs(kv.modRevision),
    version: Math.abs(kv.version),
  }),
);

const headers = randomOf<ResponseHeader>(ResponseHeader).map(
  (header): ResponseHeader => ({ ...header, revision: Math.abs(header.revision) }),
);

/** What `write` appends behind bytes that stand there already, in a writer that has to grow. */
function written(write: (out: ByteWriter) => void): Uint8Array {
  const out = new ByteWriter(8);
  out.latin1("before");
  write(out);
  expect(out.view().latin1Slice(0, 6)).toBe("before");
  return new Uint8Array(out.view().subarray(6));
}

function encoderOf(header: ResponseHeader): HeaderEncoder {
  const encoder = new HeaderEncoder(header.clusterId, header.memberId);
  return encoder.at(header.revision, header.raftTerm);
}

describe("headers", () => {
  test("have the bytes of the generated codec, also after many changes", () => {
    const changes = fc.array(fc.tuple(fc.maxSafeNat(), fc.maxSafeNat()), { maxLength: 4 });
    const property = fc.property(headers, changes, (header, others) => {
      const encoder = new HeaderEncoder(header.clusterId, header.memberId);
      for (const [revision, term] of others) encoder.at(revision, term);
      encoder.at(header.revision, header.raftTerm);
      const bytes = written((out) => {
        const at = out.reserve(encoder.size);
        expect(encoder.put(out.bytes, at)).toBe(at + encoder.size);
      });
      expect(bytes).toEqual(encodeOurs(PutResponse, PutResponse.create({ header })));
    });
    fc.assert(property, MANY);
  });

  test("change when only one of their numbers does, there and back", () => {
    const encoder = new HeaderEncoder(1n, 2n);
    const pairs = [
      [0, 0],
      [5, 0],
      [5, 3],
      [5, 0],
      [5, 3],
      [4, 3],
      [0, 3],
      [0, 0],
    ] as const;
    for (const [revision, raftTerm] of pairs) {
      const header = ResponseHeader.create({ clusterId: 1n, memberId: 2n, revision, raftTerm });
      const put = encodeOurs(PutResponse, PutResponse.create({ header }));
      encoder.at(revision, raftTerm);
      expect(written((out) => responses.encodePutResponse(encoder, undefined, out))).toEqual(put);
    }
  });

  test("of a new encoder are there and empty", () => {
    const bytes = written((out) =>
      responses.encodePutResponse(new HeaderEncoder(0n, 0n), undefined, out),
    );
    expect(bytes).toEqual(new Uint8Array([0x0a, 0]));
  });
});

describe("answers", () => {
  const kvs = fc.array(keyValues, { maxLength: 4 });
  const encoded = (list: readonly KeyValue[]) => list.map((kv) => stored.encodeKeyValue(kv));

  test("to put, range and delete have the bytes of the generated codec", () => {
    const counts = fc.maxSafeNat();
    const property = fc.property(
      headers,
      kvs,
      counts,
      fc.boolean(),
      (header, list, count, more) => {
        const encoder = encoderOf(header);
        const prevKv = list[0];
        const prev = prevKv && stored.encodeKeyValue(prevKv);
        expect(written((out) => responses.encodePutResponse(encoder, prev, out))).toEqual(
          encodeOurs(PutResponse, { header, prevKv }),
        );
        const range = written((out) =>
          responses.encodeRangeResponse(encoder, encoded(list), more, count, out),
        );
        expect(range).toEqual(encodeOurs(RangeResponse, { header, kvs: list, more, count }));
        const deleted = written((out) =>
          responses.encodeDeleteRangeResponse(encoder, count, encoded(list), out),
        );
        const message = { header, deleted: count, prevKvs: list };
        expect(deleted).toEqual(encodeOurs(DeleteRangeResponse, message));
      },
    );
    fc.assert(property, MANY);
  });

  test("to transactions, nested ones too, have the bytes of the generated codec", () => {
    const inside = new HeaderEncoder(0n, 0n);
    const add = (op: ResponseOp, out: ByteWriter): void => {
      const { responsePut, responseRange, responseDeleteRange, responseTxn } = op;
      if (responsePut !== undefined) {
        const prev = responsePut.prevKv && stored.encodeKeyValue(responsePut.prevKv);
        responses.addPut(inside.at(responsePut.header?.revision ?? 0, 0), prev, out);
      } else if (responseRange !== undefined) {
        const { kvs, more, count, header } = responseRange;
        responses.addRange(inside.at(header?.revision ?? 0, 0), encoded(kvs), more, count, out);
      } else if (responseDeleteRange !== undefined) {
        const { deleted, prevKvs, header } = responseDeleteRange;
        inside.at(header?.revision ?? 0, 0);
        responses.addDeleteRange(inside, deleted, encoded(prevKvs), out);
      } else if (responseTxn !== undefined) {
        const { succeeded, header } = responseTxn;
        const inner = responses.beginNestedTxn(inside.at(header?.revision ?? 0, 0), succeeded, out);
        for (const each of responseTxn.responses) add(each, out);
        responses.endNestedTxn(inner, out);
      }
    };
    const property = fc.property(headers, randomOf<TxnResponse>(TxnResponse, 5), (header, raw) => {
      const txn = asServed({ ...raw, header });
      const bytes = written((out) => {
        responses.beginTxn(encoderOf(header), txn.succeeded, out);
        for (const op of txn.responses) add(op, out);
      });
      expect(bytes).toEqual(encodeOurs(TxnResponse, { ...txn, header }));
    });
    fc.assert(property, MANY);
  });
});

/** A random answer made such as a server sends it: an operation in each, headers of a revision. */
function asServed(txn: TxnResponse): TxnResponse {
  const revision = Math.abs(txn.header?.revision ?? 0);
  const header = ResponseHeader.create({ revision });
  const whole = (kv: KeyValue): KeyValue => ({
    ...kv,
    createRevision: Math.abs(kv.createRevision),
    modRevision: Math.abs(kv.modRevision),
    version: Math.abs(kv.version),
  });
  const served: ResponseOp[] = [];
  for (const op of txn.responses) {
    const { responsePut: put, responseRange: range, responseDeleteRange: del } = op;
    if (put) {
      const prevKv = put.prevKv && whole(put.prevKv);
      served.push(ResponseOp.create({ responsePut: { header, prevKv } }));
    } else if (range) {
      const responseRange = {
        ...range,
        header,
        kvs: range.kvs.map(whole),
        count: Math.abs(range.count),
      };
      served.push(ResponseOp.create({ responseRange }));
    } else if (del) {
      const prevKvs = del.prevKvs.map(whole);
      const responseDeleteRange = { header, deleted: Math.abs(del.deleted), prevKvs };
      served.push(ResponseOp.create({ responseDeleteRange }));
    } else if (op.responseTxn) {
      served.push(ResponseOp.create({ responseTxn: { ...asServed(op.responseTxn), header } }));
    }
  }
  return { ...txn, responses: served };
}

describe("watch", () => {
  const deletions = fc.tuple(keyValues, fc.option(keyValues, { nil: undefined }), fc.boolean());

  test("events and their answers have the bytes of the generated codec", () => {
    const ids = fc.constantFrom(-1, 0, 1, 127, 128, 2 ** 40);
    const lists = fc.array(deletions, { maxLength: 4 });
    const property = fc.property(
      headers,
      ids,
      fc.boolean(),
      lists,
      (header, watchId, fragment, list) => {
        const events: Event[] = list.map(([kv, prevKv, deleted]) => ({
          type: deleted ? 1 : 0,
          kv,
          prevKv,
        }));
        const encoded = list.map(([kv, prevKv, deleted], i) => {
          const bytes = stored.encodeKeyValue(kv);
          const prev = prevKv && stored.encodeKeyValue(prevKv);
          const event = watch.encodeEvent(deleted, bytes, prev);
          expect(event).toEqual(encodeOurs(Event, events[i] as Event));
          expect(watch.sizeOfEvent(deleted, bytes, prev)).toBe(event.length);
          return event;
        });
        const bytes = written((out) => {
          const fields = watch.encodeEventFields(encoded);
          watch.encodeWatchResponse(encoderOf(header), watchId, fragment, fields, out);
        });
        const message = WatchResponse.create({ header, watchId, fragment, events });
        expect(bytes).toEqual(encodeOurs(WatchResponse, message));
      },
    );
    fc.assert(property, MANY);
  });
});

/** The value as a view of `kept` compares with it: a Buffer is not equal to a plain array. */
function asKept(value: Uint8Array, kept: Uint8Array): Uint8Array {
  return kept instanceof Buffer ? Buffer.from(value) : value;
}

describe("stored key values", () => {
  test("have the bytes of the generated codec and give back their fields", () => {
    const property = fc.property(keyValues, (kv) => {
      const bytes = stored.encodeKeyValue(kv);
      expect<Uint8Array>(new Uint8Array(bytes)).toEqual(encodeOurs(KeyValue, kv));
      expect(bytes.buffer.byteLength).toBe(bytes.length);
      // Readers take plain arrays as well as buffers.
      for (const each of [bytes, new Uint8Array(bytes)]) {
        expect(stored.keyOf(each)).toBe(kv.key);
        expect(stored.valueBytesOf(each)).toEqual(asKept(kv.value, each));
        expect(stored.createRevisionOf(each)).toBe(kv.createRevision);
        expect(stored.modRevisionOf(each)).toBe(kv.modRevision);
        expect(stored.versionOf(each)).toBe(kv.version);
        expect(stored.leaseOf(each)).toBe(kv.lease);
        expect(new stored.StoredKeyValue().read(each).hasLease()).toBe(kv.lease !== 0n);
      }
    });
    fc.assert(property, MANY);
  });

  test("lose their value, and their lease if wanted, for keys_only", () => {
    const property = fc.property(keyValues, (kv) => {
      const bytes = stored.encodeKeyValue(kv);
      const empty = { ...kv, value: new Uint8Array(0) };
      expect(stored.withoutValue(bytes, false)).toEqual(encodeOurs(KeyValue, empty));
      const bare = encodeOurs(KeyValue, { ...empty, lease: 0n });
      expect(stored.withoutValue(bytes, true)).toEqual(bare);
    });
    fc.assert(property, MANY);
  });

  test("of any other shape fail an assertion", () => {
    const valueFirst = new Uint8Array([0x2a, 1, 0, 0x0a, 1, 97]);
    const tooLong = new Uint8Array([0x0a, 9, 97]);
    const cut = new Uint8Array([0x0a, 1, 97, 0x10, 0x80]);
    for (const bytes of [valueFirst, tooLong, cut]) {
      expect(() => stored.keyOf(bytes)).toThrow("stored key value");
    }
  });
});

describe("PutView", () => {
  const view = new PutView();

  /** What the view says, as a message. */
  function seen(bytes: Uint8Array): PutRequest {
    const around = Buffer.concat([Buffer.from([1, 2, 3]), bytes, Buffer.from([10, 1])]);
    const { key, lease, prevKv, ignoreValue, ignoreLease, valueStart, valueEnd } = view.read(
      around,
      3,
      3 + bytes.length,
    );
    const value = new Uint8Array(around.subarray(valueStart, valueEnd));
    return { key, value, lease, prevKv, ignoreValue, ignoreLease };
  }

  test("sees what PutRequest.decode reads and refuses what it refuses", () => {
    const places = fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { maxLength: 2 });
    const property = fc.property(randomOf<PutRequest>(PutRequest), places, (put, changes) => {
      const bytes = encodeOurs(PutRequest, put);
      expect(seen(bytes)).toEqual(put);
      for (const [at, byte] of changes) if (bytes.length > 0) bytes[at % bytes.length] = byte;
      for (let end = 0; end <= bytes.length; end++) {
        const cut = bytes.subarray(0, end);
        const expected = attempt(() => PutRequest.decode(cut, 0, end));
        expect(attempt(() => seen(cut))).toEqual(expected);
      }
    });
    fc.assert(property, { ...PROPERTY, numRuns: 100 });
  });

  test("keeps nothing of the request before", () => {
    const full = PutRequest.create({ key: "a", lease: 1n, value: new Uint8Array(3), prevKv: true });
    seen(encodeOurs(PutRequest, { ...full, ignoreLease: true, ignoreValue: true }));
    expect(seen(new Uint8Array(0))).toEqual(PutRequest.create());
  });
});

function attempt<T>(run: () => T): T | "refused" {
  try {
    return run();
  } catch (error) {
    expect(error).toBeInstanceOf(DecodeError);
    return "refused";
  }
}
