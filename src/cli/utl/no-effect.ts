/** Flags of etcdutl that are understood and mean nothing here. */
import type { Arguments } from "../arguments.ts";
import type { Io } from "../io.ts";

/** Names, on standard error, the flags that mean nothing here. */
export function warnOfNoEffect(args: Arguments, flags: readonly string[], io: Io): void {
  const given = flags.filter((flag) => args.given(flag).length > 0);
  if (given.length === 0) return;
  io.err(`${io.program}: no effect here: ${given.map((flag) => `--${flag}`).join(", ")}\n`);
}
