/**
 * No message can crash a member or make it break its own rules: the handler table's empty cells,
 * fields out of range, and a million nonsenses.
 */
import { describe, expect, test } from "bun:test";
import { Prng } from "../../src/base/prng.ts";
import { configurationOf } from "../../src/raft/membership/configuration.ts";
import { MESSAGE_TYPES, type Message, type MessageType } from "../../src/raft/message.ts";
import type { Raft } from "../../src/raft/raft.ts";
import { HANDLERS } from "../../src/raft/table.ts";
import type { Entry, Role } from "../../src/raft/types.ts";
import { faultInMessage } from "../../src/raft/validate.ts";
import { Cluster, member } from "./cluster.ts";

const ROLES: readonly Role[] = ["follower", "pre-candidate", "candidate", "leader"];

/** The cells without a handler, role by role: an honest message of that type came too late. */
const EMPTY: Record<Role, readonly MessageType[]> = {
  follower: [
    "append-response",
    "heartbeat-response",
    "vote-response",
    "pre-vote-response",
    "transfer",
    "read-index",
  ],
  "pre-candidate": [
    "append-response",
    "heartbeat-response",
    "vote-response",
    "timeout-now",
    "transfer",
    "read-index",
    "read-index-response",
  ],
  candidate: [
    "append-response",
    "heartbeat-response",
    "pre-vote-response",
    "timeout-now",
    "transfer",
    "read-index",
    "read-index-response",
  ],
  leader: [
    "append",
    "heartbeat",
    "vote-response",
    "pre-vote-response",
    "snapshot",
    "timeout-now",
    "read-index-response",
  ],
};

/** A member in a role, in term 2 or so, among three. */
function inRole(role: Role): Cluster {
  const cluster = new Cluster({ electionTicks: 10, preVote: role === "pre-candidate" });
  cluster.found([1, 2, 3]);
  const node = cluster.node(1);
  if (role === "follower") cluster.node(2).raft.campaign();
  if (role !== "follower") node.raft.campaign();
  if (role === "leader" || role === "follower") cluster.settle();
  else while (cluster.turn(node));
  expect(node.raft.role).toBe(role);
  return cluster;
}

/** An honest message of each type from member 2 in the term of `raft`. */
function honest(type: MessageType, raft: Raft): Message {
  const index = raft.lastIndex;
  const fields = {
    prevIndex: index,
    prevTerm: raft.termAt(index),
    commit: 0,
    entries: [],
    index,
    rejection: undefined,
    round: 0,
    lastIndex: index,
    lastTerm: raft.termAt(index),
    force: false,
    granted: true,
    meta: { index, term: raft.termAt(index), configuration: raft.configuration },
    target: member(3),
    sequence: 1,
  };
  return { type, from: member(2), to: member(1), term: raft.term, ...fields } as Message;
}

describe("the table of handlers", () => {
  for (const role of ROLES) {
    test(`${role}: exactly the listed cells are empty`, () => {
      const empty = MESSAGE_TYPES.filter((type) => HANDLERS[role][type] === null);
      expect(empty).toEqual([...EMPTY[role]]);
    });

    for (const type of MESSAGE_TYPES) {
      test(`${role} × ${type}`, () => {
        const cluster = inRole(role);
        const { raft } = cluster.node(1);
        const before = raft.dropped.unexpected;
        raft.step(honest(type, raft));
        raft.verify();
        expect(raft.dropped.unexpected - before).toBe(EMPTY[role].includes(type) ? 1 : 0);
        cluster.settle();
      });
    }
  }
});

