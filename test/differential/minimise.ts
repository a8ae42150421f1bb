/**
 * Cuts a sequence that shows a difference down to fewer steps that still show one: halves, quarters
 * and so on are left out in turn, each try on fresh servers, as long as the tries last.
 */
import type { Step } from "./steps.ts";

/** Plays a sequence on fresh servers; true if some difference was seen. */
export type Shows = (steps: readonly Step[]) => Promise<boolean>;

/** Each try starts two servers: a second or so. */
const TRIES_MAX = 120;

export async function minimise(failing: readonly Step[], shows: Shows): Promise<Step[]> {
  let steps = [...failing];
  let tries = 0;
  for (
    let size = Math.ceil(steps.length / 2);
    size >= 1;
    size = size === 1 ? 0 : Math.ceil(size / 2)
  ) {
    // From the end: the step that differs is there, what it needs is before it.
    for (let from = Math.max(steps.length - 1 - size, 0); ; from -= size) {
      const start = Math.max(from, 0);
      const without = [...steps.slice(0, start), ...steps.slice(from + size)];
      if (tries++ >= TRIES_MAX) return steps;
      if (without.length < steps.length && without.length > 0 && (await shows(without)))
        steps = without;
      if (from <= 0) break;
    }
  }
  return steps;
}
