import { describe, expect, test } from "bun:test";
import { Turn, TurnPhase } from "../../src/base/turn.ts";

/** A turn whose end is called by hand. */
function manual(): { turn: Turn; armed: () => number; end: () => void } {
  const runs: (() => void)[] = [];
  return {
    turn: new Turn((run) => runs.push(run)),
    armed: () => runs.length,
    end: () => runs.shift()?.(),
  };
}

describe("turn", () => {
  test("runs phases in order, and the tasks of a phase as they came", () => {
    const { turn, end } = manual();
    const ran: string[] = [];
    turn.after(TurnPhase.FLUSH, () => ran.push("flush"));
    turn.after(TurnPhase.READ, () => ran.push("read"));
    turn.after(TurnPhase.PROPOSE, () => ran.push("propose 1"));
    turn.after(TurnPhase.PROPOSE, () => ran.push("propose 2"));
    end();
    expect(ran).toEqual(["propose 1", "propose 2", "read", "flush"]);
  });

  test("is armed once a turn, and not at all without work", () => {
    const { turn, armed, end } = manual();
    expect(armed()).toBe(0);
    turn.after(TurnPhase.FLUSH, () => undefined);
    turn.after(TurnPhase.PROPOSE, () => undefined);
    expect(armed()).toBe(1);
    end();
    expect(armed()).toBe(0);
  });

  test("a later phase runs in the same turn, the same or an earlier one in the next", () => {
    const { turn, armed, end } = manual();
    const ran: string[] = [];
    turn.after(TurnPhase.READ, () => {
      ran.push("read");
      turn.after(TurnPhase.FLUSH, () => ran.push("flush"));
      turn.after(TurnPhase.READ, () => ran.push("read again"));
      turn.after(TurnPhase.PROPOSE, () => ran.push("propose"));
    });
    end();
    expect(ran).toEqual(["read", "flush"]);
    expect(armed()).toBe(1);
    end();
    expect(ran).toEqual(["read", "flush", "propose", "read again"]);
  });

  test("a task that throws is reported and delays the others by one turn only", () => {
    const { turn, armed, end } = manual();
    const ran: string[] = [];
    turn.after(TurnPhase.PROPOSE, () => {
      throw new Error("broken");
    });
    turn.after(TurnPhase.PROPOSE, () => ran.push("propose"));
    turn.after(TurnPhase.FLUSH, () => ran.push("flush"));
    expect(end).toThrow("broken");
    expect(armed()).toBe(1);
    end();
    expect(ran).toEqual(["propose", "flush"]);
    expect(armed()).toBe(0);
  });

  test("with setImmediate, ends after all that is ready now", async () => {
    const turn = new Turn(setImmediate);
    const { promise, resolve } = Promise.withResolvers<void>();
    const ran: string[] = [];
    turn.after(TurnPhase.FLUSH, () => {
      ran.push("flush");
      resolve();
    });
    queueMicrotask(() => ran.push("microtask"));
    await promise;
    expect(ran).toEqual(["microtask", "flush"]);
  });
});
