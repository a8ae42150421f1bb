/**
 * The server as a process: settings, start, signals, exit status.
 *
 *   0    stopped by SIGTERM or SIGINT, after the calls in flight were answered
 *   1    could not start: address taken, directory locked or damaged; one line says why
 *   2    the command line or the configuration is wrong; nothing was opened
 *   70   a mistake of ours; with its stack, and at once: it starts clean again
 *   130, 143   a second signal, while stopping
 *
 * Called as etcd it ends as etcd does: killed by the signal that stopped it, with 2 for flags that
 * make no sense and with 1 for all else that is wrong.
 */
import { readFileSync } from "node:fs";
import type { Log } from "../../base/ports.ts";
import { PROGRAM, VERSION } from "../../base/version.ts";
import { type Config, loadConfig } from "../../server/config/config.ts";
import { ConfigError } from "../../server/config/config-error.ts";
import type { Role } from "../../server/config/sources.ts";
import { isExpected } from "../../server/expected.ts";
import { defaultLog, nodeLog } from "../../server/log.ts";
import { type RunningServer, startServer } from "../../server/server.ts";
import { EXIT, UsageError } from "../exit.ts";
import { type Io, processIo } from "../io.ts";
import { renderHelp } from "../usage.ts";
import {
  DEFAULT_CONFIG_FILE,
  readCommandLine,
  type ServeCommand,
  serveHelp,
} from "./command-line.ts";
import {
  ETCD_USAGE,
  etcdHelp,
  etcdVersion,
  readEtcdCommandLine,
  StrayWordError,
} from "./etcd-command-line.ts";
import { hints, programName } from "./hints.ts";
import { Signals } from "./signals.ts";

/** Runs a node as this process and ends it. */
export async function serve(words: readonly string[], role: Role): Promise<never> {
  const io = processIo(role === "etcd" ? "etcd" : PROGRAM);
  let config: Config;
  try {
    const command = role === "etcd" ? readEtcdCommandLine(words) : readCommandLine(words);
    if (command.kind !== "serve") {
      io.out(Buffer.from(await informationOf(command.kind, role, io)));
      process.exit(EXIT.OK);
    }
    config = configOf(command, role, io.environment);
  } catch (error) {
    process.exit(complain(error, role, io));
  }
  return await run(config, io);
}

async function informationOf(kind: "help" | "version", role: Role, io: Io): Promise<string> {
  if (role === "etcd") return kind === "help" ? etcdHelp() : etcdVersion();
  return kind === "help" ? renderHelp(serveHelp(), io.stdoutTerminal) : `${PROGRAM} ${VERSION}\n`;
}

/** Says what is wrong with the words or the settings; the exit status. */
function complain(error: unknown, role: Role, io: Io): number {
  const isUsage = error instanceof UsageError;
  if (!isUsage && !(error instanceof ConfigError || error instanceof StrayWordError)) throw error;
  if (role === "aether") io.err(`${PROGRAM}: ${error.message}\n`);
  else if (isUsage) io.err(`${error.message}\n${ETCD_USAGE}`);
  else {
    defaultLog(role).error("failed to verify flags", { error: error.message });
    return EXIT.FAILED;
  }
  return EXIT.USAGE;
}

/** The whole configuration, checked. Throws ConfigError. */
function configOf(
  command: Extract<ServeCommand, { kind: "serve" }>,
  role: Role,
  environment: Io["environment"],
): Config {
  const named = command.configFile ?? (environment["AETHER_CONFIG"] || undefined);
  const isWanted = role === "aether" || named !== undefined;
  const file = isWanted
    ? readConfigFile(named ?? DEFAULT_CONFIG_FILE, named !== undefined)
    : undefined;
  const etcdFile = command.etcdFile ?? (environment["ETCD_CONFIG_FILE"] || undefined);
  const yaml = etcdFile === undefined ? undefined : readConfigFile(etcdFile, true);
  return loadConfig({ role, file, yaml, environment, flags: command.flags });
}

function readConfigFile(
  name: string,
  required: boolean,
): { name: string; text: string } | undefined {
  try {
    return { name, text: readFileSync(name, "utf8") };
  } catch (error) {
    const { code = "", message } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" && !required) return undefined;
    const why = READ_FAILURES[code] ?? message;
    throw new ConfigError(`${name}: cannot be read: ${why}`, { cause: error });
  }
}

const READ_FAILURES: Readonly<Record<string, string>> = {
  ENOENT: "no such file",
  EACCES: "permission denied",
  EISDIR: "it is a directory",
};

async function run(config: Config, io: Io): Promise<never> {
  let log: Log;
  let server: RunningServer;
  try {
    log = nodeLog(config);
  } catch (error) {
    process.exit(failed(error, config, defaultLog(config.role), io));
  }
  crashLoudly(log, io);
  const signals = new Signals(config.role, log);
  try {
    server = await startServer(config, log);
  } catch (error) {
    return signals.end(failed(error, config, log, io));
  }
  signals.serving(server);
  await announce(config, server, log, io);
  return signals.end(await server.ended);
}

/** Says why the node did not start; the exit status. */
function failed(error: unknown, { role }: Config, log: Log, io: Io): number {
  if (!(isExpected(error) || error instanceof ConfigError)) throw error;
  if (role === "etcd") log.error("failed to start", { error: error.message });
  else io.err(`${PROGRAM}: ${error.message}\n`);
  return EXIT.FAILED;
}

async function announce(config: Config, server: RunningServer, log: Log, io: Io): Promise<void> {
  const { clientAddress, metricsAddress } = server;
  log.info("ready to serve client requests", {
    address: clientAddress,
    metrics: metricsAddress,
    data: config.dataDir,
    version: VERSION,
  });
  await tellSystemd(io.environment["NOTIFY_SOCKET"], log);
  if (io.environment["AETHER_HINTS"] !== "1") return;
  const started = { clientAddress, metricsAddress, dataDir: config.dataDir };
  io.out(Buffer.from(hints(started, programName())));
}

/** A unit of Type=notify would be killed as one that never started. Others load no libc for it. */
async function tellSystemd(socket: string | undefined, log: Log): Promise<void> {
  if (socket === undefined || socket === "") return;
  const { notifySystemd } = await import("./systemd.ts");
  const reason = notifySystemd(socket, "READY=1");
  if (reason !== undefined) log.warn("systemd was not told that the service is up", { reason });
}

/** A mistake of ours ends the process at once; whoever supervises it starts it clean again. */
function crashLoudly(log: Log, io: Io): void {
  const crash = (error: unknown): never => {
    const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
    log.error("uncaught error, ending");
    io.err(`${PROGRAM}: uncaught error\n${stack}\n`);
    process.exit(EXIT.CRASHED);
  };
  process.on("uncaughtException", crash);
  process.on("unhandledRejection", crash);
}
