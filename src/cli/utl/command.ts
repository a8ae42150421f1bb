/** One offline command: what it is called, what it takes, what it does. utl.ts lists them all. */
import type { Arguments } from "../arguments.ts";
import type { CommandInfo } from "../ctl/command-info.ts";
import type { Answer } from "../ctl/output/answer.ts";
import type { Io } from "../io.ts";

/** One run of a command. */
export interface UtlCall {
  readonly args: Arguments;
  readonly io: Io;
  /** All commands there are. */
  readonly commands: readonly UtlCommand[];
  /** Prints in the form that was asked for. */
  print(answer: Answer): void;
}

export interface UtlCommand extends CommandInfo {
  /** Does it; the exit status is 0 unless it throws ExitError. */
  run(call: UtlCall): Promise<void>;
}
