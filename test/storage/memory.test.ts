/** What only the memory stores can do: durability on demand, and power cuts. */
import { expect, test } from "bun:test";
import { MemoryLogDisk, MemoryLogStore } from "../../src/storage/memory-log.ts";
import { MemoryStateDisk, MemoryStateStore } from "../../src/storage/memory-state.ts";
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
