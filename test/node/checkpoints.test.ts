/** What is left of leases, written down: a restart goes on from there, unless they were renewed. */
import { describe, expect, test } from "bun:test";
import { AetherError } from "../../src/base/errors.ts";
import { CommandKind } from "../../src/state/command.ts";
import { DrivenGroup, ELECTION_TICKS, TICK_MS } from "./driven-group.ts";

const GRACE_MS = ELECTION_TICKS * TICK_MS;
const MINUTE_MS = 60_000;
const INTERVAL_MS = 5 * MINUTE_MS;
const TTL_SECONDS = 3600;

function granted(options: { leaseCheckpointMs?: number } = {}, ttl = TTL_SECONDS): DrivenGroup {
  const driven = DrivenGroup.leading(options);
  driven.grant(1n, ttl);
  driven.settle();
  return driven;
}

function leftMs({ group, clock }: DrivenGroup): number {
  return group.expiry.remainingMs(1n, clock.nowMs) ?? Number.NaN;
}

function restart(driven: DrivenGroup): void {
  driven.crash();
  driven.boot();
  driven.group.start();
  driven.settle();
}

function renew(driven: DrivenGroup): (number | string)[] {
  const answers: (number | string)[] = [];
  driven.group.renewLease(1n, (ttl) => answers.push(ttl instanceof AetherError ? ttl.code : ttl));
  driven.settle();
  return answers;
}

describe("a lease", () => {
  test("has its whole time again after a restart, unless checkpoints are written", () => {
    const driven = granted();
    driven.pass(20 * MINUTE_MS);
    restart(driven);
    expect(leftMs(driven)).toBeGreaterThanOrEqual(TTL_SECONDS * 1000);
  });

  test("goes on after a restart from its last checkpoint", () => {
    const driven = granted({ leaseCheckpointMs: INTERVAL_MS });
    driven.pass(12 * MINUTE_MS);
    expect(driven.group.machine.checkpointOf(1n)).toBe(TTL_SECONDS - 600);
    restart(driven);
    expect(leftMs(driven)).toBe((TTL_SECONDS - 600) * 1000 + GRACE_MS);
    expect(driven.group.expiry.ttlSeconds(1n)).toBe(TTL_SECONDS);
    driven.pass(INTERVAL_MS + TICK_MS);
    expect(driven.group.machine.checkpointOf(1n)).toBeLessThan(TTL_SECONDS - 800);
  });

  test("that is renewed has its whole time from every leader to come", () => {
    const driven = granted({ leaseCheckpointMs: INTERVAL_MS });
    driven.pass(12 * MINUTE_MS);
    expect(renew(driven)).toEqual([TTL_SECONDS]);
    expect(driven.group.machine.checkpointOf(1n)).toBe(0);
    restart(driven);
    expect(leftMs(driven)).toBeGreaterThanOrEqual(TTL_SECONDS * 1000);
  });

  test("is not answered before its checkpoint is taken back", () => {
    const driven = granted({ leaseCheckpointMs: INTERVAL_MS });
    driven.pass(12 * MINUTE_MS);
    const answers: unknown[] = [];
    driven.group.renewLease(1n, (ttl) => answers.push(ttl));
    driven.endTurns(); // nothing is durable
    expect(answers).toEqual([]);
    driven.settle();
    expect(answers).toEqual([TTL_SECONDS]);
  });

  test("that is renewed while its checkpoint is on its way is renewed for good", () => {
    const driven = granted({ leaseCheckpointMs: INTERVAL_MS });
    driven.pass(INTERVAL_MS - TICK_MS);
    driven.tick(TICK_MS);
    driven.endTurns(); // proposed, not durable
    expect(driven.group.machine.checkpointOf(1n)).toBe(0);
    expect(renew(driven)).toEqual([TTL_SECONDS]);
    expect(driven.group.machine.checkpointOf(1n)).toBe(0);
    restart(driven);
    expect(leftMs(driven)).toBeGreaterThanOrEqual(TTL_SECONDS * 1000);
  });

  test("of less than an interval is not written down", () => {
    const driven = granted({ leaseCheckpointMs: INTERVAL_MS }, INTERVAL_MS / 1000);
    const { appliedIndex } = driven.group;
    driven.pass(INTERVAL_MS - MINUTE_MS);
    expect(driven.group.appliedIndex).toBe(appliedIndex);
  });

  test("that ends is forgotten; one that has its id later is another one", () => {
    const driven = granted({ leaseCheckpointMs: INTERVAL_MS });
    driven.pass(2 * MINUTE_MS);
    driven.revoke(1n);
    driven.grant(1n, TTL_SECONDS);
    driven.settle();
    driven.pass(4 * MINUTE_MS);
    expect(driven.group.machine.checkpointOf(1n)).toBe(0);
    driven.pass(2 * MINUTE_MS);
    expect(driven.group.machine.checkpointOf(1n)).toBe(TTL_SECONDS - 300);
  });

  test("is not touched by a leader of an earlier term", () => {
    const driven = granted();
    const body = Buffer.from([0x0a, 1, 1, 0x12, 1, 5, 0x18, 1]); // lease 1: 5 s, said in term 1
    const outcomes: unknown[] = [];
    driven.group.propose(CommandKind.leaseCheckpoint, body, 0, body.length, (outcome) => {
      outcomes.push(outcome instanceof AetherError ? outcome.code : outcome.kind);
    });
    driven.settle();
    expect(driven.group.term).toBeGreaterThan(1);
    expect(outcomes).toEqual(["not_primary_lessor"]);
    expect(driven.group.machine.checkpointOf(1n)).toBe(0);
  });
});
