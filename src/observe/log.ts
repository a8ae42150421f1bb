/**
 * Log lines on standard output: text for people (consola) or one JSON object a line. A line below
 * the level costs a comparison. Standard output is written by the runtime's own buffered writer,
 * so a line never waits for a disk.
 */
import { createConsola, type LogObject } from "consola";
import type { Log, LogFields } from "../base/ports.ts";

export type Level = "trace" | "debug" | "info" | "warn" | "error";

/** `none`: what etcd calls panic and fatal is nothing that we log. */
export type LevelShown = Level | "none";

/** consola's numbers: 0 errors … 5 trace. */
const RANK: Readonly<Record<LevelShown, number>> = {
  none: -1,
  error: 0,
  warn: 1,
  info: 3,
  debug: 4,
  trace: 5,
};

export interface LogOptions {
  readonly level: LevelShown;
  readonly json: boolean;
}

function textFields(fields: LogFields | undefined): string {
  if (fields === undefined) return "";
  let text = "";
  for (const [name, value] of Object.entries(fields)) {
    if (value !== undefined) text += ` ${name}=${quoted(String(value))}`;
  }
  return text;
}

/** Bare when it is one word, a JSON string otherwise: a line stays a line whatever it holds. */
function quoted(value: string): string {
  return /^[^\s"=]+$/.test(value) ? value : JSON.stringify(value);
}

function jsonLine(level: Level, message: string, fields: LogFields | undefined): string {
  const record: Record<string, unknown> = { level, ts: new Date().toISOString(), msg: message };
  for (const [name, value] of Object.entries(fields ?? {})) {
    record[name] = typeof value === "bigint" ? value.toString() : value;
  }
  return JSON.stringify(record);
}

/** False once whoever read our standard output has gone: the node goes on without them. */
let hasReader = true;

process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
  hasReader = false;
});

function writeLine(line: string): void {
  if (hasReader) process.stdout.write(line);
}

/** A log that writes lines of at least `level`. */
export function createLog(options: LogOptions): Log {
  const rank = RANK[options.level];
  const consola = createConsola({
    level: rank,
    stdout: process.stdout,
    stderr: process.stdout,
    reporters: [
      {
        log: (entry: LogObject) => {
          const time = entry.date.toISOString();
          writeLine(`${time} ${entry.type.padEnd(5)} ${entry.args.join(" ")}\n`);
        },
      },
    ],
  });
  const write = (level: Level, message: string, fields: LogFields | undefined): void => {
    if (RANK[level] > rank) return;
    if (options.json) writeLine(`${jsonLine(level, message, fields)}\n`);
    else consola[level](message + textFields(fields));
  };
  return {
    trace: (message, fields) => write("trace", message, fields),
    debug: (message, fields) => write("debug", message, fields),
    info: (message, fields) => write("info", message, fields),
    warn: (message, fields) => write("warn", message, fields),
    error: (message, fields) => write("error", message, fields),
  };
}

/** A log that says nothing, for tests. */
export const silentLog: Log = {
  trace() {},
  debug() {},
  info() {},
  warn() {},
  error() {},
};
