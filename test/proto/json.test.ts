/** The JSON mapping: by hand for the form that etcd's gateway has, at random against protobufjs. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import * as protojson from "protobufjs/ext/protojson.js";
import { DecodeError } from "../../src/proto/decode-error.ts";
import {
  AlarmResponse,
  AuthenticateRequest,
  Compare,
  LeaseGrantRequest,
  PutRequest,
  RangeRequest,
  RangeResponse,
  ResponseHeader,
  TxnRequest,
  WatchCreateRequest,
} from "../../src/proto/gen/etcdserverpb.ts";
import { KeyValue } from "../../src/proto/gen/mvccpb.ts";
import { MESSAGES } from "../../src/proto/gen/registry.ts";
import { fromJson, parseJson, toJson } from "../../src/proto/json.ts";
import type { MessageType } from "../../src/proto/message.ts";
import { encodeOurs, messagesOf, PROPERTY, reflected } from "./oracle.ts";

describe("out", () => {
  test("is etcd's: proto names, base64, 64-bit as strings, enums by name, zeros left out", () => {
    const header = ResponseHeader.create({ clusterId: 2n ** 64n - 1n, revision: 7 });
    const kv = KeyValue.create({
      key: "\xffa",
      value: new Uint8Array([1]),
      modRevision: 7,
      lease: -1n,
    });
    const response = RangeResponse.create({ header, kvs: [kv], more: true });
    expect(toJson(RangeResponse, response)).toEqual({
      header: { cluster_id: "18446744073709551615", revision: "7" },
      kvs: [{ key: "/2E=", value: "AQ==", mod_revision: "7", lease: "-1" }],
      more: true,
    });
    const alarms = AlarmResponse.create({
      alarms: [
        { memberID: 1n, alarm: 1 },
        { memberID: 0n, alarm: 9 },
      ],
    });
    expect(toJson(AlarmResponse, alarms)).toEqual({
      alarms: [{ memberID: "1", alarm: "NOSPACE" }, { alarm: 9 }],
    });
  });

  test("keeps a zero that a oneof holds", () => {
    expect(toJson(Compare, Compare.create({ version: 0, key: "a" }))).toEqual({
      key: "YQ==",
      version: "0",
    });
  });
});

describe("in", () => {
  test("takes either name of a field, text or number, name or number, and ignores the rest", () => {
    const json = {
      key: "YQ",
      rangeEnd: "Yg==",
      limit: 5,
      revision: "7",
      sort_order: "DESCEND",
      sort_target: 3,
      serializable: null,
      what: { ever: [1] },
    };
    expect(fromJson(RangeRequest, json)).toEqual(
      RangeRequest.create({
        key: "a",
        rangeEnd: "b",
        limit: 5,
        revision: 7,
        sortOrder: 2,
        sortTarget: 3,
      }),
    );
  });

  test("takes both base64 alphabets, padded or not", () => {
    for (const value of ["+/8=", "-_8=", "+/8", "-_8"]) {
      expect(fromJson(PutRequest, { value }).value).toEqual(new Uint8Array([0xfb, 0xff]));
    }
  });

  test("takes what Go takes beyond that: whole numbers in other forms, base64 with breaks", () => {
    const read = fromJson(RangeRequest, { limit: "1e3", revision: 1.0, min_mod_revision: "-0" });
    expect([read.limit, read.revision, read.minModRevision]).toEqual([1000, 1, 0]);
    expect(fromJson(RangeRequest, { limit: "9223372036854775807" }).limit).toBe(2 ** 53 - 1);
    expect(fromJson(RangeRequest, { limit: "-9223372036854775808" }).limit).toBe(1 - 2 ** 53);
    expect(fromJson(PutRequest, { key: "YWJj\r\nZGU=\r\n" }).key as string).toBe("abcde");
    expect(fromJson(PutRequest, { key: "YR==" }).key as string).toBe("a");
  });

  test("ignores the names that an enum does not have", () => {
    for (const sort_order of ["NOT_THERE", "toString", "1", ""]) {
      expect(fromJson(RangeRequest, { sort_order })).toEqual(RangeRequest.create());
    }
    const { filters } = fromJson(WatchCreateRequest, { filters: ["NOPUT", "WHAT", 1] });
    expect(filters).toEqual([0, 1]);
  });

  test("keeps ids exact that no number can hold", () => {
    const json = parseJson('{"ID": 7587862072907233555, "TTL": 10}');
    expect(fromJson(LeaseGrantRequest, json)).toEqual({ ID: 7587862072907233555n, TTL: 10 });
    expect(fromJson(LeaseGrantRequest, { ID: "-9223372036854775808" }).ID).toBe(-(2n ** 63n));
    expect(parseJson('[1.5e300, 1234567890123456.5, "12345678901234567890"]')).toEqual([
      1.5e300,
      1234567890123456.5,
      "12345678901234567890",
    ]);
  });

  test("refuses what the field cannot hold", () => {
    const bad: [MessageType<unknown>, unknown][] = [
      [PutRequest, null],
      [PutRequest, []],
      [PutRequest, "x"],
      [PutRequest, 1],
      [PutRequest, { key: 1 }],
      [PutRequest, { key: "a" }],
      [PutRequest, { key: "a===" }],
      [PutRequest, { key: "YQ==YQ==" }],
      [PutRequest, { key: "Y Q=" }],
      [PutRequest, { prev_kv: "true" }],
      [PutRequest, { prev_kv: 1 }],
      [PutRequest, { lease: "9223372036854775808" }],
      [PutRequest, { lease: 1.5 }],
      [PutRequest, { lease: "1.5" }],
      [PutRequest, { lease: " 1" }],
      [PutRequest, { lease: "01" }],
      [PutRequest, { lease: "" }],
      [PutRequest, { lease: true }],
      [RangeRequest, { limit: "9223372036854775808" }],
      [RangeRequest, { range_end: "YQ==", rangeEnd: "YQ==" }],
      [RangeRequest, { range_end: null, rangeEnd: "YQ==" }],
      [PutRequest, { key: "YQ=" }],
      [PutRequest, { key: "==" }],
      [PutRequest, { key: "-+==" }],
      [PutRequest, { key: "Y=Q=" }],
      [PutRequest, { key: "Y\nQ==" }],
      [RangeRequest, { limit: {} }],
      [RangeRequest, { sort_order: true }],
      [RangeRequest, { sort_order: 2 ** 31 }],
      [ResponseHeader, { raft_term: -1 }],
      [ResponseHeader, { cluster_id: "18446744073709551616" }],
      [TxnRequest, { compare: {} }],
      [TxnRequest, { compare: [null] }],
      [Compare, { version: 1, lease: 2 }],
      [AuthenticateRequest, { name: "\ud800" }],
      [AuthenticateRequest, { name: 1 }],
    ];
    for (const [type, json] of bad) {
      expect(() => fromJson(type, json)).toThrow(DecodeError);
    }
    for (const text of ["", "{", "{a:1}", "[".repeat(1_000_000)]) {
      expect(() => parseJson(text)).toThrow(DecodeError);
    }
    expect(() => fromJson(MESSAGES[0] as MessageType<unknown>, undefined)).toThrow(DecodeError);
  });

  test("nests only so deep", () => {
    let json: object = {};
    for (let i = 0; i < 5000; i++) json = { success: [{ request_txn: json }] };
    expect(() => fromJson(TxnRequest, json)).toThrow(DecodeError);
  });

  test("touches no prototype", () => {
    const json = parseJson('{"__proto__": {"key": "YQ=="}, "constructor": {"key": "YQ=="}}');
    expect(fromJson(PutRequest, json)).toEqual(PutRequest.create());
    expect(fromJson(PutRequest, Object.create({ key: "YQ==" }))).toEqual(PutRequest.create());
  });
});

test("every message comes back from its text, and protobufjs reads and writes the same", () => {
  for (const type of MESSAGES) {
    const property = fc.property(messagesOf(type, 2), (message) => {
      const text = JSON.stringify(toJson(type, message));
      expect(fromJson(type, parseJson(text))).toEqual(message);
      const bytes = encodeOurs(type, message);
      const theirs = reflected(type);
      const read = theirs.encode(protojson.fromJsonString(theirs, text)).finish();
      expect(type.decode(read, 0, read.length)).toEqual(message);
      const json = protojson.toJsonString(theirs, theirs.decode(bytes));
      expect(fromJson(type, parseJson(json))).toEqual(message);
    });
    fc.assert(property, { ...PROPERTY, numRuns: 10 });
  }
});
