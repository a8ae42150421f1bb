/**
 * The client: `aether ctl …`, or the executable called as `aetherctl`. Commands, flags, outputs
 * and exit statuses are etcdctl's, so that fingers and scripts need learn nothing.
 */
import { GrpcError } from "../../client/grpc-error.ts";
import { type Arguments, parseArguments } from "../arguments.ts";
import { EXIT, ExitError } from "../exit.ts";
import { type Io, processIo } from "../io.ts";
import { renderHelp } from "../usage.ts";
import type { Command } from "./command.ts";
import { COMMANDS } from "./command-table.ts";
import { type Found, findCommand } from "./find-command.ts";
import { environmentFlags, GLOBAL_ARGS, type Globals, resolveGlobals } from "./globals.ts";
import { commandHelp, groupHelp } from "./help.ts";
import { Invocation } from "./invocation.ts";

/** Runs the client as this process and ends it. */
export async function ctl(words: readonly string[]): Promise<never> {
  const io = processIo();
  try {
    process.exit(await runCtl(words, io));
  } catch (error) {
    const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
    io.err(`aether ctl: uncaught error\n${stack}\n`);
    process.exit(EXIT.CRASHED);
  }
}

/** Runs one command; the exit status. Rejects only for a mistake of ours. */
export async function runCtl(words: readonly string[], io: Io): Promise<number> {
  try {
    refuseMangled(words);
    const found = findCommand(words, COMMANDS, GLOBAL_ARGS);
    await run(found, io);
    return EXIT.OK;
  } catch (error) {
    return report(error, io);
  }
}

async function run(found: Found<Command>, io: Io): Promise<void> {
  if (found.kind === "group") {
    parseArguments(found.rest, GLOBAL_ARGS);
    io.out(Buffer.from(await renderHelp(groupHelp(COMMANDS, found.name), io.stdoutTerminal)));
    return;
  }
  const { command, rest } = found;
  const environment = environmentFlags(io.environment);
  const definitions = { ...command.args, ...GLOBAL_ARGS };
  const args = parseArguments(rest, definitions, environment.values);
  if (args.on("help")) {
    io.out(Buffer.from(await renderHelp(commandHelp(command), io.stdoutTerminal)));
    return;
  }
  for (const name of environment.unknown) {
    io.err(`aether ctl: unrecognized environment variable ${name}\n`);
  }
  if (args.on("debug")) showSettings(args, io);
  const globals = resolveGlobals(args);
  const call = new Invocation({ command, commands: COMMANDS, args, globals, io });
  try {
    await command.run(call);
  } catch (error) {
    hintAtConnection(error, globals, io);
    throw error;
  } finally {
    call.close();
  }
}

/** Tells what went wrong and says with what status to end. */
function report(error: unknown, io: Io): number {
  if (!(error instanceof ExitError || error instanceof GrpcError)) throw error;
  if (error.message !== "") io.err(`Error: ${error.message}\n`);
  return error instanceof ExitError ? error.status : EXIT.FAILED;
}

/** etcdctl only says that a deadline has passed; a person wants to know why. */
function hintAtConnection(error: unknown, { endpoints }: Globals, io: Io): void {
  let deepest: unknown = error;
  let unreached = false;
  while (deepest instanceof Error && deepest.cause instanceof Error) {
    deepest = deepest.cause;
    unreached ||= deepest instanceof GrpcError && deepest.unprocessed;
  }
  if (!unreached || !(deepest instanceof Error)) return;
  io.err(`aether ctl: ${endpoints.join(", ")}: ${deepest.message}\n`);
}

const SECRET = new Set(["password", "auth-jwt-token", "user"]);

function showSettings(args: Arguments, io: Io): void {
  for (const flag of Object.keys(GLOBAL_ARGS)) {
    if (flag === "help") continue;
    const variable = `ETCDCTL_${flag.toUpperCase().replaceAll("-", "_")}`;
    const value = SECRET.has(flag) && args.text(flag) !== "" ? "…" : args.text(flag);
    io.err(`${variable}=${value}\n`);
  }
}

/**
 * The runtime hands over arguments as text, with U+FFFD for every byte that is not UTF-8: two
 * different binary keys would become one, and the wrong one be written or deleted.
 */
function refuseMangled(words: readonly string[]): void {
  const mangled = words.findIndex((word) => word.includes("\ufffd"));
  if (mangled < 0) return;
  const what = `argument ${mangled + 1} is not valid UTF-8`;
  throw new ExitError(EXIT.BAD_ARGUMENTS, `${what}; give a binary value on standard input`);
}
