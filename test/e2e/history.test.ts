/** The checker of crash tests can fail: each lie that a server could tell is found. */
import { describe, expect, test } from "bun:test";
import { check, type History } from "./history.ts";

const honest: History = {
  writes: [
    { changes: [{ key: "a", value: "1" }], revision: 2 },
    {
      changes: [
        { key: "a", value: "2" },
        { key: "b", value: "3" },
      ],
      revision: 3,
    },
    { changes: [{ key: "c", value: "4" }] }, // not acknowledged, and happened
    { changes: [{ key: "c", value: "5" }] }, // not acknowledged, and did not
    { changes: [{ key: "a", value: undefined }], revision: 5 },
    { changes: [{ key: "none", value: undefined }], revision: 0 },
  ],
  events: [
    { key: "a", value: "1", revision: 2 },
    { key: "a", value: "2", revision: 3 },
    { key: "b", value: "3", revision: 3 },
    { key: "c", value: "4", revision: 4 },
    { key: "a", value: undefined, revision: 5 },
  ],
  snapshots: [
    {
      revision: 3,
      entries: new Map([
        ["a", "2"],
        ["b", "3"],
      ]),
    },
    {
      revision: 5,
      entries: new Map([
        ["b", "3"],
        ["c", "4"],
      ]),
    },
  ],
  revisions: new Map([
    ["one", [2, 3, 3]],
    ["two", [2, 5]],
  ]),
  leases: new Map([
    ["7", "granted"],
    ["8", "revoked"],
    ["9", "unknown"],
  ]),
  leasesFound: new Set(["7"]),
};

const [first, ...later] = honest.events;

describe("the checker of crash histories", () => {
  test("finds nothing wrong with an honest one", () => {
    expect(check(honest)).toEqual([]);
  });

  const lies: readonly (readonly [string, Partial<History>, string])[] = [
    ["a lost first write", { events: later, snapshots: [] }, "gap from 1 to 3"],
    ["a lost last write", { events: honest.events.slice(0, -1) }, "acknowledged at 5"],
    [
      "half of a transaction",
      { events: honest.events.filter(({ key }) => key !== "b") },
      "acknowledged at 3: a=2 b=3; watch has: a=2",
    ],
    [
      "a revision told twice",
      { events: [...honest.events, ...honest.events.slice(-1)] },
      "watch: 5 a again",
    ],
    [
      "revisions in the wrong order",
      { events: [...later, ...(first === undefined ? [] : [first])] },
      "watch: 2 a again, after 5",
    ],
    [
      "an invented write",
      { events: [...honest.events, { key: "x", value: "99", revision: 6 }] },
      "x=99 at 6 was never written",
    ],
    [
      "a request that happened twice",
      { events: [...honest.events, { key: "c", value: "4", revision: 6 }] },
      "c=4 happened twice",
    ],
    [
      "a wrong value at the acknowledged revision",
      { writes: [{ changes: [{ key: "a", value: "0" }], revision: 2 }, ...honest.writes] },
      "acknowledged at 2: a=0; watch has: a=1",
    ],
    [
      "a revision that went back",
      { revisions: new Map([["one", [2, 4, 3]]]) },
      "one: revision 3 after 4",
    ],
    [
      "a read that misses a key",
      { snapshots: [{ revision: 5, entries: new Map([["b", "3"]]) }] },
      "read at 5: c is undefined, should be 4",
    ],
    ["a lost lease", { leasesFound: new Set<string>() }, "lease 7 was granted and is gone"],
    ["a revoked lease", { leasesFound: new Set(["7", "8"]) }, "lease 8 was revoked and is there"],
  ];
  for (const [name, lie, complaint] of lies) {
    test(`finds ${name}`, () => {
      expect(check({ ...honest, ...lie }).join("\n")).toContain(complaint);
    });
  }
});
