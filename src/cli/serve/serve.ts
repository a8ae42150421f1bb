/**
 * The server as a process: settings, start, signals, exit status.
 *
 *   0    stopped by SIGTERM or SIGINT, after the calls in flight were answered
 *   1    could not start: address taken, directory locked or damaged; one line says why
 *   2    the command line or the configuration is wrong; nothing was opened
 *   70   a mistake of ours; with its stack, and at once: it starts clean again
 *   130, 143   a second signal, while stopping
 */
import { readFileSync } from "node:fs";
import type { Log } from "../../base/ports.ts";
import { PROGRAM, VERSION } from "../../base/version.ts";
import { type Config, loadConfig } from "../../server/config/config.ts";
import { ConfigError } from "../../server/config/config-error.ts";
import { nodeLog } from "../../server/log.ts";
import { isExpected, type RunningServer, startServer } from "../../server/server.ts";
import { EXIT, UsageError } from "../exit.ts";
import { type Io, processIo } from "../io.ts";
import { renderHelp } from "../usage.ts";
import {
  DEFAULT_CONFIG_FILE,
  readCommandLine,
  type ServeCommand,
  serveHelp,
} from "./command-line.ts";
import { hints, programName } from "./hints.ts";

/** Far more than draining takes; a stop that hangs must not hold up a machine's shutdown. */
const STOP_MS_MAX = 5_000;

const SIGNAL_STATUS = { SIGINT: 130, SIGTERM: 143 } as const;

/** Runs a node as this process and ends it. */
export async function serve(words: readonly string[]): Promise<never> {
  const io = processIo();
  let config: Config;
  try {
    const command = readCommandLine(words);
    if (command.kind !== "serve") {
      await inform(command.kind, io);
      process.exit(EXIT.OK);
    }
    config = configOf(command, io.environment);
  } catch (error) {
    if (!(error instanceof UsageError || error instanceof ConfigError)) throw error;
    io.err(`${PROGRAM}: ${error.message}\n`);
    process.exit(EXIT.USAGE);
  }
  process.exit(await run(config, io));
}

async function inform(kind: "help" | "version", io: Io): Promise<void> {
  const text =
    kind === "help" ? await renderHelp(serveHelp(), io.stdoutTerminal) : `${PROGRAM} ${VERSION}\n`;
  io.out(Buffer.from(text));
}

/** The whole configuration, checked. Throws ConfigError. */
function configOf(
  command: Extract<ServeCommand, { kind: "serve" }>,
  environment: Io["environment"],
): Config {
  const named = command.configFile ?? (environment["AETHER_CONFIG"] || undefined);
  const file = readConfigFile(named ?? DEFAULT_CONFIG_FILE, named !== undefined);
  const etcdFile = command.etcdFile ?? (environment["ETCD_CONFIG_FILE"] || undefined);
  const yaml = etcdFile === undefined ? undefined : readConfigFile(etcdFile, true);
  return loadConfig({ file, yaml, environment, flags: command.flags });
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

async function run(config: Config, io: Io): Promise<number> {
  const log = nodeLog(config);
  crashLoudly(log, io);
  const signals = handleSignals(log);
  let server: RunningServer;
  try {
    server = await startServer(config, log);
  } catch (error) {
    if (!isExpected(error)) throw error;
    io.err(`${PROGRAM}: ${error.message}\n`);
    return EXIT.FAILED;
  }
  signals.serving(server);
  announce(config, server, log, io);
  return await server.ended;
}

function announce(config: Config, server: RunningServer, log: Log, io: Io): void {
  const { clientAddress, metricsAddress } = server;
  log.info("ready to serve client requests", {
    address: clientAddress,
    metrics: metricsAddress,
    data: config.dataDir,
    version: VERSION,
  });
  if (io.environment["AETHER_HINTS"] !== "1") return;
  const started = { clientAddress, metricsAddress, dataDir: config.dataDir };
  io.out(Buffer.from(hints(started, programName())));
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

interface Signals {
  /** From now on a signal stops `server` instead of ending the process. */
  serving(server: RunningServer): void;
}

function handleSignals(log: Log): Signals {
  let server: RunningServer | undefined;
  let stopping = false;
  const onSignal = (signal: keyof typeof SIGNAL_STATUS): void => {
    if (stopping) process.exit(SIGNAL_STATUS[signal]);
    stopping = true;
    // Nobody was promised anything before the server is up, and the data survives any end.
    if (server === undefined) process.exit(EXIT.OK);
    log.info("stopping", { signal });
    setTimeout(() => {
      log.error("stopping takes too long, ending", { ms: STOP_MS_MAX });
      process.exit(EXIT.FAILED);
    }, STOP_MS_MAX).unref();
    void server.stop(); // `ended` ends the process; a rejection is uncaught and crashes it
  };
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.on(signal, () => onSignal(signal));
  }
  return {
    serving(started) {
      server = started;
    },
  };
}
