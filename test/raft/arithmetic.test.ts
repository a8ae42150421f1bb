/**
 * The arithmetic of quorums and memberships against slow, obvious versions of it (fast-check, fixed
 * seed; 2000 cases each).
 */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  applyChange,
  type ChangeStep,
  type ConfigurationChange,
  leaveChange,
  promotedBy,
  type Transition,
} from "../../src/raft/membership/change.ts";
import { decodeChange, encodeChange } from "../../src/raft/membership/codec.ts";
import {
  configurationOf,
  configurationText,
  faultOf,
  isJoint,
  isMember,
  isVoter,
  membersOf,
  sameConfiguration,
} from "../../src/raft/membership/configuration.ts";
import { jointValue, jointVote } from "../../src/raft/quorum/joint.ts";
import { majorityValue, majorityVote, type VoteResult } from "../../src/raft/quorum/majority.ts";
import type { Configuration, MemberId } from "../../src/raft/types.ts";
import { member } from "./cluster.ts";

const RUNS = { numRuns: 2000, seed: 20261120 };

const id = fc.integer({ min: 1, max: 9 }).map(member);
const step: fc.Arbitrary<ChangeStep> = fc.record({
  action: fc.constantFrom("add-voter", "add-learner", "remove"),
  id,
});
const steps = fc.array(step, { minLength: 1, maxLength: 5 });
const transition = fc.constantFrom<Transition>("auto", "joint", "joint-manual");
const change: fc.Arbitrary<ConfigurationChange> = fc.record({
  transition,
  steps,
  context: fc.uint8Array({ maxLength: 20 }),
});
const configuration: fc.Arbitrary<Configuration> = fc
  .tuple(fc.uniqueArray(id, { minLength: 1, maxLength: 7 }), fc.array(id, { maxLength: 3 }))
  .map(([voters, learners]) => {
    return configurationOf(
      voters,
      learners.filter((learner) => !voters.includes(learner)),
    );
  });

/** Every way to choose a majority of `voters`. */
function majorities(voters: readonly MemberId[]): MemberId[][] {
  const out: MemberId[][] = [];
  for (let bits = 0; bits < 1 << voters.length; bits++) {
    const chosen = voters.filter((_, i) => (bits >> i) & 1);
    if (chosen.length * 2 > voters.length) out.push(chosen);
  }
  return out;
}

describe("majorities", () => {
  test("reach the highest value that more than half have reached", () => {
    const values = fc.array(fc.integer({ min: 0, max: 12 }), { minLength: 1, maxLength: 9 });
    fc.assert(
      fc.property(values, (all) => {
        let slow = 0;
        for (const candidate of all) {
          const reached = all.filter((value) => value >= candidate).length;
          if (reached * 2 > all.length) slow = Math.max(slow, candidate);
        }
        expect(majorityValue([...all, 99, 99], all.length)).toBe(slow);
      }),
      RUNS,
    );
  });

  test("of nobody agree on everything", () => {
    expect(majorityValue([], 0)).toBe(Infinity);
    expect(majorityVote(0, 0, 0)).toBe("won");
    expect(jointValue(7, majorityValue([], 0))).toBe(7);
    expect(jointVote("pending", majorityVote(0, 0, 0))).toBe("pending");
  });

  test("are won, lost or open as counting every outcome shows", () => {
    const votes = fc.array(fc.constantFrom(true, false, undefined), { maxLength: 9 });
    fc.assert(
      fc.property(votes, (all) => {
        const yes = all.filter((vote) => vote === true).length;
        const no = all.filter((vote) => vote === false).length;
        const best = all.length - no; // if all that is open turned yes
        let slow: VoteResult = "pending";
        if (all.length === 0 || yes * 2 > all.length) slow = "won";
        else if (best * 2 <= all.length) slow = "lost";
        expect(majorityVote(all.length, yes, no)).toBe(slow);
      }),
      RUNS,
    );
  });

  test("joined are won only by both, lost by either", () => {
    const results: VoteResult[] = ["won", "lost", "pending"];
    for (const a of results) {
      for (const b of results) {
        const slow = a === "lost" || b === "lost" ? "lost" : a === b ? a : "pending";
        expect(jointVote(a, b)).toBe(slow === "won" ? "won" : slow);
      }
    }
  });
});

