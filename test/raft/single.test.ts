/** A group of one: the path every write of a single node takes. */
import { describe, expect, test } from "bun:test";
import { Prng } from "../../src/base/prng.ts";
import { configurationOf } from "../../src/raft/membership/configuration.ts";
import { Raft } from "../../src/raft/raft.ts";
import type { Ready } from "../../src/raft/ready.ts";
import { founding } from "../../src/raft/restore.ts";
import type { Entry, MemberId } from "../../src/raft/types.ts";
import { DiskLog } from "./disk-log.ts";

const ONE = 1n as MemberId;

function founded(): DiskLog {
  const disk = new DiskLog();
  disk.write({ ...founding(configurationOf([ONE])), entries: [] });
  return disk;
}

function open(disk: DiskLog, appliedIndex = 0): Raft {
  return new Raft({ id: ONE, random: new Prng(1) }, disk.restored(appliedIndex), disk);
}

/** Performs one Ready to its end and returns it. */
function turn(raft: Raft, disk: DiskLog): Ready {
  const ready = raft.ready();
  disk.write(ready.persist);
  if (ready.persist.mustSync) raft.written(ready.persist.ack);
  const last = ready.committed.at(-1);
  if (last !== undefined) raft.appliedTo(last.index);
  raft.verify();
  return ready;
}

function settle(raft: Raft, disk: DiskLog): Entry[] {
  const committed: Entry[] = [];
  while (raft.hasReady()) committed.push(...turn(raft, disk).committed);
  return committed;
}

describe("a group of one", () => {
  test("leads only once its term and vote are durable", () => {
    const disk = founded();
    const raft = open(disk);
    expect(raft.campaign()).toBe(true);
    expect(raft.role).toBe("candidate");
    const ready = raft.ready();
    expect(ready.persist.mustSync).toBe(true);
    expect(ready.persist.hardState).toEqual({ term: 2, vote: ONE, commit: 1 });
    expect(raft.role).toBe("candidate");
    disk.write(ready.persist);
    raft.written(ready.persist.ack);
    expect(raft.role).toBe("leader");
    expect(settle(raft, disk).map((entry) => entry.kind)).toEqual(["noop"]);
  });

  test("commits a proposal when its own write is durable, not before", () => {
    const disk = founded();
    const raft = open(disk);
    raft.campaign();
    settle(raft, disk);
    const { index } = raft.propose(new Uint8Array([7]));
    const ready = raft.ready();
    expect(ready.persist.entries.map((entry) => entry.index)).toEqual([index]);
    expect(ready.committed).toEqual([]);
    expect(raft.committed).toBe(index - 1);
    raft.written(ready.persist.ack);
    expect(raft.committed).toBe(index);
    expect(settle(raft, disk).map((entry) => entry.index)).toEqual([index]);
  });

  test("moves only the commit index without asking for a sync", () => {
    const disk = founded();
    const raft = open(disk);
    raft.campaign();
    settle(raft, disk);
    raft.propose(new Uint8Array(1));
    const first = raft.ready();
    disk.write(first.persist);
    raft.written(first.persist.ack);
    const second = raft.ready();
    expect(second.persist.mustSync).toBe(false);
    expect(second.persist.hardState?.commit).toBe(raft.committed);
    expect(second.committed.length).toBe(1);
  });

  test("keeps many writes in flight and commits them in order", () => {
    const disk = founded();
    const raft = open(disk);
    raft.campaign();
    settle(raft, disk);
    const acks = [];
    for (let i = 0; i < 5; i++) {
      raft.propose(new Uint8Array([i]));
      const { persist } = raft.ready();
      disk.write(persist);
      acks.push(persist.ack);
    }
    expect(raft.committed).toBe(2);
    for (const ack of acks) {
      raft.written(ack);
      expect(raft.committed).toBe(ack.index);
    }
    expect(raft.ready().committed.map((entry) => entry.payload[0])).toEqual([0, 1, 2, 3, 4]);
  });

  test("answers reads at once when an entry of its term is committed", () => {
    const disk = founded();
    const raft = open(disk);
    expect(raft.readNow(0)).toBe(-1);
    raft.campaign();
    expect(raft.readNow(0)).toBe(-1);
    settle(raft, disk);
    expect(raft.readNow(0)).toBe(2);
    raft.readIndex(17);
    expect(raft.ready().reads).toEqual([{ id: 17, index: 2 }]);
  });

  test("comes back with what was durable and replays what was not applied", () => {
    const disk = founded();
    const raft = open(disk);
    raft.campaign();
    settle(raft, disk);
    for (let i = 0; i < 3; i++) raft.propose(new Uint8Array([i]));
    settle(raft, disk);
    const again = open(disk, 3);
    expect(again.committed).toBe(5);
    expect(settle(again, disk).map((entry) => entry.index)).toEqual([4, 5]);
    again.campaign();
    expect(settle(again, disk).map((entry) => entry.kind)).toEqual(["noop"]);
    expect(again.term).toBe(3);
  });

  test("takes at its first tick after an election timeout the lead by itself", () => {
    const disk = founded();
    const raft = open(disk);
    for (let i = 0; i < 20; i++) {
      raft.tick();
      settle(raft, disk);
    }
    expect(raft.role).toBe("leader");
    for (let i = 0; i < 100; i++) raft.tick();
    expect(raft.role).toBe("leader");
  });
});
