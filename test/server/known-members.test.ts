/** Whom a member speaks to, above all while a leader that was removed still leads. */
import { expect, test } from "bun:test";
import { Member } from "../../src/proto/gen/etcdserverpb.ts";
import { KnownMembers } from "../../src/server/known-members.ts";

const member = (ID: bigint): Member => Member.create({ ID, peerURLs: [`http://host:${ID}`] });

/** A member's state and leader, and what was told of them: ids known, ids removed. */
function told(asked: readonly bigint[], ids: readonly bigint[]) {
  const state = { leader: 1n, ids, removed: [] as bigint[] };
  const seen: { known: readonly bigint[]; removed: readonly bigint[] }[] = [];
  const known = new KnownMembers({
    group: {
      get leader() {
        return state.leader;
      },
      machine: { members: () => state.ids.map(member), removedMembers: () => state.removed },
    },
    asked: asked.map(member),
    setMembers: (members, removed) => {
      seen.push({ known: members.map(({ ID }) => ID), removed });
    },
  });
  return { state, seen, known };
}

test("the members of the state, or those that were asked while there is none", () => {
  const { state, seen, known } = told([1n, 2n], []);
  known.changed();
  state.ids = [1n, 2n, 3n];
  known.changed();
  expect(seen.map((each) => each.known)).toEqual([
    [1n, 2n],
    [1n, 2n, 3n],
  ]);
});

test("a leader that was removed is known until it leads no more", () => {
  const { state, seen, known } = told([], [1n, 2n, 3n]);
  known.changed();
  state.ids = [2n, 3n];
  state.removed = [1n];
  known.changed();
  known.tick();
  expect(seen.at(-1)).toEqual({ known: [2n, 3n, 1n], removed: [] });
  state.leader = 2n;
  known.tick();
  expect(seen.at(-1)).toEqual({ known: [2n, 3n], removed: [1n] });
  const count = seen.length;
  known.tick();
  expect(seen.length).toBe(count);
});

test("a follower that was removed is not", () => {
  const { state, seen, known } = told([], [1n, 2n, 3n]);
  known.changed();
  state.ids = [1n, 3n];
  state.removed = [2n];
  known.changed();
  expect(seen.at(-1)).toEqual({ known: [1n, 3n], removed: [2n] });
});
