/** What large reads hold together, and transactions over many keys. */
import { describe, expect, test } from "bun:test";
import { AetherError } from "../../src/base/errors.ts";
import { MIB } from "../../src/base/units.ts";
import {
  KV,
  PutRequest,
  RangeRequest,
  RangeResponse,
  RequestOp,
  TxnRequest,
  TxnResponse,
} from "../../src/proto/gen/etcdserverpb.ts";
import { TXN_KEYS_MAX, TXN_KEYS_UNDER_WAY_MAX } from "../../src/rpc/kv.ts";
import { LargeReads, STALLED_MS } from "../../src/rpc/large-reads.ts";
import { CommandKind } from "../../src/state/command.ts";
import { encoded } from "../state/driver.ts";
import { enabled } from "./auth-harness.ts";
import { bytesOfMessage, type FakeCall, Harness } from "./harness.ts";

function codeOf(run: () => void): string {
  try {
    run();
    return "ok";
  } catch (error) {
    return error instanceof AetherError ? error.code : String(error);
  }
}

describe("large reads", () => {
  test("are refused when they hold too much together, and all of them move", () => {
    const all = new LargeReads(10 * MIB);
    const [one, two] = [all.begin(), all.begin()];
    one.hold(6 * MIB);
    expect(codeOf(() => two.hold(5 * MIB))).toBe("too_many_requests");
    expect([all.heldBytes, all.refusedCount]).toEqual([6 * MIB, 1]);
    one.release(2 * MIB);
    expect(codeOf(() => two.hold(5 * MIB))).toBe("ok");
    one.end();
    one.end();
    two.end();
    expect(all.heldBytes).toBe(0);
  });

  test("that nobody takes go first, the longest unmoved before the others", () => {
    const all = new LargeReads(10 * MIB);
    const cut: string[] = [];
    const named = (name: string, bytes: number) => {
      const read = all.begin();
      read.onCut = () => cut.push(name);
      read.hold(bytes);
      return read;
    };
    named("first", 4 * MIB);
    all.tick(100);
    named("second", 4 * MIB);
    const small = named("small", MIB / 2);
    all.tick(100 + STALLED_MS);
    const third = named("third", 4 * MIB);
    expect(cut).toEqual(["first"]);
    third.hold(9 * MIB);
    expect(cut).toEqual(["first", "second"]);
    expect(codeOf(() => small.hold(2 * MIB))).toBe("too_many_requests"); // the third moves
    expect(all.cutCount).toBe(2);
  });

  test("of a range give back what they sent, and all at the end", () => {
    const harness = new Harness();
    for (const key of ["a", "b", "c"]) {
      harness.call(KV.Put.path, PutRequest, { key, value: new Uint8Array(MIB) });
    }
    const range = bytesOfMessage(RangeRequest, { key: "a", rangeEnd: "z" });
    const call = harness.start(KV.Range.path, range);
    call.writable = false;
    harness.driven.settle();
    const { largeReads } = harness.kv;
    expect(largeReads.heldBytes).toBeGreaterThan(2 * MIB);
    call.writable = true;
    call.onReplyDrain?.();
    harness.driven.settle();
    expect(call.decode(RangeResponse).kvs.length).toBe(3);
    expect(largeReads.heldBytes).toBe(0);
  });

  test("of a range that is cut end its call", () => {
    const harness = new Harness();
    harness.call(KV.Put.path, PutRequest, { key: "a", value: new Uint8Array(MIB) });
    harness.call(KV.Put.path, PutRequest, { key: "b", value: new Uint8Array(MIB) });
    const range = bytesOfMessage(RangeRequest, { key: "a", rangeEnd: "z" });
    const call = harness.start(KV.Range.path, range);
    call.writable = false;
    harness.driven.settle();
    const { largeReads } = harness.kv;
    largeReads.tick(1e9);
    const asking = largeReads.begin();
    asking.hold(largeReads.bytesMax);
    expect(call.text).toStartWith("8 etcdserver: too many requests");
    call.writable = true;
    call.onReplyDrain?.();
    expect(call.endings).toBe(1);
  });
});

describe("transactions over many keys", () => {
  const all = RangeRequest.create({ key: "k", rangeEnd: "l", keysOnly: true });
  const read = RequestOp.create({ requestRange: all });
  const write = RequestOp.create({ requestPut: PutRequest.create({ key: "a" }) });

  function withKeys(count: number): Harness {
    const harness = new Harness();
    for (let place = 0; place < count; place++) {
      harness.driven.propose(CommandKind.put, encoded(PutRequest, { key: `k${place}` }));
    }
    harness.driven.settle();
    return harness;
  }

  test("that only read are read in slices", () => {
    const harness = withKeys(5000);
    const request = bytesOfMessage(TxnRequest, { success: [read, read] });
    const call = harness.start(KV.Txn.path, request);
    let turns = 0;
    while (call.ending === undefined && harness.driven.endTurn()) turns++;
    expect(turns).toBeGreaterThan(8);
    const { responses } = call.decode(TxnResponse);
    expect(responses.map(({ responseRange }) => responseRange?.kvs.length)).toEqual([5000, 5000]);
    expect(harness.kv.largeReads.heldBytes).toBe(0);
  });

  test("that write are refused before the log if they look at too many", () => {
    const harness = withKeys(5000);
    const reads = (count: number): RequestOp[] => Array.from({ length: count }, () => read);
    const asked = (success: RequestOp[]): string =>
      harness.call(KV.Txn.path, TxnRequest, { success }).text;
    expect(asked([write, ...reads(TXN_KEYS_MAX / 5000)])).toBe("0");
    const over = asked([write, ...reads(TXN_KEYS_MAX / 5000 + 1)]);
    expect(over).toStartWith("8 the transaction looks at more than 50,000 keys");
  });

  test("that write are refused while others of them look at much", () => {
    const harness = withKeys(5000);
    const success = [write, ...Array<RequestOp>(10).fill(read)];
    const request = bytesOfMessage(TxnRequest, { success });
    const few = bytesOfMessage(TxnRequest, { success: [write] });
    const start = (body: Uint8Array): FakeCall => harness.start(KV.Txn.path, body);
    const together = TXN_KEYS_UNDER_WAY_MAX / TXN_KEYS_MAX;
    const calls = Array.from({ length: together + 1 }, () => start(request));
    calls.push(start(few));
    expect(calls[together]?.text).toStartWith("8 etcdserver: too many requests");
    expect(harness.kv.largeReads.refusedCount).toBe(1);
    harness.driven.settle();
    calls.splice(together, 1);
    for (const { text } of calls) expect(text).toBe("0");
    const again = start(request);
    harness.driven.settle();
    expect(again.text).toBe("0");
  });

  test("tell nobody how many keys there are that he may not read", () => {
    const harness = enabled();
    const shown = harness.token("u"); // may read k* and not z
    for (let place = 0; place < 5000; place++) {
      harness.call(KV.Put.path, PutRequest, { key: `k${place}` }, shown);
    }
    const asked = (...more: RequestOp[]): string => {
      const requestPut = PutRequest.create({ key: "k" });
      const success = [RequestOp.create({ requestPut }), ...Array(10).fill(read), ...more];
      return harness.call(KV.Txn.path, TxnRequest, { success }, shown).text;
    };
    expect(asked()).toStartWith("8 the transaction looks at more than 50,000 keys");
    const foreign = RangeRequest.create({ key: "z", rangeEnd: "z0" });
    expect(asked(RequestOp.create({ requestRange: foreign }))).toStartWith("7 ");
  });
});
