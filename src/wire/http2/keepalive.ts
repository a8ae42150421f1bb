/**
 * Finds out whether a silent peer is still there: a PING after `idleMs` without a byte, and if
 * nothing at all arrives within `timeoutMs` after it, the connection is dead. Who wants to know how
 * long the way there and back takes has a PING every `idleMs`, whether the peer is silent or not.
 */
export interface KeepaliveOptions {
  /** Infinity: never ping. */
  readonly idleMs: number;
  readonly timeoutMs: number;
  /** Told from each PING to its answer. */
  readonly onRoundTrip?: (ms: number) => void;
}

const NEVER = Number.POSITIVE_INFINITY;

export class Keepalive {
  readonly #options: KeepaliveOptions;
  /** The next PING is due idleMs after this: the last byte, or the last PING. */
  #sinceMs: number;
  /** When the PING left since which no byte has come. */
  #pingedMs = NEVER;
  /** When the first PING left that was not answered. */
  #measuredMs = NEVER;

  constructor(options: KeepaliveOptions, nowMs: number) {
    this.#options = options;
    this.#sinceMs = nowMs;
  }

  /** Bytes have come. */
  onReceived(nowMs: number): void {
    if (this.#options.onRoundTrip === undefined) this.#sinceMs = nowMs;
    this.#pingedMs = NEVER;
  }

  /** Our PING has come back. */
  onAnswered(nowMs: number): void {
    if (this.#measuredMs !== NEVER) this.#options.onRoundTrip?.(nowMs - this.#measuredMs);
    this.#measuredMs = NEVER;
  }

  /** What is to be done now. After "ping" the caller sends one. */
  tick(nowMs: number): "nothing" | "ping" | "dead" {
    if (nowMs - this.#pingedMs >= this.#options.timeoutMs) return "dead";
    if (this.#pingedMs !== NEVER) return "nothing";
    if (nowMs - this.#sinceMs < this.#options.idleMs) return "nothing";
    this.#pingedMs = this.#sinceMs = nowMs;
    if (this.#measuredMs === NEVER) this.#measuredMs = nowMs;
    return "ping";
  }
}
