/** The machine of a group, and what becomes of those who hold on to one that was replaced. */
import { describe, expect, test } from "bun:test";
import { RangeRequest } from "../../src/proto/gen/etcdserverpb.ts";
import type { StateMachine } from "../../src/state/machine.ts";
import { codeOf } from "../state/driver.ts";
import { ELECTION_MS } from "./driven-cluster.ts";
import { TICK_MS } from "./driven-group.ts";
import { farBehind } from "./far-behind.ts";

/** A member that took a copy of the state, and the machine that it had before. */
function replaced(): { readonly old: StateMachine; readonly machine: StateMachine } {
  const { cluster, behind } = farBehind();
  const { group } = behind;
  cluster.network.heal();
  const old = group.machine;
  const cursor = old.openRange(RangeRequest.create({ key: "\0", rangeEnd: "\0" }));
  cluster.pass(2 * ELECTION_MS + TICK_MS);
  cursor.close();
  return { old, machine: group.machine };
}

describe("a machine that a snapshot has replaced", () => {
  test("is another one, which knows more", () => {
    const { old, machine } = replaced();
    expect(machine).not.toBe(old);
    expect(machine.appliedIndex).toBeGreaterThan(old.appliedIndex);
    expect(machine.revision).toBeGreaterThan(old.revision);
  });

  test("reads no rows of the new state: they have the same numbers, and are others", () => {
    const { old, machine } = replaced();
    for (const read of [() => old.scan(1, 5), () => old.seek(2), () => old.space.rowAt(1)]) {
      expect(codeOf(read)).toBe("leader_changed");
    }
    expect(machine.scan(machine.seek(2), 5).length).toBe(5);
  });
});
