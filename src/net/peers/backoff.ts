/** How long to wait before the next try to reach a peer. */
import type { Random } from "../../base/ports.ts";

/** After the first failure; a peer that restarts is back within a few of these. */
export const BACKOFF_MS_MIN = 50;
/** Growth ends here, at about three election timeouts: a healed cluster is whole soon after. */
export const BACKOFF_MS_MAX = 3_000;

/** Doubles with each failure; up to a fifth more or less, so that members do not try as one. */
export class Backoff {
  readonly #random: Random;
  #failures = 0;

  constructor(random: Random) {
    this.#random = random;
  }

  /** The wait after one more failure, in ms. */
  nextMs(): number {
    const plainMs = Math.min(BACKOFF_MS_MIN * 2 ** this.#failures, BACKOFF_MS_MAX);
    this.#failures = Math.min(this.#failures + 1, 16);
    return plainMs * (0.8 + this.#random.below(401) / 1000);
  }

  /** It went well for a while. */
  reset(): void {
    this.#failures = 0;
  }
}