describe("malformed messages", () => {
  const good = { type: "append", from: member(2), to: member(1), term: 5 } as const;
  const body = { prevIndex: 3, prevTerm: 2, commit: 3, entries: [entry(4, 2), entry(5, 5)] };

  function entry(index: number, term: number): Entry {
    return { index, term, kind: "normal", payload: new Uint8Array(1) };
  }

  /** What a driver may think of payloads. */
  const isSound = ({ payload }: Entry): boolean => payload[0] !== 9;

  function fault(message: unknown): string | undefined {
    return faultInMessage(message as Message, member(1), isSound);
  }

  test("a sound append passes", () => {
    expect(fault({ ...good, ...body })).toBeUndefined();
  });

  test("entries that the driver cannot apply", () => {
    const unsound = { ...entry(5, 5), payload: new Uint8Array([9]) };
    expect(fault({ ...good, ...body, entries: [entry(4, 2), unsound] })).toBe("malformed");
  });

  test("members that are not ours to hear or to be", () => {
    expect(fault({ ...good, ...body, to: member(3) })).toBe("wrong-recipient");
    expect(fault({ ...good, ...body, from: member(1) })).toBe("wrong-recipient");
    expect(fault({ ...good, ...body, from: 0n })).toBe("malformed");
    expect(fault({ ...good, ...body, from: 2 })).toBe("malformed");
    expect(fault({ ...good, ...body, from: 2n ** 64n })).toBe("malformed");
  });

  test("numbers out of range", () => {
    for (const bad of [-1, 0.5, NaN, Infinity, 2 ** 53, 2 ** 52, undefined, "7", 7n]) {
      expect(fault({ ...good, ...body, term: bad })).toBe("malformed");
      expect(fault({ ...good, ...body, prevIndex: bad })).toBe("malformed");
      expect(fault({ ...good, ...body, prevTerm: bad })).toBe("malformed");
      expect(fault({ ...good, ...body, commit: bad })).toBe("malformed");
      const vote = { lastIndex: bad, lastTerm: 1, force: false };
      expect(fault({ ...good, type: "vote", ...vote })).toBe("malformed");
      expect(fault({ ...good, type: "heartbeat", commit: 1, round: bad })).toBe("malformed");
      expect(fault({ ...good, type: "heartbeat-response", round: bad })).toBe("malformed");
      const answer = { index: 1, commit: bad, rejection: undefined };
      expect(fault({ ...good, type: "append-response", ...answer })).toBe("malformed");
      const rejection = { hintIndex: 1, hintTerm: bad };
      expect(fault({ ...good, type: "append-response", index: 1, commit: 1, rejection })).toBe(
        "malformed",
      );
      expect(fault({ ...good, type: "read-index-response", sequence: 1, index: bad })).toBe(
        "malformed",
      );
    }
  });

  test("entries that do not follow each other", () => {
    const cases: unknown[] = [
      [entry(5, 2)],
      [entry(4, 2), entry(4, 2)],
      [entry(4, 1)],
      [entry(4, 3), entry(5, 2)],
      [entry(4, 6)],
      [entry(4, 0)],
      [{ ...entry(4, 2), payload: "text" }],
      [{ ...entry(4, 2), kind: "other" }],
      "none",
      undefined,
    ];
    for (const entries of cases) expect(fault({ ...good, ...body, entries })).toBe("malformed");
  });

  test("snapshots of nothing, of the future, or of an unsound configuration", () => {
    const configuration = configurationOf([1, 2].map(member));
    const meta = { index: 4, term: 3, configuration };
    const spoilt: unknown[] = [
      { ...meta, index: 0 },
      { ...meta, term: 6 },
      { ...meta, configuration: { ...configuration, voters: [] } },
      { ...meta, configuration: { ...configuration, voters: [1, 2] } },
      { ...meta, configuration: { ...configuration, autoLeave: true } },
      { ...meta, configuration: { ...configuration, learners: "x" } },
    ];
    expect(fault({ ...good, type: "snapshot", meta })).toBeUndefined();
    for (const bad of spoilt) {
      expect(fault({ ...good, type: "snapshot", meta: bad })).toBe("malformed");
    }
  });

  test("types from nowhere", () => {
    expect(fault({ ...good, type: "gossip" })).toBe("malformed");
    expect(fault({ ...good, type: "toString" })).toBe("malformed");
    expect(fault({ ...good, type: "transfer", target: 0n })).toBe("malformed");
  });
});

describe("nonsense", () => {
  /** A message of any type with fields near the truth, where the damage would be done. */
  function nonsense(random: Prng, raft: Raft): Message {
    const near = (value: number): number => Math.max(0, value + random.below(7) - 3);
    const prevIndex = near(raft.lastIndex);
    let term = Math.max(1, near(raft.termAt(Math.min(prevIndex, raft.lastIndex))));
    const entries: Entry[] = [];
    for (let i = 1; i <= random.below(4); i++) {
      term += random.below(2);
      const kind = random.pick(["normal", "noop", "config"] as const);
      const payload = Uint8Array.from({ length: random.below(14) }, () => random.below(4));
      entries.push({ index: prevIndex + i, term, kind, payload });
    }
    return {
      type: random.pick(MESSAGE_TYPES),
      from: member(1 + random.below(5)),
      to: member(1),
      term: random.chance(70) ? raft.term : near(raft.term),
      prevIndex,
      prevTerm: near(raft.termAt(Math.min(prevIndex, raft.lastIndex))),
      commit: near(raft.committed),
      entries,
      index: near(raft.lastIndex),
      rejection: random.chance(50) ? undefined : { hintIndex: near(5), hintTerm: near(3) },
      round: random.below(4),
      lastIndex: near(raft.lastIndex),
      lastTerm: near(raft.term),
      force: random.chance(50),
      granted: random.chance(50),
      target: member(1 + random.below(5)),
      sequence: random.below(3),
      meta: {
        index: 1 + near(raft.lastIndex),
        term: Math.max(1, near(raft.term) - 1),
        configuration: configurationOf(
          [1, 2, 3].slice(random.below(3)).map(member),
          random.chance(20) ? [member(4)] : [],
        ),
      },
    } as Message;
  }

  test("never makes a member throw or break its invariants", () => {
    let accepted = 0;
    for (let seed = 1; seed <= 60; seed++) {
      const random = new Prng(seed);
      const cluster = inRole(random.pick(ROLES));
      const node = cluster.node(1);
      for (let i = 0; i < 400; i++) {
        const { raft } = node;
        const before = raft.committed;
        const message = nonsense(random, raft);
        // A lie that is sound in itself may be believed; it must not undo what is committed.
        if (message.type === "snapshot")
          node.staged.set(message.meta.index, { index: message.meta.index, hash: 0 });
        raft.step(message);
        raft.verify();
        expect(raft.committed).toBeGreaterThanOrEqual(before);
        if (random.chance(10)) raft.tick(i);
        if (random.chance(10)) raft.campaign();
        if (random.chance(50)) take(cluster, raft);
        raft.verify();
        accepted += raft.term;
      }
    }
    expect(accepted).toBeGreaterThan(0);
  });

  /** A driver without a checker: lies may be committed here, so nothing is compared. */
  function take(cluster: Cluster, raft: Raft): void {
    const { disk } = cluster.node(1);
    const ready = raft.ready();
    disk.write(ready.persist);
    if (ready.persist.mustSync) raft.written(ready.persist.ack);
    const last = ready.committed.at(-1);
    if (last !== undefined) raft.appliedTo(last.index);
  }
});
