/**
 * The client: `aether ctl …`, or the executable called as `aetherctl`. Commands, flags, outputs
 * and exit statuses are etcdctl's, so that fingers and scripts need learn nothing.
 */
import { basename } from "node:path";
import { GrpcError } from "../../client/grpc-error.ts";
import { endOf } from "../../client/tls-files.ts";
import { type Arguments, parseArguments } from "../arguments.ts";
import { EXIT, ExitError, UsageError } from "../exit.ts";
import { SECRET_FLAGS, USER_FLAGS } from "../hidden-arguments.ts";
import { type Io, processIo } from "../io.ts";
import { COMMANDS, type CommandRow } from "./command-table.ts";
import { type Found, findCommand } from "./find-command.ts";
import { environmentFlags, GLOBAL_ARGS, type Globals, resolveGlobals } from "./globals.ts";
import { callErrorText, Invocation } from "./invocation.ts";

/** What to do where secrets could not be taken off the command line. */
const VISIBLE = [
  "aether ctl: others on this machine can see the secrets on this command line:",
  "use AETHERCTL_PASSWORD or --password-file, or let it ask\n",
].join(" ");

/**
 * Runs the client as this process and ends it. `hidden`: nobody sees secrets in the process list.
 */
export async function ctl(words: readonly string[], hidden: boolean): Promise<never> {
  const called = basename(process.argv0);
  const io = processIo(called === "aetherctl" || called === "etcdctl" ? called : "aether ctl");
  if (!hidden) io.err(VISIBLE);
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
    const found = findCommand(words, COMMANDS, GLOBAL_ARGS, io.program);
    await run(found, io);
    return EXIT.OK;
  } catch (error) {
    return report(error, io);
  }
}

async function run(found: Found<CommandRow>, io: Io): Promise<void> {
  if (found.kind === "group") {
    parseArguments(found.rest, GLOBAL_ARGS);
    const { printGroupHelp } = await import("./help-page.ts");
    await printGroupHelp(found.name, COMMANDS, io);
    return;
  }
  const command = await found.command.load();
  const environment = environmentFlags(io.environment);
  const definitions = { ...command.args, ...GLOBAL_ARGS };
  const args = parseArguments(found.rest, definitions, environment.values);
  if (args.on("help")) {
    const { printCommandHelp } = await import("./help-page.ts");
    await printCommandHelp(command, io);
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
  const text = error instanceof GrpcError ? callErrorText(error) : error.message;
  if (text !== "") io.err(`Error: ${text}\n`);
  if (error instanceof UsageError) return EXIT.FAILED; // as etcdctl; a node says 2
  return error instanceof ExitError ? error.status : EXIT.FAILED;
}

/** etcdctl only says that a deadline has passed; a person wants to know why. */
function hintAtConnection(error: unknown, { tls }: Globals, io: Io): void {
  let unreached: GrpcError | undefined;
  for (let each: unknown = error; each instanceof Error; each = each.cause) {
    if (each instanceof GrpcError && each.unprocessed) unreached = each;
  }
  if (unreached === undefined) return;
  const why = unreached.message;
  const own = tls?.cert !== undefined && OUR_CERTIFICATE.test(why) ? ofOurs(tls.cert) : undefined;
  const advice = own ?? ADVICE.find(([about]) => about.test(why))?.[1];
  io.err(`aether ctl: ${why}${advice === undefined ? "" : ` (${advice})`}\n`);
}

const OUR_CERTIFICATE = /certificate of ours|our certificate/;

/** A server that does not take what was shown seldom says why, but logs it. */
function ofOurs(cert: string): string {
  const ended = endOf(cert, Date.now());
  return ended === undefined ? "its log says what is wrong with --cert" : `--cert ended ${ended}`;
}

/** What a person can do about what dialing met (net/tls-failure.ts, client/endpoint.ts). */
const ADVICE: readonly (readonly [about: RegExp, what: string])[] = [
  [/of an unknown authority|self-signed/, "trust it with --cacert"],
  [OUR_CERTIFICATE, "give --cert and --key"],
  [/does not speak TLS/, "use http://"],
  [/does it speak TLS/, "use https://"],
];

/** Every global flag with its value, by name, as variables; secrets are not shown. */
function showSettings(args: Arguments, io: Io): void {
  for (const flag of Object.keys(GLOBAL_ARGS).sort()) {
    if (flag === "help") continue;
    const variable = `ETCDCTL_${flag.toUpperCase().replaceAll("-", "_")}`;
    const text = args.text(flag) || (GLOBAL_ARGS[flag]?.type === "boolean" ? "false" : "");
    const isSecret = SECRET_FLAGS.has(flag) || USER_FLAGS.has(flag);
    const value = isSecret && text !== "" ? "…" : text;
    io.err(`${variable}=${flag === "endpoints" ? `[${value}]` : value}\n`);
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
