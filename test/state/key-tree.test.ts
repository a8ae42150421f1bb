/** The ordered index against a sorted array, and its pieces. */
import { describe, expect, test } from "bun:test";
import { Prng } from "../../src/base/prng.ts";
import { KeyBounds } from "../../src/state/key-bounds.ts";
import { KeyEntry } from "../../src/state/key-entry.ts";
import { KeyIndex } from "../../src/state/key-index.ts";
import { KeyTree, NODE_MAX } from "../../src/state/key-tree.ts";

/** An index and the naive one beside it: key to live. */
class Pair {
  readonly index = new KeyIndex();
  readonly naive = new Map<string, boolean>();
  revision = 1;

  put(key: string): void {
    const entry = this.index.get(key) ?? this.index.add(key);
    if (entry.tombstone) this.index.revive(entry);
    this.#write(entry, 1);
    this.naive.set(key, true);
  }

  delete(key: string): void {
    const entry = this.index.get(key);
    if (entry === undefined || entry.tombstone) return;
    this.#write(entry, 0);
    this.index.bury(entry);
    this.naive.set(key, false);
  }

  sweep(budget: number): void {
    const size = this.naive.size;
    this.index.sweep(this.revision + 1, budget);
    for (const [key, live] of this.naive) {
      if (!live && this.index.get(key) === undefined) this.naive.delete(key);
    }
    expect(this.naive.size).toBeGreaterThanOrEqual(size - budget);
  }

  compare(bounds: KeyBounds): void {
    const keys = [...this.naive].filter(([, live]) => live).map(([key]) => key);
    const inside = keys.filter((key) => key >= bounds.start && !(key >= (bounds.end ?? "\u0100")));
    const found: string[] = [];
    bounds.forEachLive(this.index.tree, (entry) => found.push(entry.key));
    expect(found).toEqual(bounds.empty ? [] : inside.sort());
    expect(bounds.countLive(this.index.tree)).toBe(found.length);
  }

  #write(entry: KeyEntry, version: number): void {
    entry.version = version;
    entry.modRevision = ++this.revision;
    entry.seq = this.revision;
    if (entry.leaf !== null) entry.leaf.changed = this.revision;
  }
}

const keyFor = (n: number): string => Buffer.from(String(n * 7919)).latin1Slice();

function randomRun(seed: number, keys: number, steps: number): void {
  const rng = new Prng(seed);
  const pair = new Pair();
  for (let step = 0; step < steps; step++) {
    // Waves of growth and decay, so that nodes split and merge.
    const growing = Math.floor(step / (steps / 4)) % 2 === 0;
    const key = keyFor(rng.below(keys));
    if (rng.chance(growing ? 80 : 15)) pair.put(key);
    else pair.delete(key);
    if (rng.chance(2)) pair.sweep(rng.below(growing ? 20 : 100));
    if (step % Math.floor(steps / 40) === 0) {
      const bounds = new KeyBounds(keyFor(rng.below(keys)), keyFor(rng.below(keys)));
      pair.compare(bounds);
      pair.compare(new KeyBounds("\0", "\0"));
      expect(pair.index.verify()).toHaveLength(pair.naive.size);
    }
  }
}

describe("the index against a sorted array", () => {
  test("few keys", () => randomRun(1, 50, 3000));
  test("a tree of three levels", () => randomRun(2, 8000, 24_000));

  test("a tree of three levels shrinks to nothing, and grows again", () => {
    const pair = new Pair();
    const rng = new Prng(3);
    const keys = Array.from({ length: 20_000 }, (_, i) => keyFor(i));
    for (let i = keys.length - 1; i > 0; i--) {
      const j = rng.below(i + 1);
      [keys[i], keys[j]] = [keys[j] as string, keys[i] as string];
    }
    for (const key of keys) pair.put(key);
    for (let i = 0; i < keys.length; i++) {
      pair.delete(keys[i] as string);
      if (i % 1000 !== 999) continue;
      pair.sweep(2000);
      pair.compare(new KeyBounds(keyFor(rng.below(20_000)), "\0"));
      expect(pair.index.verify()).toHaveLength(keys.length - 1 - i);
    }
    for (const key of keys.slice(0, 500)) pair.put(key);
    pair.compare(new KeyBounds("\0", "\0"));
  });

  test("ascending and descending keys", () => {
    for (const step of [1, -1]) {
      const pair = new Pair();
      for (let i = 0; i < 5000; i++) pair.put(String(10_000 + i * step));
      pair.compare(new KeyBounds("\0", "\0"));
      pair.index.verify();
      for (let i = 0; i < 5000; i++) pair.delete(String(10_000 + i * step));
      while (pair.index.tree.size > 0) pair.sweep(500);
      pair.index.verify();
      pair.put("again");
      pair.compare(new KeyBounds("\0", "\0"));
    }
  });

  test("keys that come in ascending order fill their leaves", () => {
    const pair = new Pair();
    for (let i = 0; i < NODE_MAX * 100; i++) pair.put(String(100_000 + i));
    let leaves = 0;
    pair.index.tree.seek("");
    for (let leaf = pair.index.tree.leaf; leaf !== null; leaf = leaf.next) leaves++;
    expect(leaves).toBeLessThanOrEqual(101);
  });
});

describe("bulk loading", () => {
  test("gives the tree that inserting gives", () => {
    for (const count of [0, 1, NODE_MAX, 1000, 5000]) {
      const tree = new KeyTree();
      const entries = Array.from({ length: count }, (_, i) => {
        const entry = new KeyEntry(String(100_000 + i));
        entry.version = i % 3;
        entry.modRevision = i;
        return entry;
      });
      tree.load(entries);
      expect(tree.verify()).toEqual(entries);
      expect(tree.liveBefore("101000")).toBe(
        entries.filter((entry) => entry.key < "101000" && !entry.tombstone).length,
      );
      const late = new KeyEntry("100500x");
      tree.insert(late);
      expect(tree.verify()).toContain(late);
    }
  });
});
