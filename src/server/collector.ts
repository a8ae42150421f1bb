/**
 * Runs the collector for the memory budget (wire/memory.ts), in bounds: a run stops everything, for
 * as long as there is much to look at. Where it would be long the budget has to wait until the
 * collector comes by itself.
 */

/** A run beside so many keys was seen to take 80 to 90 ms, beside a million 280 to 380 ms: with
 * more of them a leader would be silent for a good part of the shortest election timeouts. */
export const COLLECTED_KEYS_MAX = 200_000;

/** After a run nothing is collected for so many times what it took: a fifth of the time at most.
 * With a twentieth, streams with large fields made the server hold 650 MiB, with this 350. */
const REST = 4;

/** What to call when there is much garbage; says whether it ran. */
export function collectorOf(keyCount: () => number, run: () => void, nowMs: () => number) {
  let restUntilMs = Number.NEGATIVE_INFINITY;
  return (): boolean => {
    const fromMs = nowMs();
    if (fromMs < restUntilMs || keyCount() > COLLECTED_KEYS_MAX) return false;
    run();
    const toMs = nowMs();
    restUntilMs = toMs + REST * (toMs - fromMs);
    return true;
  };
}
