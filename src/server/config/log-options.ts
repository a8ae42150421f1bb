/** Where log lines go and what they look like. */
import { isAbsolute } from "node:path";
import type { LevelShown, LogForm, LogOptions } from "../../observe/log.ts";
import type { Rotation } from "../../observe/log-output.ts";
import { ConfigError } from "./config-error.ts";
import { partsOf } from "./options.ts";
import type { Gathered, Role } from "./sources.ts";

const MEGABYTE = 1024 * 1024;
const ROTATED_MB_MAX = 100;

/** Throws ConfigError. */
export function logOptionsOf(settings: Gathered, role: Role): Required<LogOptions> {
  const level = settings.on("--debug") ? "debug" : settings.text("log.level");
  const outputs = outputsOf(settings, role);
  return {
    level: /panic|fatal/.test(level) ? "none" : (level as LevelShown),
    form: formOf(settings, role),
    outputs,
    rotation: rotationOf(settings, outputs),
  };
}

function formOf(settings: Gathered, role: Role): LogForm {
  const format = settings.text("--log-format");
  if (role === "etcd") return format === "console" ? "zap-console" : "zap-json";
  return settings.on("log.json") || format === "json" ? "json" : "text";
}

/** `default` is standard error for etcd, and standard output for our own role. */
function outputsOf(settings: Gathered, role: Role): readonly string[] {
  const where = settings.where("--log-outputs");
  const given = partsOf(settings.text("--log-outputs"));
  const byDefault = role === "etcd" ? "stderr" : "stdout";
  const outputs = new Set(given.map((name) => (name === "default" ? byDefault : name)));
  if (given.includes("default") && given.length > 1) {
    throw new ConfigError(`${where}: default goes with no other output, got ${given.join(",")}`);
  }
  return outputs.size === 0 ? [byDefault] : [...outputs];
}

function rotationOf(settings: Gathered, outputs: readonly string[]): Rotation | undefined {
  if (!settings.on("--enable-log-rotation")) return undefined;
  const where = settings.where("--enable-log-rotation");
  const files = outputs.filter((name) => name !== "stdout" && name !== "stderr");
  if (files.length !== 1 || outputs.length !== 1) {
    throw new ConfigError(`${where}: rotation is for one file in --log-outputs and nothing else`);
  }
  const [file = ""] = files;
  if (!isAbsolute(file)) {
    throw new ConfigError(`${where}: rotation wants the whole path of a file, got ${file}`);
  }
  return readRotation(settings);
}

function readRotation(settings: Gathered): Rotation {
  const where = settings.where("--log-rotation-config-json");
  let given: unknown;
  try {
    given = JSON.parse(settings.text("--log-rotation-config-json"));
  } catch (error) {
    throw new ConfigError(`${where}: not JSON`, { cause: error });
  }
  if (typeof given !== "object" || given === null) throw new ConfigError(`${where}: no object`);
  const table = given as Readonly<Record<string, unknown>>;
  const number = (name: string): number => {
    const value = table[name] ?? 0;
    if (typeof value === "number" && Number.isInteger(value) && value >= 0) return value;
    throw new ConfigError(`${where}: ${name}: expected a whole number from 0`);
  };
  return {
    bytesMax: (number("maxsize") || ROTATED_MB_MAX) * MEGABYTE,
    ageDaysMax: number("maxage"),
    backupsMax: number("maxbackups"),
    localTime: table["localtime"] === true,
    compress: table["compress"] === true,
  };
}
