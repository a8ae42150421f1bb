/**
 * Assertions: for what must be true whatever a client, a peer or a disk does. They stay on in
 * production; a broken one means that our own reasoning is wrong, so the process stops rather
 * than goes on with a state nobody understands (house rule: crash, restart clean).
 */

/** Thrown only by assert() and unreachable(): our own mistake, never an expected failure. */
export class AssertionError extends Error {
  override readonly name = "AssertionError";
}

/** Throws AssertionError unless `condition`; `broken` says what must have been true and is not. */
export function assert(condition: boolean, broken: string): asserts condition {
  if (!condition) throw new AssertionError(broken);
}

/** Ends a switch over a union: the compiler proves that no case is left. */
export function unreachable(value: never): never {
  throw new AssertionError(`unreachable case: ${String(value)}`);
}
