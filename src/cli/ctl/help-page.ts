/** Prints help; apart, so that a command that is run does not load it. */
import type { Io } from "../io.ts";
import { type Help, renderHelp } from "../usage.ts";
import type { CommandEntry, CommandInfo } from "./command-info.ts";
import { commandHelp, groupHelp, optionsHelp } from "./help.ts";

/** Help for the commands whose names start with `group`; "": for all. */
export async function printGroupHelp(
  group: string,
  entries: readonly CommandEntry[],
  io: Io,
): Promise<void> {
  const commands = await Promise.all(entries.map((entry) => entry.load()));
  await print(groupHelp(commands, group, io.program), io);
}

export function printCommandHelp(command: CommandInfo, io: Io): Promise<void> {
  return print(commandHelp(command, io.program), io);
}

export function printOptionsHelp(io: Io): Promise<void> {
  return print(optionsHelp(io.program), io);
}

async function print(help: Help, io: Io): Promise<void> {
  io.out(Buffer.from(await renderHelp(help, io.stdoutTerminal)));
}
