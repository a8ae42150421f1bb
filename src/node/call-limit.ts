/**
 * How many calls may wait for consensus at once: about as many as are answered in WAIT_MS_TARGET.
 * Beyond it a new call would only make everybody's answer later, so it is refused while that is
 * cheap (rpc/overload.ts says who). What the machine and its disks can do is not known before and
 * changes, so the limit follows what waiting calls see: it shrinks while answers come late, and
 * grows again while they do not.
 */

/**
 * What a call may wait for consensus before the limit shrinks: etcd warns of requests that take
 * 100 ms. Members far from each other never answer that fast; three times their best is allowed.
 */
export const WAIT_MS_TARGET = 100;
const BEST_SHARE = 3;

/**
 * Never fewer: a disk that stops for a second must not turn away the thousand clients of a usual
 * load run, and so few calls cost half a megabyte.
 */
export const CALLS_MIN = 2000;

/** Never more: where nobody leads, nothing is answered and the limit stays. 20 MB of calls. */
export const CALLS_MAX = 20_000;

/** Between two changes of the limit: some ten batches, of which the latest is the measure. */
const PERIOD_MS = 100;

/**
 * A period gives a tenth, and takes at most two fifths: what waits then is less than twice the new
 * limit, up to which those with few calls are taken.
 */
const SHRINK_MIN = 0.6;
const GROWTH = 1.1;
/** The best forgets itself in some ten seconds, since machines and ways between them change. */
const FORGETTING = 1.02;

export class CallLimit {
  /** So many calls may wait. */
  calls = CALLS_MAX;
  #bestMs = Number.POSITIVE_INFINITY;
  #worstMs = 0;
  #lowestMs = Number.POSITIVE_INFINITY;
  #begunMs = Number.NEGATIVE_INFINITY;
  #shrunkMs = Number.NEGATIVE_INFINITY;

  /**
   * Calls were answered that had waited so long. That those are late which came before the limit
   * shrank says nothing new: it was why.
   */
  answered(waitedMs: number, nowMs: number): void {
    if (nowMs - waitedMs < this.#shrunkMs) return;
    if (waitedMs > this.#worstMs) this.#worstMs = waitedMs;
    if (waitedMs < this.#lowestMs) this.#lowestMs = waitedMs;
    if (nowMs - this.#begunMs < PERIOD_MS) return;
    this.#bestMs = Math.min(this.#bestMs * FORGETTING, this.#lowestMs);
    const targetMs = Math.max(WAIT_MS_TARGET, BEST_SHARE * this.#bestMs);
    const isLate = this.#worstMs > targetMs;
    if (isLate) this.#shrunkMs = nowMs;
    const change = isLate ? Math.max(SHRINK_MIN, targetMs / this.#worstMs) : GROWTH;
    this.calls = Math.min(CALLS_MAX, Math.max(CALLS_MIN, Math.floor(this.calls * change)));
    this.#begunMs = nowMs;
    this.#worstMs = 0;
    this.#lowestMs = Number.POSITIVE_INFINITY;
  }
}
