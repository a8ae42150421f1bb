/** What only the memory stores can do: durability on demand, and power cuts. */
import { expect, test } from "bun:test";
import type { HeldState } from "../../src/node/ports.ts";
import { MemoryLogDisk, MemoryLogStore } from "../../src/storage/memory-log.ts";
import {
  type MemoryImage,
  MemoryStateDisk,
  MemoryStateStore,
} from "../../src/storage/memory-state.ts";
import { entry, writing } from "./log-store.contract.ts";
import { batch, ModelHistory } from "./state-store.contract.ts";

test("a log write is answered when the test says, and gone if it crashed before", () => {
  const disk = new MemoryLogDisk();
  const log = new MemoryLogStore(disk, { acknowledge: "on demand" });
  const answers: number[] = [];
  for (let i = 1; i <= 4; i++) {
    log.write(writing({ entries: [entry(i)] }), () => answers.push(i));
  }
  log.sync(2);
  expect([answers, log.pendingCount]).toEqual([[1, 2], 2]);
  expect(log.read(1, 9, 1e9)).toHaveLength(2);
  log.syncUnanswered(1); // durable, and the crash comes before the answer
  const after = new MemoryLogStore(disk, { acknowledge: "on demand" });
  expect(after.stored.lastIndex).toBe(3);
  expect(answers).toEqual([1, 2]);
});

test("a state that crashed is back at what was synced, or a little after", () => {
  const disk = new MemoryStateDisk();
  const state = new MemoryStateStore(disk, { acknowledge: "on demand" });
  const history = new ModelHistory();
  const answers: number[] = [];
  for (let i = 1; i <= 5; i++) {
    state.write(batch(i, { rows: history.change(["a"]) }), () => answers.push(i));
  }
  state.store(2);
  let durable = 0;
  state.checkpoint((index) => {
    durable = index;
  });
  state.sync();
  expect([answers, durable, state.durableIndex()]).toEqual([[1, 2], 0, 2]);
  state.store();
  state.sync();
  expect([answers.length, durable, state.durableIndex()]).toEqual([5, 5, 5]);

  for (let i = 6; i <= 9; i++) state.write(batch(i, { rows: history.change(["a"]) }), () => {});
  state.compact(8, () => {});
  state.store();
  expect(state.scan(0, 99, 99)).toHaveLength(3); // revisions 8 (visible at 8), 9 and 10
  disk.crash(2);
  const after = new MemoryStateStore(disk);
  expect(after.stored.appliedIndex).toBe(7);
  expect([...after.stored.rows]).toHaveLength(7);
  disk.crash();
  expect(new MemoryStateStore(disk).stored.appliedIndex).toBe(5);
});

test("a held state is what was synced, and stays it until the last one lets go", () => {
  const disk = new MemoryStateDisk();
  const state = new MemoryStateStore(disk, { acknowledge: "on demand" });
  const history = new ModelHistory();
  const write = (index: number): void => {
    state.write(batch(index, { rows: history.change(["a"]) }), () => {});
    state.store();
  };
  const held: HeldState[] = [];
  const durable: number[] = [];
  write(1);
  state.hold((given) => held.push(given));
  state.sync();
  write(2);
  state.checkpoint((index) => durable.push(index));
  state.hold((given) => held.push(given));
  state.sync();
  expect([held.map(({ index }) => index), durable, state.durableIndex()]).toEqual([[1, 1], [], 1]);
  held[0]?.release();
  held[0]?.release(); // a second time means nothing
  state.sync();
  expect([durable, state.holdCount]).toEqual([[], 1]);
  held[1]?.release();
  state.sync();
  expect([durable, state.durableIndex()]).toEqual([[2], 2]);
});

test("an install that a crash cut short is finished if the log begins there, else dropped", () => {
  const copy = imageOf(9);
  const disk = new MemoryStateDisk();
  const cut = (): void => {
    const state = new MemoryStateStore(disk, { acknowledge: "on demand", logStart: 4 });
    expect([state.stored.appliedIndex, disk.stagedIndex]).toEqual([0, undefined]);
    state.stage(copy, () => {});
    state.store();
    state.install(9, () => {
      throw new Error("it was cut short");
    });
    disk.crash();
  };
  cut();
  cut(); // the first copy was dropped
  const state = new MemoryStateStore(disk, { acknowledge: "on demand", logStart: 9 });
  expect([state.stored.appliedIndex, state.durableIndex()]).toEqual([9, 9]);
  disk.crash();
  expect(new MemoryStateStore(disk).stored.appliedIndex).toBe(9);
});

test("an install forgets what waits, and what is asked before it is done", () => {
  const disk = new MemoryStateDisk();
  const state = new MemoryStateStore(disk, { acknowledge: "on demand" });
  const forgotten = (): void => {
    throw new Error("the old state answered");
  };
  let held: HeldState | undefined;
  state.hold((given) => {
    held = given;
  });
  state.sync();
  state.stage(imageOf(9), () => {});
  state.store();
  const ask = (index: number): void => {
    state.write(batch(index), forgotten);
    state.compact(1, forgotten);
    state.checkpoint(forgotten);
    state.hold(forgotten);
  };
  ask(1);
  let installed = 0;
  state.install(9, () => installed++);
  ask(2);
  expect(() => state.write(batch(9), forgotten)).toThrow("when it is installed");
  state.store();
  state.sync();
  expect([installed, state.holdCount, state.stored.appliedIndex]).toEqual([1, 0, 9]);
  held?.release();
  state.write(batch(10), () => installed++);
  state.store();
  expect(installed).toBe(2);
});

/** The image of another member's state, applied up to `index`. */
function imageOf(index: number): MemoryImage {
  const disk = new MemoryStateDisk();
  disk.apply(batch(index, { rows: new ModelHistory().change(["from afar"]) }));
  return disk.current;
}
