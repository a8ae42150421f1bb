/** A watch as a queue of events: nothing is lost to a slow taker, and every wait has an end. */
import { expect, test } from "bun:test";
import { AetherError } from "../../src/base/errors.ts";
import { Prng } from "../../src/base/prng.ts";
import { KeyWatch } from "../../src/coord/key-watch.ts";
import { WatchHub } from "../../src/watch/hub.ts";
import { type Change, MemorySource } from "../watch/memory-source.ts";

const RANGE = { key: "a", rangeEnd: "b", deletionsOnly: false };

class World {
  readonly source = new MemorySource();
  readonly hub = new WatchHub(this.source, { random: new Prng(1) });
  readonly abort = new AbortController();
  readonly changes = { hub: this.hub, wakeHub: () => this.catchUp() };

  change(change: Change): void {
    this.hub.publish(this.source.apply([change]));
  }

  catchUp(): void {
    while (this.hub.hasWork) this.hub.step();
  }

  /** The next event as "PUT key" or "DELETE key", or undefined. */
  async next(watch: KeyWatch): Promise<string | undefined> {
    const event = await watch.next(this.abort.signal);
    return event && `${event.type === 0 ? "PUT" : "DELETE"} ${event.kv?.key}`;
  }
}

test("events come in order, whether they were there before or come while one waits", async () => {
  const world = new World();
  world.change({ key: "a1", value: "" });
  using watch = new KeyWatch(world.changes, RANGE, 1);
  expect(await world.next(watch)).toBe("PUT a1");
  const waiting = world.next(watch);
  world.change({ key: "b", value: "" });
  world.change({ key: "a1" });
  expect(await waiting).toBe("DELETE a1");
});

test("a slow taker gets everything, and little of it waits here", async () => {
  const world = new World();
  using watch = new KeyWatch(world.changes, RANGE, 1);
  for (let index = 0; index < 100; index++) world.change({ key: `a${index}`, value: "" });
  expect(watch.writable).toBe(false);
  expect(world.hub.counters().slowWatchers).toBe(1);
  for (let index = 0; index < 100; index++) expect(await world.next(watch)).toBe(`PUT a${index}`);
  expect(world.hub.counters().slowWatchers).toBe(0);
  world.hub.verify();
});

test("puts wake nobody who waits for a deletion", async () => {
  const world = new World();
  using watch = new KeyWatch(world.changes, { ...RANGE, deletionsOnly: true }, 1);
  world.change({ key: "a", value: "" });
  const waiting = world.next(watch);
  world.change({ key: "a", value: "again" });
  world.change({ key: "a" });
  expect(await waiting).toBe("DELETE a");
});

test("who needs what is compacted is told that it is not to be had", async () => {
  const world = new World();
  for (let index = 0; index < 5; index++) world.change({ key: "a", value: "" });
  world.source.compact(5);
  using watch = new KeyWatch(world.changes, RANGE, 1);
  expect(await world.next(watch)).toBeUndefined();
});

test("a wait ends with the reason of its signal, and the watch with its owner", async () => {
  const world = new World();
  {
    using watch = new KeyWatch(world.changes, RANGE, 1);
    const waiting = world.next(watch);
    const reason = new AetherError("canceled");
    world.abort.abort(reason);
    expect(await waiting.catch((error: unknown) => error)).toBe(reason);
    expect(await world.next(watch).catch((error: unknown) => error)).toBe(reason);
    expect(world.hub.counters().streams).toBe(1);
  }
  expect(world.hub.counters().streams).toBe(0);
});
