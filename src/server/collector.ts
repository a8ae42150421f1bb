/**
 * Runs the collector for the memory budget (wire/memory.ts), in bounds: a run stops everything, for
 * as long as there is much to look at. Where that would be long, or just was, the budget has to
 * wait until the collector comes by itself.
 */

/** A run beside so many keys was seen to take 80 to 90 ms, beside a million 280 to 380 ms: with
 * more of them a leader would be silent for a good part of the shortest election timeouts. */
export const COLLECTED_KEYS_MAX = 200_000;

/** After a run nothing is collected for so many times what it took: a fifth of the time at most.
 * With a twentieth, streams with large fields made the server hold 650 MiB. */
const REST = 4;

/** A run that took longer is not soon repeated, whatever it was that it looked at. */
const LONG_MS = 100;
const LONG_REST_MS = 5000;

export interface CollectorParts {
  /** Keys in memory, dead ones included. */
  readonly keys: () => number;
  /** Collects, and returns when that is done. */
  readonly run: () => void;
  readonly nowMs: () => number;
}

/** What to call when there is much garbage; says whether it ran. */
export function collectorOf({ keys, run, nowMs }: CollectorParts): () => boolean {
  let restUntilMs = Number.NEGATIVE_INFINITY;
  return () => {
    const fromMs = nowMs();
    if (fromMs < restUntilMs || keys() > COLLECTED_KEYS_MAX) return false;
    run();
    const tookMs = nowMs() - fromMs;
    restUntilMs = fromMs + tookMs + (tookMs > LONG_MS ? LONG_REST_MS : REST * tookMs);
    return true;
  };
}
