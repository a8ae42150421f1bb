/** What a member that starts makes of the others' hashes. */
import { describe, expect, test } from "bun:test";
import { AetherError } from "../../src/base/errors.ts";
import { checkAtStart } from "../../src/cluster/initial-check.ts";
import type { StateHash } from "../../src/cluster/state-verdict.ts";
import { silentLog } from "../../src/observe/log.ts";
import { configurationOf } from "../../src/raft/membership/configuration.ts";
import type { MemberId } from "../../src/raft/types.ts";

const OWN: StateHash = { hash: 7, revision: 50, compactRevision: 10 };
const id = (n: number): MemberId => BigInt(n) as MemberId;

/** "equal", or the failure; `answers` by member, itself too. */
function check(answers: Readonly<Record<number, StateHash | AetherError>>): string[] {
  const ids = Object.keys(answers).map((n) => id(Number(n)));
  const ended: string[] = [];
  const asked: number[] = [];
  checkAtStart(
    {
      memberId: id(1),
      configuration: configurationOf(ids.slice(0, 2), ids.slice(2)),
      log: silentLog,
      hashHere: (isWanted, done) => {
        expect(isWanted()).toBe(true);
        done(answers[1] as StateHash);
      },
      hashAt: (to, revision, done) => {
        asked.push(revision);
        done(answers[Number(to)] as StateHash);
      },
    },
    (error) => ended.push(error?.message ?? "equal"),
  );
  expect(asked.every((revision) => revision === OWN.revision)).toBe(true);
  return ended;
}

describe("the check at the start", () => {
  test("passes alone, and with others that hold the same", () => {
    expect(check({ 1: OWN })).toEqual(["equal"]);
    expect(check({ 1: OWN, 2: OWN, 3: OWN })).toEqual(["equal"]);
  });

  test("fails if one of them, a learner too, holds another state", () => {
    const wrong = { ...OWN, hash: 8 };
    for (const answers of [
      { 1: OWN, 2: wrong, 3: OWN },
      { 1: OWN, 2: OWN, 3: wrong },
    ]) {
      const [text] = check(answers);
      expect(text).toContain("corrupt: at revision 50 this member's state is not that of");
    }
    expect(check({ 1: OWN, 2: wrong, 3: wrong })[0]).toContain("not that of 2, 3;");
  });

  test("learns nothing from those that are elsewhere, or silent", () => {
    const answers = {
      2: { hash: 9, revision: 49, compactRevision: 10 },
      3: { hash: 9, revision: 50, compactRevision: 11 },
      4: new AetherError("unhealthy"),
    };
    expect(check({ 1: OWN, ...answers })).toEqual(["equal"]);
  });

  test("fails if the own state cannot be hashed", () => {
    expect(check({ 1: new AetherError("leader_changed"), 2: OWN })).toEqual(["leader_changed"]);
  });
});