describe("changes of the membership", () => {
  test("give a sound configuration or a reason, and leave what they start from alone", () => {
    fc.assert(
      fc.property(configuration, change, (from, by) => {
        const before = configurationText(from);
        const result = applyChange(from, by);
        expect(configurationText(from)).toBe(before);
        if (!result.ok) {
          expect(result.why.length).toBeGreaterThan(0);
          return;
        }
        expect(faultOf(result.configuration)).toBeUndefined();
        expect(result.configuration.voters.length).toBeGreaterThan(0);
      }),
      RUNS,
    );
  });

  test("never let two majorities miss each other", () => {
    fc.assert(
      fc.property(configuration, change, (from, by) => {
        const result = applyChange(from, by);
        if (!result.ok) return;
        const { voters, votersOutgoing } = result.configuration;
        // Joint: a decision needs both halves, so it meets the old majority in the outgoing one.
        const after = isJoint(result.configuration) ? votersOutgoing : voters;
        for (const a of majorities(from.voters)) {
          for (const b of majorities(after)) {
            expect(a.some((voter) => b.includes(voter))).toBe(true);
          }
        }
      }),
      { ...RUNS, numRuns: 300 },
    );
  });

  test("reach the same members by a joint phase as one by one", () => {
    fc.assert(
      fc.property(configuration, steps, (from, all) => {
        const context = new Uint8Array(0);
        const joint = applyChange(from, { transition: "joint", steps: all, context });
        if (!joint.ok) return;
        const left = applyChange(joint.configuration, leaveChange());
        if (!left.ok) throw new Error(left.why);
        let single = from;
        // Adding first, so that no configuration on the way is without voters.
        const order = [...all].sort((a) => (a.action === "add-voter" ? -1 : 1));
        for (const one of order) {
          const result = applyChange(single, { transition: "auto", steps: [one], context });
          if (!result.ok) throw new Error(result.why);
          expect(isJoint(result.configuration)).toBe(false);
          single = result.configuration;
        }
        expect(configurationText(left.configuration)).toBe(configurationText(single));
        expect(sameConfiguration(left.configuration, single)).toBe(true);
      }),
      RUNS,
    );
  });

  test("take the simple way exactly when one voter or none changes hands", () => {
    fc.assert(
      fc.property(configuration, steps, (from, all) => {
        const context = new Uint8Array(0);
        const result = applyChange(from, { transition: "auto", steps: all, context });
        if (!result.ok) return;
        const voters = new Set(result.configuration.voters);
        const came = [...voters].filter((voter) => !from.voters.includes(voter)).length;
        const went = from.voters.filter((voter) => !voters.has(voter)).length;
        expect(isJoint(result.configuration)).toBe(came + went > 1);
      }),
      RUNS,
    );
  });

  test("name the learners they promote", () => {
    const from = configurationOf([1, 2].map(member), [3].map(member));
    const by = (all: ChangeStep[]): ConfigurationChange => {
      return { transition: "auto", steps: all, context: new Uint8Array(0) };
    };
    expect(promotedBy(from, by([{ action: "add-voter", id: member(3) }]))).toEqual([member(3)]);
    expect(promotedBy(from, by([{ action: "add-voter", id: member(4) }]))).toEqual([]);
    expect(promotedBy(from, by([{ action: "add-voter", id: member(1) }]))).toEqual([]);
  });
});

describe("configurations", () => {
  test("that are unsound are told apart", () => {
    const sound = configurationOf([1, 2, 3].map(member), [4].map(member));
    const spoilt: Configuration[] = [
      { ...sound, voters: [member(2), member(1)] },
      { ...sound, voters: [member(1), member(1)] },
      { ...sound, voters: [member(0), member(1)] },
      { ...sound, learners: [member(3)] },
      { ...sound, votersOutgoing: [member(4)] },
      { ...sound, learnersNext: [member(5)] },
      { ...sound, votersOutgoing: [member(1)], learnersNext: [member(1)] },
      { ...sound, autoLeave: true },
    ];
    expect(faultOf(sound)).toBeUndefined();
    for (const configured of spoilt) expect(faultOf(configured)).toBeString();
  });

  test("know their members and voters", () => {
    fc.assert(
      fc.property(configuration, change, (from, by) => {
        const result = applyChange(from, by);
        const { voters, votersOutgoing, learners } = result.ok ? result.configuration : from;
        const configured = result.ok ? result.configuration : from;
        const all = new Set([...voters, ...votersOutgoing, ...learners]);
        expect(new Set(membersOf(configured))).toEqual(all);
        for (let n = 1; n <= 9; n++) {
          const one = member(n);
          expect(isMember(configured, one)).toBe(all.has(one));
          expect(isVoter(configured, one)).toBe(
            voters.includes(one) || votersOutgoing.includes(one),
          );
        }
      }),
      RUNS,
    );
  });
});

describe("a change in a log entry", () => {
  test("comes back as it was, at the limits of its ids too", () => {
    fc.assert(
      fc.property(change, fc.bigInt({ min: 1n, max: 2n ** 64n - 1n }), (by, wide) => {
        const all = [...by.steps, { action: "remove", id: wide as MemberId } as const];
        const sent = { ...by, steps: all };
        const back = decodeChange(encodeChange(sent));
        expect(back?.transition).toBe(sent.transition);
        expect(back?.steps).toEqual(all);
        expect([...(back?.context ?? [])]).toEqual([...sent.context]);
      }),
      RUNS,
    );
    expect(decodeChange(encodeChange(leaveChange()))?.transition).toBe("leave");
  });

  test("cut short or of an unknown form is no change", () => {
    const [action, context] = ["add-voter", new Uint8Array(0)] as const;
    const bytes = encodeChange({ transition: "auto", steps: [{ action, id: member(7) }], context });
    for (let end = 0; end < bytes.length; end++) {
      expect(decodeChange(bytes.subarray(0, end))).toBeUndefined();
    }
    for (const [at, value] of [
      [0, 2],
      [1, 9],
      [2, 65],
      [3, 3],
    ] as const) {
      const spoilt = Uint8Array.from(bytes);
      spoilt[at] = value;
      expect(decodeChange(spoilt)).toBeUndefined();
    }
  });

  test("made of any bytes decodes or does not, and never throws", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), configuration, (bytes, from) => {
        const by = decodeChange(bytes);
        if (by !== undefined) applyChange(from, by);
      }),
      RUNS,
    );
  });
});
