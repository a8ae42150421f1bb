/** Waiting with an end: every timer and listener is gone when the promise is settled. */
import { canceled, deadlineExceeded } from "./grpc-error.ts";

/** setTimeout takes no more (24 days) and fires at once beyond it. */
const TIMER_MS_MAX = 2 ** 31 - 1;

/** What setTimeout takes without a warning: a deadline may have passed on the way here. */
function timerMs(ms: number): number {
  return Math.min(Math.max(ms, 0), TIMER_MS_MAX);
}

/** Waits; rejects with CANCELLED when `signal` is aborted first. */
export function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      reject(canceled());
      return;
    }
    const end = (): void => {
      signal.removeEventListener("abort", abort);
      resolve();
    };
    const timer = setTimeout(end, timerMs(ms));
    const abort = (): void => {
      clearTimeout(timer);
      reject(canceled());
    };
    signal.addEventListener("abort", abort, { once: true });
  });
}

/** `promise`, or DEADLINE_EXCEEDED after `ms`, or CANCELLED by the signal. */
export function within<T>(promise: Promise<T>, ms: number, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const settle = (then: () => void): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", abort);
      then();
    };
    const abort = (): void => settle(() => reject(canceled()));
    const late = (): void => settle(() => reject(deadlineExceeded()));
    if (ms <= TIMER_MS_MAX) timer = setTimeout(late, timerMs(ms));
    signal.addEventListener("abort", abort, { once: true });
    promise.then(
      (value) => settle(() => resolve(value)),
      (error: unknown) => settle(() => reject(error)),
    );
  });
}
