import { describe, expect, test } from "bun:test";
import { Compactor, type CompactorParts } from "../../src/node/compactor.ts";

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
