/**
 * Finds out whether a silent peer is still there: a PING after `idleMs` without a byte, and if
 * nothing at all arrives within `timeoutMs` after it, the connection is dead.
 */
export interface KeepaliveOptions {
  /** Infinity: never ping. */
  readonly idleMs: number;
  readonly timeoutMs: number;
}

export class Keepalive {
  readonly #options: KeepaliveOptions;
  #heardMs: number;
  #pingedMs = Number.POSITIVE_INFINITY;

  constructor(options: KeepaliveOptions, nowMs: number) {
    this.#options = options;
    this.#heardMs = nowMs;
  }

  /** Bytes have come. */
  onReceived(nowMs: number): void {
    this.#heardMs = nowMs;
    this.#pingedMs = Number.POSITIVE_INFINITY;
  }

  /** What is to be done now. After "ping" the caller sends one. */
  tick(nowMs: number): "nothing" | "ping" | "dead" {
    if (nowMs - this.#pingedMs >= this.#options.timeoutMs) return "dead";
    if (this.#pingedMs !== Number.POSITIVE_INFINITY) return "nothing";
    if (nowMs - this.#heardMs < this.#options.idleMs) return "nothing";
    this.#pingedMs = nowMs;
    return "ping";
  }
}
