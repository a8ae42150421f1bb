/** Counting calls, for metrics. */
import type { GrpcCode } from "./status.ts";

/** Counts the calls of one method; on the way of every message, so each must be an addition. */
export interface CallMeter {
  onStart(): void;
  /** A message of the client has come. */
  onReceived(): void;
  /** A message for the client was handed over. */
  onSent(): void;
  /** The call has ended, by whom ever; `startedMs` is on the clock of its connection. */
  onEnd(code: GrpcCode, startedMs: number): void;
}

/** For methods that nobody counts. */
export const NO_METER: CallMeter = {
  onStart() {},
  onReceived() {},
  onSent() {},
  onEnd() {},
};
