/**
 * What is said in the log of callers that are refused: the first of an address and reason at once,
 * since somebody has to set something; then one line a while with how many more there were, since a
 * stranger may call ten thousand times a second, and the log is on somebody's disk.
 */
import type { Log } from "../../base/ports.ts";
import { sourceOfPeer } from "../../base/source.ts";

/** Between two lines about one address and reason. */
export const REFUSAL_LOG_MS = 10_000;
/** Addresses and reasons that are kept apart; beyond that those of a reason share one line. */
export const REFUSALS_APART_MAX = 64;

interface Told {
  readonly untilMs: number;
  more: number;
}

export class RefusalLog {
  readonly #log: Log;
  readonly #nowMs: () => number;
  readonly #message: string;
  readonly #told = new Map<string, Told>();

  constructor(log: Log, nowMs: () => number, message = "peer refused") {
    this.#log = log;
    this.#nowMs = nowMs;
    this.#message = message;
  }

  /** `peer` is host:port, of which the port says nothing. */
  refused(reason: string, detail: string, peer: string): void {
    const nowMs = this.#nowMs();
    const key = this.#keyOf(`${reason} ${sourceOfPeer(peer)}`, `${reason} others`, nowMs);
    const told = this.#told.get(key);
    if (told !== undefined && nowMs < told.untilMs) {
      told.more++;
      return;
    }
    const more = told === undefined || told.more === 0 ? {} : { more: told.more };
    this.#told.set(key, { untilMs: nowMs + REFUSAL_LOG_MS, more: 0 });
    this.#log.warn(this.#message, { peer, reason, detail, ...more });
  }

  #keyOf(key: string, shared: string, nowMs: number): string {
    if (this.#told.has(key) || this.#told.size < REFUSALS_APART_MAX) return key;
    for (const [old, { untilMs }] of this.#told) if (untilMs <= nowMs) this.#told.delete(old);
    return this.#told.size < REFUSALS_APART_MAX ? key : shared;
  }
}
