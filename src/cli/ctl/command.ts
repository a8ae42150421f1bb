/** One client command: what it is called, what it takes, what it does. command-table.ts lists
 * them all. */
import type { CommandInfo } from "./command-info.ts";
import type { Invocation } from "./invocation.ts";

export interface Command extends CommandInfo {
  /** Does it; the exit status is 0 unless it throws ExitError or GrpcError. */
  run(call: Invocation): Promise<void>;
}
