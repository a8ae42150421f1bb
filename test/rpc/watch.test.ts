/** The watch service: requests to the hub, responses to messages. The hub has tests of its own. */
import { describe, expect, test } from "bun:test";
import { AetherError } from "../../src/base/errors.ts";
import { AetherWatch } from "../../src/proto/gen/aether.v1.ts";
import {
  FilterType,
  Watch,
  WatchCreateRequest,
  WatchRequest,
  WatchResponse,
} from "../../src/proto/gen/etcdserverpb.ts";
import { EventType } from "../../src/proto/gen/mvccpb.ts";
import { type FakeCall, Harness } from "./harness.ts";

const PATH = Watch.Watch.path;

function create(harness: Harness, call: FakeCall, partial: Partial<WatchCreateRequest>): void {
  const createRequest = WatchCreateRequest.create(partial);
  harness.tell(call, WatchRequest, { createRequest });
}

function watching(harness: Harness, partial: Partial<WatchCreateRequest>): FakeCall {
  const call = harness.start(PATH);
  create(harness, call, partial);
  return call;
}

function put(harness: Harness, key: string, text: string): void {
  harness.driven.put(key, text);
  harness.driven.settle();
}

const responses = (call: FakeCall): WatchResponse[] => call.decodeAll(WatchResponse);

describe("a watch", () => {
  test("is created, sees events with what was before, and is cancelled", () => {
    const harness = new Harness();
    put(harness, "a", "1");
    const call = watching(harness, { key: "a", prevKv: true });
    put(harness, "a", "2");
    harness.driven.delete("a");
    harness.driven.settle();
    harness.tell(call, WatchRequest, { cancelRequest: { watchId: 0 } });
    put(harness, "a", "3");
    const [created, second, third, canceled] = responses(call);
    expect(created).toMatchObject({ created: true, watchId: 0, events: [] });
    expect(created?.header?.revision).toBe(2);
    expect(second?.events[0]?.type).toBe(EventType.PUT);
    expect(Buffer.from(second?.events[0]?.prevKv?.value ?? "").toString()).toBe("1");
    expect(third?.events[0]?.type).toBe(EventType.DELETE);
    expect(third?.header?.revision).toBe(4);
    expect(canceled).toMatchObject({ canceled: true, watchId: 0, cancelReason: "" });
    expect([call.messages.length, call.text]).toEqual([4, "open"]);
  });

  test("replays history from its start, filters what it is told to", () => {
    const harness = new Harness();
    put(harness, "a", "1");
    harness.driven.delete("a");
    put(harness, "a", "2");
    const filters = [FilterType.NODELETE];
    const call = watching(harness, { key: "a", startRevision: 1, filters });
    const events = responses(call).flatMap((response) => response.events);
    expect(events.map(({ kv }) => kv?.modRevision)).toEqual([2, 4]);
  });

  test("that cannot be is refused inside the stream", () => {
    const harness = new Harness();
    const call = watching(harness, { key: "b", rangeEnd: "a" });
    create(harness, call, { key: "a", watchId: 5 });
    create(harness, call, { key: "a", watchId: 5 });
    create(harness, call, { key: "a", startRevision: -1 });
    const refused = { created: true, canceled: true, watchId: -1 };
    expect(responses(call)).toMatchObject([
      { ...refused, cancelReason: "mvcc: watcher range is empty" },
      { created: true, canceled: false, watchId: 5 },
      { ...refused, cancelReason: "mvcc: duplicate watch ID provided on the WatchStream" },
      { ...refused, cancelReason: "etcdserver: mvcc: required revision has been compacted" },
    ]);
    expect(call.text).toBe("open");
  });

  test("from a compacted revision is created, and cancelled with where history begins", () => {
    const harness = new Harness();
    for (const text of ["1", "2", "3"]) put(harness, "a", text);
    harness.driven.compact(3);
    harness.driven.settle();
    const call = watching(harness, { key: "a", startRevision: 2 });
    expect(responses(call)).toMatchObject([
      { created: true, canceled: false },
      { canceled: true, compactRevision: 3, cancelReason: "", header: { revision: 0 } },
    ]);
  });
});

describe("a stream of watches", () => {
  test("answers a progress request for all of them", () => {
    const harness = new Harness();
    const call = watching(harness, { key: "a" });
    put(harness, "b", "1");
    harness.tell(call, WatchRequest, { progressRequest: {} });
    expect(responses(call).at(-1)).toMatchObject({ watchId: -1, events: [] });
    expect(responses(call).at(-1)?.header?.revision).toBe(2);
  });

  test("goes on when the client has half closed, and ends with it or with the server", () => {
    const harness = new Harness();
    const call = watching(harness, { key: "a" });
    harness.halfClose(call);
    put(harness, "a", "1");
    expect(call.messages.length).toBe(2);
    call.cancel();
    expect(harness.driven.group.hub.counters().streams).toBe(0);
    const other = harness.start(AetherWatch.Watch.path);
    harness.watch.close(new AetherError("stopped"));
    expect(other.text).toBe("14 etcdserver: server stopped");
    expect(harness.driven.group.hub.counters().streams).toBe(0);
  });

  test("that sends garbage, or asks without reading, is ended and leaves nothing", () => {
    const harness = new Harness();
    const garbage = watching(harness, { key: "a" });
    harness.say(garbage, new Uint8Array([0x0a, 0xff]));
    expect(garbage.ending?.code as number).toBe(13);
    const deaf = watching(harness, { key: "a" });
    deaf.queuedBytes = 64 * 1024 * 1024;
    create(harness, deaf, { key: "b" });
    expect(deaf.ending?.code as number).toBe(8);
    expect(harness.driven.group.hub.counters()).toMatchObject({ streams: 0, watchers: 0 });
  });

  test("an empty request is passed over", () => {
    const harness = new Harness();
    const call = watching(harness, { key: "a" });
    harness.tell(call, WatchRequest, {});
    expect([call.messages.length, call.text]).toEqual([1, "open"]);
  });

  test("whose client does not read falls behind in the history, and catches up", () => {
    const harness = new Harness();
    const call = watching(harness, { key: "a", rangeEnd: "b" });
    call.writable = false;
    for (let i = 0; i < 50; i++) put(harness, `a${i}`, "v");
    expect(call.messages.length).toBe(1);
    call.writable = true;
    call.handler?.onDrain();
    harness.driven.settle();
    expect(responses(call).flatMap(({ events }) => events).length).toBe(50);
  });
});
