/**
 * A group that stops at any moment and starts again over what its disks hold: what was answered is
 * there, what was never asked is not, and disks that contradict each other are refused.
 */
import { describe, expect, test } from "bun:test";
import { AetherError } from "../../src/base/errors.ts";
import { type Call, DrivenGroup } from "./driven-group.ts";

/** The code with which a group refuses to be made; "none" if it does not. */
function bootCode(driven: DrivenGroup): string {
  try {
    driven.boot();
    return "none";
  } catch (error) {
    if (error instanceof AetherError) return error.code;
    throw error;
  }
}

function restarted(driven: DrivenGroup, kept = 0): DrivenGroup {
  driven.crash(kept);
  driven.boot();
  driven.group.start();
  driven.settle();
  return driven;
}

/** A group with `count` keys, its state synced and its log cut close behind it. */
function compacted(count: number): DrivenGroup {
  const driven = DrivenGroup.leading({ snapshotTriggerEntries: 10 });
  for (let i = 0; i < count; i++) {
    driven.put(`k${i}`, String(i));
    driven.settle();
  }
  driven.tick();
  driven.settle();
  driven.store.sync();
  driven.settle();
  return driven;
}

describe("disks that contradict each other", () => {
  test("the log is gone, the state is not", () => {
    const driven = compacted(3);
    driven.logDisk.hardState = undefined;
    driven.logDisk.snapshot = undefined;
    driven.logDisk.entries = [];
    expect(bootCode(driven)).toBe("corrupt");
  });

  test("the state is gone, and the log no longer begins at the start", () => {
    const driven = compacted(40);
    expect(driven.logDisk.firstIndex).toBeGreaterThan(2);
    driven.stateDisk.current = new DrivenGroup().stateDisk.current;
    expect(bootCode(driven)).toBe("corrupt");
  });

  test("the state is older than the start of the log", () => {
    const driven = compacted(40);
    const { current } = driven.stateDisk;
    current.appliedIndex = driven.logDisk.firstIndex - 2;
    expect(bootCode(driven)).toBe("corrupt");
  });

  test("the state is ahead of the end of the log", () => {
    const driven = compacted(3);
    driven.logDisk.entries.length = 1;
    expect(bootCode(driven)).toBe("corrupt");
  });
});

describe("a restart", () => {
  test("replays the log over a state that lost everything", () => {
    const driven = DrivenGroup.leading();
    driven.put("a", "1");
    driven.put("b", "2");
    driven.settle();
    expect(restarted(driven).contents()).toEqual(["a=1", "b=2"]);
    expect(driven.group.machine.revision).toBe(3);
  });

  test("goes on where a state stands that is ahead of the commit index on disk", () => {
    const driven = DrivenGroup.leading();
    driven.put("a", "1");
    driven.settle();
    driven.tick();
    driven.settle();
    driven.store.sync();
    const commit = driven.logDisk.hardState?.commit ?? 0;
    expect(driven.stateDisk.durableIndex).toBeGreaterThan(commit);
    expect(restarted(driven).contents()).toEqual(["a=1"]);
  });

  test("twice in a row, and after a log that was compacted", () => {
    const driven = compacted(40);
    expect(restarted(driven).group.machine.keyCount).toBe(40);
    driven.put("more", "");
    driven.settle();
    expect(restarted(driven).group.machine.keyCount).toBe(41);
  });

  test("a graceful one leaves nothing to replay", async () => {
    const driven = DrivenGroup.leading();
    driven.put("a", "1");
    driven.settle();
    driven.group.stop();
    await driven.log.close();
    await driven.store.close();
    expect(driven.stateDisk.durableIndex).toBe(driven.logDisk.lastIndex);
    expect(driven.logDisk.hardState?.commit).toBe(driven.logDisk.lastIndex);
    expect(restarted(driven).contents()).toEqual(["a=1"]);
  });
});

/** What the script proposes, in order; each is one entry unless the turn took two. */
const SCRIPT: readonly ((driven: DrivenGroup) => Call)[] = [
  (driven) => driven.put("a", "1"),
  (driven) => driven.put("b", "2"),
  (driven) => driven.grant(7n, 60),
  (driven) => driven.put("a", "3", { lease: 7n }),
  (driven) => driven.delete("b"),
  (driven) => driven.compact(3),
  (driven) => driven.revoke(7n),
  (driven) => driven.put("c", "4"),
];

/** The state after each step of the script, from none to all. */
function expectedStates(): string[] {
  const driven = DrivenGroup.leading();
  const states = [stateText(driven)];
  for (const step of SCRIPT) {
    step(driven);
    driven.settle();
    states.push(stateText(driven));
  }
  return states;
}

function stateText({ group: { machine } }: DrivenGroup): string {
  const leases: string[] = [];
  machine.forEachLease((id, ttl) => leases.push(`${id}:${ttl}`));
  const { revision, compactRevision } = machine;
  const rows = machine.scan(machine.seek(Math.max(1, compactRevision)), 100);
  const changes = rows.map((row) => `${row.revision}${row.tombstone ? "-" : "+"}${row.key}`);
  return JSON.stringify({ revision, compactRevision, leases, changes });
}

/**
 * Runs the script, one event of a disk or a turn at a time, and stops after `events` of them.
 * Returns how many steps were answered, or -1 if the script ended before.
 */
function runUntil(driven: DrivenGroup, events: number): { answered: number; ended: boolean } {
  let left = events;
  const calls: Call[] = [];
  const event = (happen: () => void): boolean => {
    if (left === 0) return false;
    left--;
    happen();
    return true;
  };
  const drain = (): boolean => {
    for (;;) {
      if (driven.endTurn()) continue; // memory only: a crash cannot fall into it
      if (driven.log.pendingCount > 0) {
        // Durable, then answered: a crash may fall between the two.
        if (!event(() => driven.log.sync(1))) return false;
      } else if (driven.store.pendingCount > 0) {
        if (!event(() => driven.store.store(1))) return false;
      } else return true;
    }
  };
  const count = (): number => calls.filter((call) => call.answered).length;
  driven.group.start();
  if (!drain()) return { answered: 0, ended: false };
  for (const step of SCRIPT) {
    calls.push(step(driven));
    if (!drain()) return { answered: count(), ended: false };
    driven.tick(); // hands rows to the store
    if (!drain()) return { answered: count(), ended: false };
    if (!event(() => driven.store.sync())) return { answered: count(), ended: false };
  }
  return { answered: count(), ended: true };
}

describe("a crash at every point of a script", () => {
  const states = expectedStates();

  test("loses nothing that was answered and invents nothing", () => {
    let crashes = 0;
    for (let events = 0, ended = false; !ended; events++) {
      for (const unanswered of [false, true]) {
        for (const kept of [0, 1, 2]) {
          const driven = new DrivenGroup({ snapshotTriggerEntries: 4 });
          const run = runUntil(driven, events);
          if (unanswered) driven.log.syncUnanswered(1); // durable, the crash came before the answer
          restarted(driven, kept);
          const reached = states.indexOf(stateText(driven));
          expect([events, reached]).toEqual([events, Math.max(reached, run.answered)]);
          crashes++;
          ended = run.ended;
        }
      }
    }
    expect(crashes).toBeGreaterThan(100);
  });
});
