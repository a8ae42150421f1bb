/** When a group compacts its log and its rows, and in which order relative to hub and store. */
import { describe, expect, test } from "bun:test";
import { RangeRequest } from "../../src/proto/gen/etcdserverpb.ts";
import { Event } from "../../src/proto/gen/mvccpb.ts";
import type { WatchResponse } from "../../src/watch/ports.ts";
import { DrivenGroup } from "./driven-group.ts";

const TRIGGER = 10;

function putMany(driven: DrivenGroup, count: number): void {
  for (let i = 0; i < count; i++) {
    driven.put("a", String(i));
    driven.settle();
  }
}

/** A tick, with the checkpoint that it may ask for. */
function tickThrough(driven: DrivenGroup): void {
  driven.tick();
  driven.settle();
  driven.store.sync();
  driven.settle();
}

describe("the log", () => {
  test("is cut once it is long, behind what followers may still want", () => {
    const driven = DrivenGroup.leading({ snapshotTriggerEntries: TRIGGER });
    putMany(driven, 12);
    tickThrough(driven);
    expect(driven.logDisk.firstIndex).toBe(2);
    putMany(driven, 3);
    tickThrough(driven);
    expect(driven.logDisk.firstIndex).toBe(driven.group.appliedIndex - TRIGGER / 2 + 1);
    expect(driven.contents()).toEqual(["a=2"]);
  });

  test("is never cut above what the state store holds durably", () => {
    const driven = DrivenGroup.leading({ snapshotTriggerEntries: TRIGGER });
    putMany(driven, 30);
    driven.tick(); // asks for a checkpoint, and hands over what is applied so far
    const handed = driven.group.appliedIndex;
    for (let i = 0; i < 20; i++) {
      driven.put("a", String(i));
      while (driven.endTurn());
      driven.log.sync();
    }
    driven.store.store();
    driven.store.sync();
    driven.log.sync();
    expect(driven.stateDisk.durableIndex).toBe(handed);
    expect(driven.logDisk.firstIndex).toBe(handed + 1);
  });

  test("waits for a checkpoint that is under way, and asks for one at a time", () => {
    const driven = DrivenGroup.leading({ snapshotTriggerEntries: TRIGGER });
    let asked = 0;
    const checkpoint = driven.store.checkpoint.bind(driven.store);
    driven.store.checkpoint = (done) => {
      asked++;
      checkpoint(done);
    };
    putMany(driven, 40);
    driven.tick(500);
    expect(asked).toBe(1);
    driven.settle();
    driven.store.sync();
    putMany(driven, 40);
    driven.tick();
    expect(asked).toBe(2);
  });
});

describe("rows", () => {
  test("are removed after the hub has seen what superseded them and the store has it", () => {
    const driven = DrivenGroup.leading();
    driven.put("a", "old");
    driven.settle();
    driven.tick();
    driven.settle();
    const responses: WatchResponse[] = [];
    const stream = driven.group.hub.openStream({
      writable: true,
      send: (response) => responses.push(response),
    });
    stream.create({
      key: "a",
      rangeEnd: "",
      startRevision: 0,
      progressNotify: false,
      noPut: false,
      noDelete: false,
      prevKv: true,
      watchId: 0,
      fragment: false,
    });
    // One batch: the delete, and a compaction at its own revision.
    const order: string[] = [];
    const write = driven.store.write.bind(driven.store);
    driven.store.write = (batch, onStored) => {
      order.push(`write ${batch.rows.map(({ revision }) => revision).join(" ")}`);
      write(batch, onStored);
    };
    const compact = driven.store.compact.bind(driven.store);
    driven.store.compact = (revision, done) => {
      order.push(`compact ${revision} after ${responses.length}`);
      compact(revision, done);
    };
    driven.delete("a");
    driven.compact(3);
    driven.settle();
    expect(order).toEqual(["write 3", "compact 3 after 2"]);
    const events = responses.at(-1);
    if (events?.kind !== "events") throw new Error("no events");
    const [event] = events.batch.events.map((bytes) => Event.decode(bytes, 0, bytes.length));
    expect(Buffer.from(event?.prevKv?.value ?? "").toString()).toBe("old");
  });

  test("wait for reads that still need them", () => {
    const driven = DrivenGroup.leading();
    driven.put("a", "1");
    driven.put("a", "2");
    driven.settle();
    const cursor = driven.group.machine.openRange(RangeRequest.create({ key: "a", revision: 2 }));
    driven.compact(3);
    const answers: unknown[] = [];
    driven.settle();
    driven.group.compactor.whenRemoved(3, (error) => answers.push(error));
    driven.tick();
    driven.settle();
    expect(answers).toEqual([]);
    cursor.close();
    driven.tick();
    driven.settle();
    expect(answers).toEqual([undefined]);
    expect(driven.store.scan(0, 100, 100).length).toBe(1);
  });

  test("that a crash left behind go after the restart", () => {
    const driven = DrivenGroup.leading();
    driven.put("a", "1");
    driven.put("a", "2");
    driven.compact(3);
    driven.settle();
    driven.store.sync();
    driven.crash();
    driven.boot();
    driven.group.start();
    driven.settle();
    driven.tick();
    driven.settle();
    const answers: unknown[] = [];
    driven.group.compactor.whenRemoved(3, (error) => answers.push(error));
    expect(answers).toEqual([undefined]);
  });
});
