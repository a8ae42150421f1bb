/**
 * Warns of what took longer than --warning-apply-duration and --warning-unary-request-duration, in
 * the words that etcd's operators look for. What is applied is measured anyway, once an entry; of
 * requests it is the writes that came to this member: a read is not timed, since that would cost
 * every read a look at the clock.
 */
import { formatDuration } from "../base/durations.ts";
import type { Log } from "../base/ports.ts";
import type { CommandTally, GroupMeter } from "../node/meter.ts";

const NS_PER_MS = 1e6;

export interface SlowLimits {
  readonly warnApplyMs: number;
  readonly warnUnaryMs: number;
}

/** Hears what a group measures before `meter` does. */
export class WarningMeter implements GroupMeter {
  readonly #meter: GroupMeter;
  readonly #limits: SlowLimits;
  readonly #log: Log;

  constructor(meter: GroupMeter, limits: SlowLimits, log: Log) {
    this.#meter = meter;
    this.#limits = limits;
    this.#log = log;
  }

  applied(tally: CommandTally, ms: number, waitedMs: number | undefined): void {
    const { warnApplyMs, warnUnaryMs } = this.#limits;
    if (ms > warnApplyMs) this.#warn("apply request took too long", ms, warnApplyMs, tally);
    if (waitedMs !== undefined && waitedMs > warnUnaryMs) {
      this.#warn("request took too long", waitedMs, warnUnaryMs, tally);
    }
    this.#meter.applied(tally, ms, waitedMs);
  }

  logWritten(bytes: number, ms: number): void {
    this.#meter.logWritten(bytes, ms);
  }

  stateWritten(ms: number): void {
    this.#meter.stateWritten(ms);
  }

  leaseGranted(ttlSeconds: number): void {
    this.#meter.leaseGranted(ttlSeconds);
  }

  leasesExpired(count: number): void {
    this.#meter.leasesExpired(count);
  }

  compacted(ms: number): void {
    this.#meter.compacted(ms);
  }

  #warn(message: string, ms: number, limitMs: number, tally: CommandTally): void {
    this.#log.warn(message, {
      took: durationOf(ms),
      "expected-duration": durationOf(limitMs),
      commands: countOf(tally),
    });
  }
}

function countOf(tally: CommandTally): number {
  let count = 0;
  tally.forEach((_kind, _succeeded, of) => {
    count += of;
  });
  return count;
}

function durationOf(ms: number): string {
  return formatDuration(ms * NS_PER_MS);
}
