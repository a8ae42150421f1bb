/**
 * The offline tool: `aether utl …`, or the executable called as `etcdutl`. It works on files, with
 * etcdutl's commands, flags, outputs and exit statuses; no server is asked.
 */
import { basename } from "node:path";
import { parseDurationMs } from "../../base/durations.ts";
import { parseArguments } from "../arguments.ts";
import { findCommand } from "../ctl/find-command.ts";
import { FORMATS, type Format, formatAnswer, unsupportedFormat } from "../ctl/output/answer.ts";
import { EXIT, ExitError, UsageError } from "../exit.ts";
import { type Io, processIo } from "../io.ts";
import { type Help, renderHelp } from "../usage.ts";
import type { UtlCommand } from "./command.ts";
import { UTL_COMMANDS } from "./command-table.ts";
import { UTL_GLOBAL_ARGS } from "./global-args.ts";
import { warnOfNoEffect } from "./no-effect.ts";

/** Runs the tool as this process and ends it. */
export async function utl(words: readonly string[]): Promise<never> {
  const io = processIo(basename(process.argv0) === "etcdutl" ? "etcdutl" : "aether utl");
  try {
    process.exit(await runUtl(words, io));
  } catch (error) {
    const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
    io.err(`${io.program}: uncaught error\n${stack}\n`);
    process.exit(EXIT.CRASHED);
  }
}

/** Runs one command; the exit status. Rejects only for a mistake of ours. */
export async function runUtl(words: readonly string[], io: Io): Promise<number> {
  try {
    await run(words, io);
    return EXIT.OK;
  } catch (error) {
    if (!(error instanceof ExitError)) throw error;
    io.err(`Error: ${error.message}\n`);
    return error instanceof UsageError ? EXIT.FAILED : error.status; // as etcdutl
  }
}

async function run(words: readonly string[], io: Io): Promise<void> {
  const found = findCommand(words, UTL_COMMANDS, UTL_GLOBAL_ARGS, io.program);
  if (found.kind === "group") {
    parseArguments(found.rest, UTL_GLOBAL_ARGS);
    io.out(Buffer.from(await renderHelp(groupHelp(found.name, io), io.stdoutTerminal)));
    return;
  }
  const { command, rest } = found;
  const args = parseArguments(rest, { ...command.args, ...UTL_GLOBAL_ARGS });
  if (args.on("help")) {
    io.out(Buffer.from(await renderHelp(commandHelp(command, io), io.stdoutTerminal)));
    return;
  }
  const format = args.text("write-out") as Format;
  if (!FORMATS.includes(format)) {
    throw new ExitError(EXIT.UNSUPPORTED, "unsupported output format");
  }
  requireDuration(args.text("timeout"));
  warnOfNoEffect(args, ["timeout"], io);
  const { formats } = command;
  if (formats !== undefined && !formats.includes(format)) throw unsupportedFormat(format);
  await command.run({
    ...{ args, io, commands: UTL_COMMANDS },
    print: (answer) => io.out(formatAnswer(answer, format)),
  });
}

function requireDuration(text: string): void {
  if (parseDurationMs(text) !== undefined) return;
  const why = `time: invalid duration ${JSON.stringify(text)}`;
  throw new UsageError(`invalid argument "${text}" for "--timeout" flag: ${why}`);
}

function groupHelp(group: string, { program }: Io): Help {
  const prefix = group === "" ? "" : `${group} `;
  const below = UTL_COMMANDS.filter(({ name }) => name.startsWith(prefix));
  return {
    name: `${program} ${group}`.trimEnd(),
    summary: group === "" ? "Works on files of etcd and Aether" : "Looks at and restores snapshots",
    commands: new Map(below.map(({ name, summary }) => [name.slice(prefix.length), summary])),
    args: UTL_GLOBAL_ARGS,
    examples: below
      .flatMap(({ examples }) => examples.slice(0, 1))
      .map((each) => `${program} ${each}`),
  };
}

function commandHelp(command: UtlCommand, { program }: Io): Help {
  return {
    name: `${program} ${command.name}`,
    summary: command.summary,
    about: command.about,
    args: { ...command.args, ...UTL_GLOBAL_ARGS },
    examples: command.examples.map((each) => `${program} ${each}`),
  };
}
