/**
 * The shapes of what every driver needs of the world. Pure rooms never see them: they are handed
 * times and numbers as arguments.
 */

/** Milliseconds, fractional. Two clocks, never mixed: durations and deadlines use `monotonicMs`. */
export interface Clock {
  /** Never goes back; unrelated to the calendar. */
  monotonicMs(): number;
  /** Since 1970; may jump. For people to read, never for decisions. */
  wallMs(): number;
}

export type LogValue = string | number | bigint | boolean | readonly string[] | undefined;
export type LogFields = Readonly<Record<string, LogValue>>;

/** Structured log lines. Never blocks and never throws. */
export interface Log {
  trace(message: string, fields?: LogFields): void;
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

/** Integers without bias, for ids and jitter; the simulator passes a seeded one. */
export interface Random {
  /** An integer in [0, bound). */
  below(bound: number): number;
  /** A random 63-bit positive id, never 0. */
  id63(): bigint;
}
