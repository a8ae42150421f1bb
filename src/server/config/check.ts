/**
 * One value against one setting. A ConfigError is one line that says where, what was given and
 * what was expected; the program prints it and exits with status 2 before touching anything.
 */
import { unreachable } from "../../base/assert.ts";
import type { Setting } from "./settings.ts";

export type SettingValue = number | boolean | string;

export class ConfigError extends Error {
  override readonly name = "ConfigError";
}

/** `where` names the source, e.g. `aether.toml:3: lease.max_ttl`. */
function mismatch(where: string, expected: string, given: unknown): ConfigError {
  const shown = typeof given === "string" ? JSON.stringify(given) : describe(given);
  return new ConfigError(`${where}: expected ${expected}, got ${shown}`);
}

function describe(given: unknown): string {
  if (Array.isArray(given)) return "an array";
  if (given instanceof Date) return "a date";
  if (typeof given === "object" && given !== null) return "a table";
  return String(given);
}

/** The value in its own type, or ConfigError. Texts (flags, environment) are parsed first. */
export function checkValue(setting: Setting, given: unknown, where: string): SettingValue {
  const value = checkKind(setting, given, where);
  if (setting.refused !== undefined && value !== setting.initial) {
    throw new ConfigError(`${where}: ${JSON.stringify(value)} is refused: ${setting.refused}`);
  }
  return value;
}

function checkKind(setting: Setting, given: unknown, where: string): SettingValue {
  switch (setting.kind) {
    case "integer":
      return checkInteger(setting, given, where);
    case "boolean":
      if (typeof given !== "boolean") throw mismatch(where, "true or false", given);
      return given;
    case "string":
      if (typeof given !== "string") throw mismatch(where, "a string", given);
      if (setting.initial !== "" && given === "")
        throw mismatch(where, "a non-empty string", given);
      return given;
    case "address":
      if (typeof given !== "string") throw mismatch(where, 'a string "host:port"', given);
      parseAddress(given, where);
      return given;
    case "choice":
      if (typeof given !== "string" || !setting.choices?.includes(given)) {
        throw mismatch(where, `one of ${setting.choices?.join(", ")}`, given);
      }
      return given;
    default:
      return unreachable(setting.kind);
  }
}

function checkInteger(setting: Setting, given: unknown, where: string): number {
  const { min = 0, max = Number.MAX_SAFE_INTEGER } = setting;
  const value = typeof given === "bigint" ? Number(given) : given;
  const expected = `a whole number from ${min} to ${max}`;
  if (typeof value !== "number" || !Number.isInteger(value)) throw mismatch(where, expected, given);
  if (value < min || value > max) throw mismatch(where, expected, given);
  return value;
}

/** A flag's or a variable's text as the type that the setting's kind wants. */
export function fromText(setting: Setting, text: string): unknown {
  if (setting.kind === "integer") return /^-?\d+$/.test(text) ? Number(text) : text;
  if (setting.kind === "boolean") {
    if (text === "true" || text === "1") return true;
    if (text === "false" || text === "0") return false;
  }
  return text;
}

export interface HostPort {
  readonly host: string;
  readonly port: number;
}

/** `host:port`, `:port` (all interfaces) or `[v6]:port`; ConfigError otherwise. */
export function parseAddress(text: string, where: string): HostPort {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]/\s]*)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535) throw mismatch(where, 'an address "host:port"', text);
  return { host: match[1] ?? (match[2] === "" ? "0.0.0.0" : (match[2] as string)), port };
}
