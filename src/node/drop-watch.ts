/**
 * Says in the log that this member drops messages which no sound member sends. Each is counted by
 * Raft and does no harm; that they come means a newer program, a broken machine, or somebody who
 * has the cluster's secret and should not.
 */
import type { Log } from "../base/ports.ts";
import type { DropReason } from "../raft/message.ts";

/** Between two lines. */
export const DROPS_LOG_MS = 10_000;

/** The others happen among sound members too: late, repeated, of who was removed. */
const NEVER_SENT = [
  "malformed",
  "second-leader",
  "past-log",
] as const satisfies readonly DropReason[];

export class DropWatch {
  readonly #dropped: Readonly<Record<DropReason, number>>;
  readonly #log: Log;
  #told = 0;
  #nextMs = Number.NEGATIVE_INFINITY;

  /** `dropped` is Raft's own record, which grows. */
  constructor(dropped: Readonly<Record<DropReason, number>>, log: Log) {
    this.#dropped = dropped;
    this.#log = log;
  }

  tick(nowMs: number): void {
    const dropped = this.#dropped;
    let count = 0;
    for (const reason of NEVER_SENT) count += dropped[reason];
    if (count === this.#told || nowMs < this.#nextMs) return;
    this.#told = count;
    this.#nextMs = nowMs + DROPS_LOG_MS;
    const counts = NEVER_SENT.map((reason) => [reason, dropped[reason]]);
    this.#log.warn("dropped messages that no sound member sends", Object.fromEntries(counts));
  }
}
