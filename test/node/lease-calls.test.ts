/** Renewals on their way to whoever counts: gathered, passed on, tried again, answered once. */
import { describe, expect, test } from "bun:test";
import { AetherError, type ErrorCode } from "../../src/base/errors.ts";
import { Turn } from "../../src/base/turn.ts";
import type { Expiry } from "../../src/node/expiry.ts";
import { LEASE_CALLS_MAX, LeaseCalls } from "../../src/node/lease-calls.ts";
import type { LeaseAnswer, LeaseLife } from "../../src/node/ports.ts";
import type { ReadDone } from "../../src/node/reads.ts";
import { type MemberId, NOBODY } from "../../src/raft/types.ts";
import { FakeClock, RecordingTransport } from "./driven-group.ts";

const LEADER_WAIT_MS = 3000;
const ABSENCE_MS = 500;
const OTHER = 2n as MemberId;

/** Calls between a leader or a follower that does what the test says, and its clock. */
class Desk {
  readonly clock = new FakeClock();
  readonly transport = new RecordingTransport([]);
  readonly reads: ReadDone[] = [];
  readonly renewed: bigint[] = [];
  readonly group = {
    isLeader: false,
    term: 5,
    leader: NOBODY,
    read: (done: ReadDone): void => {
      this.reads.push(done);
    },
  };
  readonly calls: LeaseCalls;
  /** Leases that have run out. */
  readonly over = new Set<bigint>();
  readonly #armed: (() => void)[] = [];

