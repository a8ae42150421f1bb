/**
 * Log lines, in our form or in that of etcd's logger (zap), which programs read that read etcd's:
 *
 *   text         2026-01-31T10:00:00.000Z info  a message name=value      (consola)
 *   json         {"level":"info","ts":"2026-…Z","msg":"a message","name":"value"}
 *   zap-json     the same with "caller": where in our source the line is from
 *   zap-console  the same in columns, the fields as JSON
 *
 * A line below the level costs a comparison.
 */
import { createConsola, type LogObject } from "consola";
import type { Log, LogFields, LogValue } from "../base/ports.ts";
import { openOutput, type Rotation, type WriteLine } from "./log-output.ts";

export type Level = "trace" | "debug" | "info" | "warn" | "error";

/** `none`: what etcd calls panic and fatal is nothing that we log. */
export type LevelShown = Level | "none";

export type LogForm = "text" | "json" | "zap-json" | "zap-console";

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
  readonly form: LogForm;
  /** `stdout`, `stderr` or paths of files; by default standard output. */
  readonly outputs?: readonly string[];
  readonly rotation?: Rotation | undefined;
}

/** A log that writes lines of at least `level`. Throws the system's error if a file cannot be. */
export function createLog(options: LogOptions): Log {
  const { level, form, outputs = ["stdout"], rotation } = options;
  const rank = RANK[level];
  const writers = outputs.map((name) => openOutput(name, rotation));
  const writeLine: WriteLine = (line) => {
    for (const write of writers) write(line);
  };
  const write = form === "text" ? textWriter(rank, writeLine) : jsonWriter(form, writeLine);
  const at = (of: Level): Log[Level] => {
    if (RANK[of] > rank) return () => undefined;
    return (message, fields) => {
      write(of, message, fields); // no tail call: callerOf() counts frames
    };
  };
  return {
    trace: at("trace"),
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
  };
}

type Write = (level: Level, message: string, fields: LogFields | undefined) => void;

function textWriter(level: number, writeLine: WriteLine): Write {
  const consola = createConsola({
    level,
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
  return (of, message, fields) => consola[of](message + textFields(fields));
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

function jsonWriter(form: Exclude<LogForm, "text">, writeLine: WriteLine): Write {
  return (level, message, fields) => {
    const ts = form === "json" ? new Date().toISOString() : zapTime(new Date());
    const own = fieldsOf(fields);
    if (form === "json") writeLine(`${JSON.stringify({ level, ts, msg: message, ...own })}\n`);
    else if (form === "zap-json") {
      const record = { level: zapLevel(level), ts, caller: callerOf(new Error()), msg: message };
      writeLine(`${JSON.stringify({ ...record, ...own })}\n`);
    } else {
      const columns = [ts, zapLevel(level), callerOf(new Error()), message];
      if (Object.keys(own).length > 0) columns.push(JSON.stringify(own));
      writeLine(`${columns.join("\t")}\n`);
    }
  };
}

function fieldsOf(fields: LogFields = {}): Record<string, LogValue> {
  const own: Record<string, LogValue> = {};
  for (const [name, value] of Object.entries(fields)) {
    own[name] = typeof value === "bigint" ? value.toString() : value;
  }
  return own;
}

/** zap has microseconds; a clock of ours has milliseconds. */
function zapTime(now: Date): string {
  return now.toISOString().replace("Z", "000Z");
}

/** zap knows no level below debug. */
function zapLevel(level: Level): string {
  return level === "trace" ? "debug" : level;
}

/** Frames of this file above the caller's: the writer and the closure of its level. */
const OWN_FRAMES = 2;

/** `server/server.ts:230`: the last two names of the file that logs, and its line. */
function callerOf({ stack = "" }: Error): string {
  const frame = stack.split("\n").filter((line) => /^\s+at /.test(line))[OWN_FRAMES] ?? "";
  const [, place, line] = /([^/(\s]+\/[^/(\s]+\.ts):(\d+):\d+\)?$/.exec(frame) ?? [];
  return place === undefined ? "aether" : `${place}:${line}`;
}

/** A log that says nothing, for tests. */
export const silentLog: Log = {
  trace() {},
  debug() {},
  info() {},
  warn() {},
  error() {},
};
