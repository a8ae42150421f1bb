import { describe, expect, test } from "bun:test";
import { Compactor, type CompactorParts } from "../../src/node/compactor.ts";
import { NO_METER } from "../../src/node/meter.ts";

/** A compactor whose store ends a removal when told to. */
function compactorAt(target: number): { compactor: Compactor; endRemoval: () => void } {
  let end: () => void = () => {
    throw new Error("nothing is removed");
  };
  const parts = {
    current: { machine: { physicalTarget: () => target } },
    triggerEntries: 10,
    store: {
      compact: (_revision: number, onDone: () => void) => {
        end = onDone;
      },
    },
    log: { sizeBytes: () => 0 },
    clock: { monotonicMs: () => 0 },
    meter: NO_METER,
  } as unknown as CompactorParts;
  return { compactor: new Compactor(parts), endRemoval: () => end() };
}

describe("waiting for a physical compaction", () => {
  test("ends when the store has removed the rows", () => {
    const { compactor, endRemoval } = compactorAt(7);
    compactor.requested();
    let done = false;
    compactor.whenRemoved(7, () => {
      done = true;
    });
    expect(done).toBe(false);
    endRemoval();
    expect(done).toBe(true);
  });

  test("goes on when another state takes the place of the one that was compacted", () => {
    const { compactor, endRemoval } = compactorAt(7);
    compactor.requested();
    let done = false;
    compactor.whenRemoved(7, () => {
      done = true;
    });
    compactor.replaced(); // the store forgets what it was asked
    expect(done).toBe(false);
    compactor.requested();
    endRemoval();
    expect(done).toBe(true);
    compactor.replaced();
    let again = false;
    compactor.whenRemoved(7, () => {
      again = true;
    });
    expect(again).toBe(false); // what the sender had not removed is there
  });

  test("asks nothing of a store that closes", () => {
    const { compactor, endRemoval } = compactorAt(7);
    compactor.stop();
    compactor.requested();
    expect(endRemoval).toThrow("nothing is removed");
  });

  test("at revision 0, where no row can be, ends at once", () => {
    const { compactor } = compactorAt(0);
    compactor.requested();
    let done = false;
    compactor.whenRemoved(0, () => {
      done = true;
    });
    expect(done).toBe(true);
  });
});

describe("the log is cut", () => {
  interface Follower {
    readonly state: "probe" | "replicate" | "snapshot";
    readonly match: number;
    readonly pendingSnapshot?: number;
    readonly recentActive?: boolean;
  }

  let checkpoints = 0;

  /** Up to where a log of a hundred applied entries is cut, five being kept; 0 if it is not. */
  function cutAt(peers: readonly Follower[], logBytes = 0): number {
    let cut = 0;
    checkpoints = 0;
    const sizes = [0, logBytes];
    const raft = {
      ...{ applied: 100, firstIndex: 11, lastIndex: 100, peers },
      snapshotAt: (index: number) => ({ index }),
      compactTo: () => {},
    };
    const parts = {
      current: { machine: { physicalTarget: () => 0 } },
      ...{ raft, triggerEntries: 10, keptEntries: 5 },
      store: {
        checkpoint: (onDurable: (index: number) => void) => {
          checkpoints++;
          onDurable(100);
        },
      },
      log: {
        sizeBytes: () => sizes.shift() ?? logBytes,
        compact: ({ index }: { index: number }) => {
          cut = index;
        },
      },
      logger: { debug: () => {} },
    } as unknown as CompactorParts;
    new Compactor(parts).tick();
    return cut;
  }

  test("behind the entries that are kept", () => {
    expect(cutAt([])).toBe(95);
    expect(cutAt([{ state: "replicate", match: 99 }])).toBe(95);
  });

  test("not past what a follower needs that catches up, or is being sent a copy", () => {
    expect(cutAt([{ state: "replicate", match: 40, recentActive: true }])).toBe(40);
    expect(cutAt([{ state: "probe", match: 40, recentActive: true }])).toBe(40);
    expect(cutAt([{ state: "snapshot", match: 0, pendingSnapshot: 60 }])).toBe(60);
  });

  test("when that drops enough: a checkpoint is not made for less", () => {
    expect(cutAt([{ state: "replicate", match: 20, recentActive: true }])).toBe(20);
    expect(cutAt([{ state: "replicate", match: 19, recentActive: true }])).toBe(0);
    expect(checkpoints).toBe(0);
  });

  test("for whoever is away or too far behind, and for all if it got too long", () => {
    expect(cutAt([{ state: "probe", match: 40, recentActive: false }])).toBe(95);
    expect(cutAt([{ state: "replicate", match: 40, recentActive: false }])).toBe(95);
    expect(cutAt([{ state: "replicate", match: 3, recentActive: true }])).toBe(95);
    const near = { state: "replicate", match: 40, recentActive: true } as const;
    expect(cutAt([near], 300 * 2 ** 20)).toBe(100);
  });
});

describe("waiting for space to be given back", () => {
  test("goes on when another state takes the place of the one that was asked", () => {
    const asked: (() => void)[] = [];
    const parts = {
      triggerEntries: 10,
      store: { defragment: (onDone: () => void) => asked.push(onDone) },
      log: { sizeBytes: () => 0 },
    } as unknown as CompactorParts;
    const compactor = new Compactor(parts);
    const ended: string[] = [];
    compactor.defragment((error) => ended.push(`first ${error?.code}`));
    compactor.replaced(); // the store forgets what it was asked
    compactor.defragment((error) => ended.push(`second ${error?.code}`));
    expect([asked.length, ended]).toEqual([3, []]);
    for (const onDone of asked.slice(1)) onDone();
    expect(ended).toEqual(["first undefined", "second undefined"]);
    compactor.replaced();
    expect(asked.length).toBe(3); // nobody waits
    compactor.defragment((error) => ended.push(`third ${error?.code}`));
    compactor.stop();
    asked.at(-1)?.();
    expect(ended.slice(2)).toEqual(["third stopped"]);
  });
});
