/** RangeStream (etcd 3.7): chunks, what each holds, and a client that reads slowly. */
import { describe, expect, test } from "bun:test";
import {
  CompactionRequest,
  KV,
  RangeRequest,
  RangeResponse,
  RangeStreamResponse,
  SortOrder,
  SortTarget,
} from "../../src/proto/gen/etcdserverpb.ts";
import { bytesOfMessage, type FakeCall, Harness } from "./harness.ts";

const PATH = KV.RangeStream.path;
const ALL = { key: "\0", rangeEnd: "\0" };

function filled(count: number, valueBytes = 1): Harness {
  const harness = new Harness();
  const value = "v".repeat(valueBytes);
  for (let i = 0; i < count; i++) harness.driven.put(`k${String(i).padStart(5, "0")}`, value);
  harness.driven.settle();
  return harness;
}

function chunks(call: FakeCall): RangeResponse[] {
  return call
    .decodeAll(RangeStreamResponse)
    .map(({ rangeResponse }) => rangeResponse as RangeResponse);
}

/** Starts a stream and runs at most `turns` turns. */
function open(harness: Harness, partial: Partial<RangeRequest>): FakeCall {
  const call = harness.start(PATH);
  harness.say(call, bytesOfMessage(RangeRequest, partial));
  return call;
}

describe("a stream", () => {
  test("begins small and grows; only the last chunk has header, more and count", () => {
    const harness = filled(3000);
    const call = harness.call(PATH, RangeRequest, ALL);
    expect(call.text).toBe("0");
    const sizes = chunks(call).map(({ kvs }) => kvs.length);
    expect(sizes.slice(0, 8)).toEqual([10, 20, 40, 80, 160, 320, 640, 1000]);
    const all = chunks(call);
    const last = all.pop();
    for (const chunk of all) {
      expect([chunk.header, chunk.more, chunk.count]).toEqual([undefined, false, 0]);
    }
    expect([last?.header?.revision, last?.more, last?.count]).toEqual([3001, false, 3000]);
  });

  test("put together is what Range answers", () => {
    const harness = filled(700);
    const requests: Partial<RangeRequest>[] = [
      ALL,
      { ...ALL, limit: 37 },
      { ...ALL, limit: 700 },
      { ...ALL, keysOnly: true },
      { ...ALL, countOnly: true },
      { ...ALL, revision: 300 },
      { ...ALL, serializable: true },
      { ...ALL, sortTarget: SortTarget.MOD },
      { key: "k00005" },
      { key: "nothing" },
      { key: "z", rangeEnd: "a" },
    ];
    for (const request of requests) {
      const whole = harness.call(KV.Range.path, RangeRequest, request).decode(RangeResponse);
      const parts = chunks(harness.call(PATH, RangeRequest, request));
      const merged = { ...parts.at(-1), kvs: parts.flatMap(({ kvs }) => kvs) };
      expect(merged as RangeResponse).toEqual(whole);
    }
  });

  test("of large values keeps its chunks near a megabyte", () => {
    const harness = filled(60, 200_000);
    const call = harness.call(PATH, RangeRequest, ALL);
    for (const { length } of call.messages) expect(length).toBeLessThan(1_300_000);
    expect(chunks(call).flatMap(({ kvs }) => kvs).length).toBe(60);
  });

  test("reads one revision, whatever is written and compacted meanwhile", () => {
    const harness = filled(500);
    const call = open(harness, ALL);
    harness.driven.put("k00499", "later");
    harness.driven.put("k99999", "later");
    harness.driven.delete("k00400");
    harness.driven.compact(504);
    harness.driven.settle();
    const kvs = chunks(call).flatMap((chunk) => chunk.kvs);
    expect(kvs.length).toBe(500);
    expect(Buffer.from(kvs[499]?.value ?? "").toString()).toBe("v");
    expect(chunks(call).at(-1)?.header?.revision).toBe(501);
    harness.driven.tick();
    expect(harness.driven.group.machine.physicalTarget()).toBe(504);
  });

  test("waits for a client that does not read, and goes on when it does", () => {
    const harness = filled(500);
    const call = open(harness, ALL);
    call.writable = false;
    harness.driven.settle();
    const sent = call.messages.length;
    harness.driven.settle();
    expect([call.messages.length, call.text]).toEqual([sent, "open"]);
    call.writable = true;
    call.handler?.onDrain();
    harness.driven.settle();
    expect(call.text).toBe("0");
  });

  test("that is cancelled lets go of its revision", () => {
    const harness = filled(500);
    const call = open(harness, ALL);
    call.writable = false;
    harness.driven.put("later");
    harness.driven.settle();
    harness.driven.compact(502);
    harness.driven.settle();
    expect(harness.driven.group.machine.physicalTarget()).toBe(501);
    call.cancel();
    expect(harness.driven.group.machine.physicalTarget()).toBe(502);
    expect(call.endings).toBe(0);
  });
});

describe("a client that stops reading", () => {
  test("loses its stream, and the revision is let go", () => {
    const harness = filled(500);
    const call = open(harness, ALL);
    call.writable = false;
    call.queuedBytes = 1000;
    harness.driven.put("later");
    harness.driven.compact(502);
    harness.driven.settle();
    harness.kv.tick(0);
    harness.kv.tick(59_000);
    call.queuedBytes = 900; // it took something
    harness.kv.tick(61_000);
    harness.kv.tick(120_000);
    expect([call.text, harness.driven.group.machine.physicalTarget()]).toEqual(["open", 501]);
    harness.kv.tick(121_000);
    expect(call.text).toBe("1 the answer was not read for a minute");
    expect(harness.driven.group.machine.physicalTarget()).toBe(502);
    harness.kv.tick(999_000);
    expect(call.endings).toBe(1);
  });

  test("does not, as long as it is only we who have nothing to send", () => {
    const harness = filled(500);
    const call = open(harness, ALL);
    harness.kv.tick(0);
    harness.kv.tick(999_000);
    expect(call.text).toBe("open");
  });
});

describe("a stream fails", () => {
  const harness = filled(3);
  harness.call(KV.Compact.path, CompactionRequest, { revision: 3 });
  const COMPACTED = "11 etcdserver: mvcc: required revision has been compacted";
  const rows: [Partial<RangeRequest>, string][] = [
    [{}, "3 etcdserver: key is not provided"],
    [{ key: "a", revision: 2 }, COMPACTED],
    [{ key: "a", revision: 2, serializable: true }, COMPACTED],
    [{ key: "a", revision: 9 }, "11 etcdserver: mvcc: required revision is a future revision"],
    [
      { key: "a", sortTarget: SortTarget.MOD, sortOrder: SortOrder.ASCEND },
      "12 RangeStream does not support custom sort orders",
    ],
    [
      { key: "a", sortOrder: SortOrder.DESCEND },
      "12 RangeStream does not support custom sort orders",
    ],
    [{ key: "a", minModRevision: 1 }, "12 RangeStream does not support revision filters"],
    [{ key: "a", maxCreateRevision: 1 }, "12 RangeStream does not support revision filters"],
  ];
  test.each(rows)("%p", (request, text) => {
    const call = harness.call(PATH, RangeRequest, request);
    expect([call.text, call.messages.length]).toEqual([text, 0]);
  });
});
