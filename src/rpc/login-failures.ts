/** Failed logins as lines of the log: each at once, as long as they do not fill somebody's disk. */
import type { Log } from "../base/ports.ts";

/** Lines of one period; more are counted, and told with the first line of the next. */
export const LINES_MAX = 20;
const PERIOD_MS = 10_000;

/** Characters of a name in the log: anybody may send one as long as a login. */
const NAME_CHARS_MAX = 64;

export class LoginFailures {
  readonly #log: Log;
  readonly #nowMs: () => number;
  #untilMs = Number.NEGATIVE_INFINITY;
  #lines = 0;
  #more = 0;

  constructor(log: Log, nowMs = () => performance.now()) {
    this.#log = log;
    this.#nowMs = nowMs;
  }

  failed(user: string, remote: string): void {
    const nowMs = this.#nowMs();
    if (nowMs >= this.#untilMs) {
      this.#untilMs = nowMs + PERIOD_MS;
      this.#lines = 0;
    }
    if (this.#lines >= LINES_MAX) {
      this.#more++;
      return;
    }
    this.#lines++;
    const fields = { user: user.slice(0, NAME_CHARS_MAX), remote };
    const unsaid = this.#more === 0 ? {} : { unsaid: this.#more };
    this.#more = 0;
    this.#log.warn("authentication failed", { ...fields, ...unsaid });
  }
}
