/**
 * Limits that callers meet, as lines of the log: who watches no metrics still hears that somebody
 * floods, or needs more than he gets, and what to raise or to look at. Whoever keeps a limit only
 * counts; the counts are looked at with the server's tick. The first time is told at once, then
 * one line a while with how many more there were, each kind for itself:
 *
 *   count 3 … 950  ─ tick ─▶  "limit met" count=3  · · 10 s · ·  "limit met" count=947
 */
import type { Log } from "../base/ports.ts";

/** Between two lines about one limit. */
export const LIMIT_LOG_MS = 10_000;

export interface CountedLimit {
  /** In a word or two, as the metrics' labels have it. */
  readonly limit: string;
  /** How often it was met since the start. */
  readonly count: () => number;
  /** Who met it last; "" or left out: nobody can tell. */
  readonly remote?: () => string;
  /** What was done about it, and what to raise or to look at. */
  readonly advice: string;
}

interface Watched {
  readonly counted: CountedLimit;
  toldCount: number;
  untilMs: number;
}

export class LimitLog {
  readonly #log: Log;
  readonly #watched: readonly Watched[];

  constructor(log: Log, limits: readonly CountedLimit[]) {
    this.#log = log;
    this.#watched = limits.map((counted) => {
      return { counted, toldCount: 0, untilMs: Number.NEGATIVE_INFINITY };
    });
  }

  tick(nowMs: number): void {
    for (const watched of this.#watched) if (nowMs >= watched.untilMs) this.#look(watched, nowMs);
  }

  #look(watched: Watched, nowMs: number): void {
    const { limit, count, remote, advice } = watched.counted;
    const met = count();
    const more = met - watched.toldCount;
    if (more <= 0) return;
    watched.toldCount = met;
    watched.untilMs = nowMs + LIMIT_LOG_MS;
    const last = remote?.() ?? "";
    this.#log.warn("limit met", { limit, count: more, ...(last && { remote: last }), advice });
  }
}
