/** One value against one setting. */
import { unreachable } from "../../base/assert.ts";
import { parseDurationMs } from "../../base/durations.ts";
import { HIDDEN } from "../../base/secret.ts";
import { parseAddress, parseMembers, parseOrigins, parseUrls } from "./addresses.ts";
import { ConfigError, mismatch } from "./config-error.ts";
import type { Meaning } from "./setting.ts";

export type SettingValue = number | boolean | string;

/** The value in its own type, or ConfigError. Texts (flags, environment) are parsed first. */
export function checkValue(setting: Meaning, given: unknown, where: string): SettingValue {
  const value = checkKind(setting, given, where);
  if (setting.refused !== undefined && value !== setting.initial) {
    throw new ConfigError(`${where}: ${JSON.stringify(value)} is refused: ${setting.refused}`);
  }
  return value;
}

function checkKind(setting: Meaning, given: unknown, where: string): SettingValue {
  switch (setting.kind) {
    case "integer":
      return checkInteger(setting, given, where);
    case "boolean":
      if (typeof given !== "boolean") throw mismatch(where, "true or false", given);
      return given;
    case "duration":
      if (typeof given !== "number") throw mismatch(where, "a duration as 5s or 1m30s", given);
      return given;
    case "list":
    case "string":
      if (typeof given !== "string") {
        throw mismatch(where, "a string", setting.secret === true ? HIDDEN : given);
      }
      if (given === "" && setting.kind === "string" && !mayBeEmpty(setting))
        throw mismatch(where, "a non-empty string", given);
      return given;
    case "address":
      if (typeof given !== "string") throw mismatch(where, 'a string "host:port"', given);
      if (given !== setting.initial) parseAddress(given, where);
      return given;
    case "choice":
      if (typeof given !== "string" || !setting.choices?.includes(given)) {
        throw mismatch(where, `one of ${setting.choices?.join(", ")}`, given);
      }
      return given;
    case "origins":
      if (typeof given !== "string") throw mismatch(where, "origins http://host:port, or *", given);
      if (given !== "" && given !== "*") parseOrigins(given, where);
      return given;
    case "urls":
    case "members":
      return checkUrls(setting, String(given), where);
    default:
      return unreachable(setting.kind);
  }
}

function mayBeEmpty({ initial, mayBeEmpty }: Meaning): boolean {
  return initial === "" || mayBeEmpty === true;
}

/** Texts in etcd's notation are kept as they are, once they are known to be right. */
function checkUrls(setting: Meaning, given: string, where: string): string {
  if (given === setting.initial) return given;
  if (setting.kind === "urls") parseUrls(given, where);
  else parseMembers(given, where);
  return given;
}

function checkInteger(setting: Meaning, given: unknown, where: string): number {
  const { min = 0, max = Number.MAX_SAFE_INTEGER } = setting;
  const value = typeof given === "bigint" ? Number(given) : given;
  const expected = `a whole number from ${min} to ${max}`;
  if (typeof value !== "number" || !Number.isInteger(value)) throw mismatch(where, expected, given);
  if (value < min || value > max) throw mismatch(where, expected, given);
  return value;
}

/** A flag's or a variable's text as the type that the setting's kind wants. */
export function fromText(setting: Meaning, text: string): unknown {
  if (setting.kind === "integer") return /^-?\d+$/.test(text) ? Number(text) : text;
  if (setting.kind === "duration") return parseDurationMs(text) ?? text;
  if (setting.kind === "boolean") {
    if (/^(1|t|T|true|TRUE|True)$/.test(text)) return true;
    if (/^(0|f|F|false|FALSE|False)$/.test(text)) return false;
  }
  return text;
}
