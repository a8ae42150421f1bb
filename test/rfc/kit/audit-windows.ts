/**
 * The windows that we gave the server (RFC 9113 §6.9), and whether it keeps to them. A change that
 * gives more counts once it is sent, one that takes away once the server has acknowledged it.
 */
import { Flag, type Frame, INT31_MAX, Setting, Type, WINDOW_INITIAL } from "./wire.ts";

export class AuditWindows {
  readonly #streams = new Map<number, number>();
  /** The INITIAL_WINDOW_SIZE of each SETTINGS that is not acknowledged, in order. */
  readonly #pending: number[] = [];
  #connection = WINDOW_INITIAL;
  /** What the server has acknowledged. */
  #acknowledged = WINDOW_INITIAL;
  /** The highest that the server may assume: acknowledged, or on its way. */
  #initial = WINDOW_INITIAL;
  #sentLast = WINDOW_INITIAL;

  /** Stream windows count from the initial one, which may still change. */
  sent({ type, flags, id, payload }: Frame): void {
    if (type === Type.HEADERS && id % 2 === 1 && !this.#streams.has(id)) this.#streams.set(id, 0);
    if (type === Type.WINDOW_UPDATE && payload.length === 4) {
      const increment = payload.readUInt32BE(0) & INT31_MAX;
      if (id === 0) this.#connection += increment;
      else this.#streams.set(id, (this.#streams.get(id) ?? 0) + increment);
    }
    if (type === Type.SETTINGS && (flags & Flag.ACK) === 0 && payload.length % 6 === 0) {
      this.#onSettings(payload);
    }
  }

  #onSettings(payload: Buffer): void {
    for (let at = 0; at < payload.length; at += 6) {
      if (payload.readUInt16BE(at) !== Setting.INITIAL_WINDOW_SIZE) continue;
      this.#sentLast = payload.readUInt32BE(at + 2);
    }
    this.#pending.push(this.#sentLast);
    this.#initial = Math.max(this.#acknowledged, ...this.#pending);
  }

  acknowledged(): void {
    this.#acknowledged = this.#pending.shift() ?? this.#acknowledged;
    this.#initial = Math.max(this.#acknowledged, ...this.#pending);
  }

  /** Takes a DATA frame; false if it does not fit. */
  take({ id, payload }: Frame): boolean {
    const used = (this.#streams.get(id) ?? 0) - payload.length;
    this.#streams.set(id, used);
    this.#connection -= payload.length;
    if (payload.length === 0) return true;
    return this.#connection >= 0 && this.#initial + used >= 0;
  }
}
