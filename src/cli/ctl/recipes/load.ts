/**
 * Puts from many clients at once, and what became of them: the load of `check`. Each client has a
 * connection of its own and one request under way at a time.
 */
import type { Key } from "../../../base/bytes.ts";
import type { EtcdClient } from "../../../client/etcd-client.ts";
import { GrpcError } from "../../../client/grpc-error.ts";

export interface LoadPlan {
  readonly prefix: Key;
  /** Bytes of what follows the prefix: a random number, then zeros. */
  readonly keyBytes: number;
  readonly valueBytes: number;
  /** Whether one more put may begin; resolves to false when there are enough. */
  readonly permit: () => Promise<boolean>;
  /** Called after each put. */
  readonly onDone?: () => void;
}

export interface LoadReport {
  readonly perSecond: number;
  readonly slowestSeconds: number;
  readonly deviationSeconds: number;
  /** How often each error was met, by its text. */
  readonly errors: ReadonlyMap<string, number>;
}

/** Runs until `permit` says no and every put has its answer. */
export async function putLoad(clients: readonly EtcdClient[], plan: LoadPlan): Promise<LoadReport> {
  const value = new Uint8Array(plan.valueBytes);
  const secondsOf: number[] = [];
  const errors = new Map<string, number>();
  const work = async (client: EtcdClient): Promise<void> => {
    while (await plan.permit()) {
      const startMs = performance.now();
      try {
        await client.put(plan.prefix + randomKey(plan.keyBytes), value, {}, ANY_TIME);
        secondsOf.push((performance.now() - startMs) / 1000);
      } catch (error) {
        if (!(error instanceof GrpcError)) throw error;
        errors.set(error.message, (errors.get(error.message) ?? 0) + 1);
      }
      plan.onDone?.();
    }
  };
  const startMs = performance.now();
  await Promise.all(clients.map(work));
  return report(secondsOf, (performance.now() - startMs) / 1000, errors);
}

const ANY_TIME = { timeoutMs: Number.POSITIVE_INFINITY };

function report(
  secondsOf: readonly number[],
  totalSeconds: number,
  errors: ReadonlyMap<string, number>,
): LoadReport {
  const count = secondsOf.length;
  const mean = secondsOf.reduce((sum, each) => sum + each, 0) / Math.max(count, 1);
  const squares = secondsOf.reduce((sum, each) => sum + (each - mean) ** 2, 0);
  return {
    perSecond: count / totalSeconds,
    slowestSeconds: secondsOf.reduce((most, each) => Math.max(most, each), 0),
    deviationSeconds: Math.sqrt(squares / Math.max(count, 1)),
    errors,
  };
}

function randomKey(bytes: number): Key {
  const drawn = Buffer.from(crypto.getRandomValues(new Uint8Array(8)));
  return drawn.latin1Slice().padEnd(bytes, "\0");
}

/** Permits of a rate: one each 1/perSecond, until `signal`; those not taken are not saved up. */
export function ratePermits(perSecond: number, signal: AbortSignal): () => Promise<boolean> {
  const gapMs = 1000 / perSecond;
  let nextMs = performance.now();
  return async () => {
    if (signal.aborted) return false;
    const nowMs = performance.now();
    // A late timer may be made good, within a tick of it: else the rate falls short by its delays.
    nextMs = Math.max(nextMs, nowMs - CATCH_UP_MS) + gapMs;
    const waitMs = nextMs - gapMs - nowMs;
    if (waitMs > 0) await Bun.sleep(waitMs);
    return !signal.aborted;
  };
}

/** Timers fire a few milliseconds late when the process has a lot to do. */
const CATCH_UP_MS = 50;

/** So many permits, as fast as they are asked for, until `signal`. */
export function countPermits(count: number, signal: AbortSignal): () => Promise<boolean> {
  let left = count;
  return () => Promise.resolve(left-- > 0 && !signal.aborted);
}