  constructor() {
    const expiry = {
      forgetCheckpoints: (_ids: unknown, _now: unknown, done: (error: undefined) => void) =>
        done(undefined),
      renew: (id: bigint): LeaseLife => {
        this.renewed.push(id);
        return { id, leftMs: this.over.has(id) ? 0 : 9000, ttlSeconds: 9 };
      },
      remainingMs: (id: bigint) => (id === 99n ? undefined : 4000),
      ttlSeconds: (id: bigint) => (id === 99n ? undefined : 9),
    };
    this.calls = new LeaseCalls({
      group: this.group,
      expiry: expiry as unknown as Expiry,
      transport: this.transport,
      clock: this.clock,
      turn: new Turn((run) => this.#armed.push(run)),
      leaderWaitMs: LEADER_WAIT_MS,
      absenceMs: ABSENCE_MS,
    });
  }

  static following(): Desk {
    const desk = new Desk();
    desk.group.leader = OTHER;
    return desk;
  }

  static leading(): Desk {
    const desk = new Desk();
    desk.group.isLeader = true;
    return desk;
  }

  endTurn(): void {
    for (const run of this.#armed.splice(0)) run();
  }

  /** What the call comes to: milliseconds left, "unknown", or a code. */
  ask(kind: "renew" | "look", id: bigint): (number | string)[] {
    const answers: (number | string)[] = [];
    this.calls[kind](id, (life) => {
      answers.push(life instanceof AetherError ? life.code : (life.leftMs ?? "unknown"));
    });
    return answers;
  }

  /** What a member asks on behalf of others: the answer's times, or a code. */
  here(kind: "renewHere" | "livesHere", ids: readonly bigint[]): unknown[] {
    const answers: unknown[] = [];
    this.calls[kind](ids, (answer) => {
      answers.push(
        answer instanceof AetherError ? answer.code : answer.map(({ leftMs }) => leftMs),
      );
    });
    return answers;
  }

  pass(ms: number): void {
    this.clock.nowMs += ms;
    this.calls.tick();
  }

  /** Answers the oldest question that was passed on. */
  answer(answer: Parameters<LeaseAnswer>[0] | ErrorCode): void {
    const question = this.transport.leaseQuestions.shift();
    question?.onAnswer(typeof answer === "string" ? new AetherError(answer) : answer);
  }

  confirm(error?: ErrorCode): void {
    this.reads.shift()?.(error === undefined ? undefined : new AetherError(error));
  }
}

const life = (id: bigint, leftMs: number | undefined): LeaseLife => ({ id, leftMs, ttlSeconds: 9 });

describe("at a follower", () => {
  test("the calls of a turn are one question of each kind, to the leader", () => {
    const desk = Desk.following();
    const first = desk.ask("renew", 1n);
    const look = desk.ask("look", 2n);
    const second = desk.ask("renew", 3n);
    expect(desk.transport.leaseQuestions).toEqual([]);
    desk.endTurn();
    const asked = desk.transport.leaseQuestions.map(({ kind, to, ids }) => ({ kind, to, ids }));
    expect(asked).toEqual([
      { kind: "renew", to: OTHER, ids: [1n, 3n] },
      { kind: "look", to: OTHER, ids: [2n] },
    ]);
    desk.answer([life(1n, 9000), life(3n, undefined)]);
    desk.answer([life(2n, 0)]); // to look at one that has run out is no failure
    expect([first, second, look]).toEqual([[9000], ["unknown"], [0]]);
    desk.pass(100);
    expect(desk.transport.leaseQuestions).toEqual([]);
  });

  test("more than ten thousand are asked for in several questions", () => {
    const desk = Desk.following();
    for (let id = 1n; id <= 10_001n; id++) desk.ask("renew", id);
    desk.endTurn();
    const counts = desk.transport.leaseQuestions.map(({ ids }) => ids.length);
    expect(counts).toEqual([10_000, 1]);
  });

  test("what one leader refuses goes to the next, until it has waited too long", () => {
    for (const code of [
      "not_leader",
      "no_leader",
      "leader_changed",
      "unhealthy",
      "timeout",
    ] as const) {
      const desk = Desk.following();
      const renewal = desk.ask("renew", 1n);
      desk.endTurn();
      desk.answer(code);
      expect(desk.transport.leaseQuestions).toEqual([]); // not before the next tick
      desk.group.leader = 3n as MemberId;
      desk.pass(LEADER_WAIT_MS - 1);
      expect(desk.transport.leaseQuestions.map(({ to }) => to)).toEqual([3n as MemberId]);
      expect(renewal).toEqual([]);
      desk.pass(1);
      desk.answer(code);
      expect(renewal).toEqual([code]);
    }
  });

  test("what will not go better is not tried again", () => {
    const desk = Desk.following();
    const refused = desk.ask("renew", 1n);
    desk.endTurn();
    desk.answer("too_many_requests");
    const [first, second] = [desk.ask("renew", 1n), desk.ask("renew", 2n)];
    desk.endTurn();
    desk.answer([life(1n, 9000)]);
    expect([refused, first, second]).toEqual([["too_many_requests"], [9000], ["unhealthy"]]);
  });

  test("without a leader, calls wait for one, and not for ever", () => {
    const desk = new Desk();
    const [early, late] = [desk.ask("renew", 1n), desk.ask("look", 2n)];
    desk.endTurn();
    desk.pass(LEADER_WAIT_MS - 1);
    expect([early, late]).toEqual([[], []]);
    desk.pass(1);
    expect([early, late]).toEqual([["no_leader"], ["no_leader"]]);
  });

  test("a lease that has run out there is asked for again until its end is decided", () => {
    const desk = Desk.following();
    const renewal = desk.ask("renew", 1n);
    desk.endTurn();
    desk.answer([life(1n, 0)]);
    expect(renewal).toEqual([]);
    desk.pass(100);
    desk.answer([life(1n, undefined)]);
    expect(renewal).toEqual(["unknown"]);
    const stuck = desk.ask("renew", 1n);
    for (let ms = 0; ms < LEADER_WAIT_MS; ms += 100) {
      desk.pass(100);
      desk.answer([life(1n, 0)]);
    }
    expect(stuck).toEqual(["timeout"]);
  });

  test("calls are bounded, those at the leader too, and counted until they are answered", () => {
    const desk = Desk.following();
    for (let id = 1n; id < BigInt(LEASE_CALLS_MAX); id++) desk.ask("renew", id);
    desk.endTurn();
    desk.answer("not_leader"); // ten thousand wait here again
    const [last, refused] = [desk.ask("look", 7n), desk.ask("look", 8n)];
    expect([last, refused]).toEqual([[], ["too_many_requests"]]);
    desk.pass(LEADER_WAIT_MS);
    while (desk.transport.leaseQuestions.length > 0) desk.answer("unhealthy");
    expect(last).toEqual(["unhealthy"]);
    for (let id = 1n; id < BigInt(LEASE_CALLS_MAX); id++) desk.ask("renew", id);
    expect(desk.ask("renew", 7n)).toEqual([]);
    expect(desk.ask("renew", 8n)).toEqual(["too_many_requests"]);
  });
});

describe("at the leader", () => {
  test("nothing is renewed before a read that came after the call is confirmed", () => {
    const desk = Desk.leading();
    const own = desk.ask("renew", 1n);
    const passedOn = desk.here("renewHere", [2n, 3n]);
    desk.endTurn();
    expect(desk.renewed).toEqual([]);
    desk.confirm();
    desk.confirm();
    expect([own, passedOn]).toEqual([[9000], [[9000, 9000]]]);
  });

  test("what is left is told only by a confirmed leader too", () => {
    const desk = Desk.leading();
    const own = desk.ask("look", 1n);
    const passedOn = desk.here("livesHere", [99n, 2n]);
    desk.endTurn();
    expect([own, passedOn]).toEqual([[], []]);
    desk.confirm();
    desk.confirm();
    expect([own, passedOn]).toEqual([[4000], [[undefined, 4000]]]);
    expect(desk.renewed).toEqual([]);
  });

  test("one that does not lead says so, also if it leads again in another term", () => {
    const desk = Desk.leading();
    const passedOn = [desk.here("renewHere", [1n]), desk.here("livesHere", [1n])];
    desk.group.term = 7;
    desk.confirm();
    desk.confirm();
    const second = desk.here("renewHere", [1n]);
    desk.group.isLeader = false;
    desk.confirm();
    passedOn.push(second, desk.here("renewHere", [1n]), desk.here("livesHere", [1n]));
    expect(passedOn).toEqual(Array.from({ length: 5 }, () => ["not_leader"]));
    expect(desk.reads).toEqual([]);
    expect(desk.renewed).toEqual([]);
  });

  test("a read that fails fails the renewal, which its own callers try again", () => {
    const desk = Desk.leading();
    const own = desk.ask("renew", 1n);
    const passedOn = desk.here("renewHere", [2n]);
    desk.endTurn();
    desk.confirm("leader_changed"); // the one passed on, asked before the end of the turn
    desk.confirm("leader_changed");
    expect([own, passedOn]).toEqual([[], ["leader_changed"]]);
    desk.pass(100);
    desk.confirm();
    expect(own).toEqual([9000]);
  });

  test("one that was away confirms itself again, and gives up if it always is", () => {
    const desk = Desk.leading();
    const passedOn = desk.here("renewHere", [1n]);
    desk.clock.nowMs += ABSENCE_MS;
    desk.confirm();
    expect(passedOn).toEqual([[9000]]);
    const late = desk.here("renewHere", [2n]);
    desk.clock.nowMs += ABSENCE_MS + 1;
    desk.confirm();
    expect([late, desk.reads.length]).toEqual([[], 1]);
    desk.confirm();
    expect(late).toEqual([[9000]]);
    const never = desk.here("renewHere", [3n]);
    for (let i = 0; desk.reads.length > 0 && i < 100; i++) {
      desk.clock.nowMs += ABSENCE_MS + 1;
      desk.confirm();
    }
    expect([never, desk.renewed]).toEqual([["timeout"], [1n, 2n]]);
  });

  test("a lease that has run out holds back none of the others", () => {
    const desk = Desk.leading();
    desk.over.add(2n);
    const passedOn = desk.here("renewHere", [1n, 2n, 3n]);
    const [ended, alive] = [desk.ask("renew", 2n), desk.ask("renew", 3n)];
    desk.endTurn();
    desk.confirm();
    desk.confirm();
    expect(passedOn).toEqual([[9000, 0, 9000]]);
    expect([ended, alive]).toEqual([[], [9000]]);
  });
});

describe("a stop", () => {
  test("answers what waits, and what comes back later is not tried again", () => {
    const desk = Desk.following();
    const asked = desk.ask("renew", 1n);
    desk.endTurn();
    const gathered = desk.ask("renew", 2n);
    desk.calls.stop();
    const after = desk.ask("look", 3n);
    expect([asked, gathered, after]).toEqual([[], ["stopped"], ["stopped"]]);
    desk.answer("unhealthy");
    expect(asked).toEqual(["unhealthy"]);
    desk.endTurn();
    desk.pass(100);
    expect(desk.transport.leaseQuestions).toEqual([]);
  });
});
