import { describe, expect, test } from "bun:test";
import type { CurrentMachine } from "../../src/node/current-machine.ts";
import { NO_METER } from "../../src/node/meter.ts";
import type { StateStore } from "../../src/node/ports.ts";
import { BACKLOG_BYTES_MAX, StateWriter } from "../../src/node/state-writer.ts";
import type { Row, StateBatch } from "../../src/state/ports.ts";

class StateBench {
  readonly written: { batch: StateBatch; onStored: () => void }[] = [];
  readonly stored: number[] = [];
  readonly machine = {
    appliedIndex: 0,
    takeBatch: (): StateBatch => {
      const { appliedIndex } = this.machine;
      return { appliedIndex, appliedTerm: 1, rows: this.#rows.splice(0), records: [] };
    },
    stored: (seq: number): unknown => this.stored.push(seq),
  };
  readonly writer: StateWriter;
  readonly #rows: Row[] = [];
  #lastSeq = 0;

  constructor(appliedIndex = 0) {
    this.machine.appliedIndex = appliedIndex;
    const store = {
      stored: { appliedIndex: 0 },
      write: (batch: StateBatch, onStored: () => void) => this.written.push({ batch, onStored }),
    };
    this.writer = new StateWriter({
      store: store as unknown as StateStore,
      current: this as unknown as CurrentMachine,
      clock: { monotonicMs: () => 0, wallMs: () => 0 },
      meter: NO_METER,
    });
  }

  apply(count: number, kvBytes = 0): void {
    const kv = new Uint8Array(kvBytes);
    const rows = Array.from({ length: count }, () => ({ seq: ++this.#lastSeq, kv }) as Row);
    for (const row of rows) this.#rows.push(row);
    this.machine.appliedIndex++;
    this.writer.applied(rows);
  }

  /** The store has stored everything it was given. */
  answer(): void {
    for (const { onStored } of this.written.splice(0)) onStored();
  }

  isFull(): boolean {
    return this.writer.isFull();
  }
}

describe("the state writer", () => {
  test("hands rows over a few hundred at a time, or by bytes, or when flushed", () => {
    const bench = new StateBench();
    bench.apply(511);
    expect(bench.written.length).toBe(0);
    bench.apply(1);
    expect(bench.written.map(({ batch }) => batch.rows.length)).toEqual([512]);
    bench.apply(1, 256 * 1024);
    expect(bench.written.length).toBe(2);
    bench.apply(1);
    bench.writer.flush();
    bench.writer.flush();
    expect(bench.written.map(({ batch }) => batch.appliedIndex)).toEqual([2, 3, 4]);
  });

  test("does not write what a founder begins with before its log holds more", () => {
    const bench = new StateBench(1);
    bench.writer.flush();
    expect(bench.written.length).toBe(0);
    bench.apply(1);
    bench.writer.flush();
    expect(bench.written.map(({ batch }) => batch.appliedIndex)).toEqual([2]);
  });

  test("writes nothing after its end", () => {
    const bench = new StateBench();
    bench.apply(1);
    bench.writer.end();
    bench.apply(512);
    bench.writer.flush();
    expect(bench.written.length).toBe(0);
  });

  test("begins anew with a state that took the place of its own", () => {
    const bench = new StateBench();
    bench.apply(512, 400_000);
    bench.apply(511);
    expect([bench.written.length, bench.isFull()]).toEqual([1, true]);
    bench.machine.appliedIndex = 50;
    bench.writer.replaced();
    expect(bench.isFull()).toBe(false);
    bench.writer.flush();
    expect(bench.written.length).toBe(1);
    bench.apply(511);
    expect(bench.written.length).toBe(1);
    bench.apply(1);
    expect(bench.written.at(-1)?.batch.appliedIndex).toBe(52);
  });

  test("tells the machine what can be read from the store, when it can", () => {
    const bench = new StateBench();
    bench.apply(512);
    bench.machine.appliedIndex++; // an entry without rows
    bench.writer.flush();
    expect(bench.stored).toEqual([]);
    bench.answer();
    expect(bench.stored).toEqual([512]);
  });

  test("is full at its bound, of values and of rows, until the store has caught up", () => {
    const bench = new StateBench();
    bench.apply(512, 400_000);
    expect(bench.isFull()).toBe(true);
    bench.answer();
    expect(bench.isFull()).toBe(false);
    let rows = 0;
    for (; !bench.isFull() && rows < 5e6; rows += 5000) bench.apply(5000);
    expect(rows).toBeLessThan(BACKLOG_BYTES_MAX / 100);
    bench.apply(100); // not handed over yet
    bench.answer();
    bench.writer.flush();
    bench.answer();
    expect(bench.isFull()).toBe(false);
  });
});
