/**
 * etcd's --config-file: YAML (or JSON, which is YAML too), read by Bun. Its keys are the names of
 * the flags but for a few blocks, and durations are whole nanoseconds, as Go's decoder has them.
 * etcd passes over keys that it does not know; a misspelt one would be without effect, so here it
 * is refused.
 */
import { nearest } from "../../../base/nearest.ts";
import { checkValue } from "../check.ts";
import { ConfigError, mismatch } from "../config-error.ts";
import type { Given } from "../file.ts";
import { type EtcdSetting, isList, type Meaning, type Setting } from "../setting.ts";
import { SETTINGS } from "../settings.ts";
import { ETCD_SETTINGS } from "./etcd-settings.ts";

const NS_PER_MS = 1e6;

interface Row extends Meaning {
  /** The flag by whose name the setting is known. */
  readonly flag: string;
}

type Table = Readonly<Record<string, unknown>>;

/** What the file says, by the flag's name. Throws ConfigError with the file's name and line. */
export function readYamlText(text: string, name: string): ReadonlyMap<string, Given> {
  const found = new Map<string, Given>();
  const rows = rowsByKey();
  const visit = (table: Table, prefix: string): void => {
    for (const [key, value] of Object.entries(table)) {
      const path = prefix + key;
      const where = `${name}:${lineOf(text, path)}: ${path}`;
      const row = rows.get(path);
      if (row !== undefined) {
        const given = decoded(row, value, where);
        if (given !== undefined)
          found.set(row.flag, { value: checkValue(row, given, where), where });
      } else if (isBlock(path, rows)) {
        if (value !== null) visit(requireTable(value, where), `${path}.`);
      } else throw new ConfigError(`${where}: unknown key${suggestion(path, rows)}`);
    }
  };
  const document = parse(text, name);
  if (document !== null) visit(requireTable(document, name), "");
  return found;
}

function parse(text: string, name: string): unknown {
  try {
    return Bun.YAML.parse(text);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new ConfigError(`${name}: not valid YAML: ${reason}`, { cause: error });
  }
}

/** Every key of the file, with its blocks before it, dotted. */
function rowsByKey(): ReadonlyMap<string, Row> {
  const rows = new Map<string, Row>();
  for (const setting of SETTINGS) {
    const { etcd } = setting;
    if (etcd === undefined) continue;
    for (const key of keysOf(setting, etcd)) rows.set(key, { ...setting, flag: etcd });
  }
  for (const setting of ETCD_SETTINGS) {
    for (const key of keysOf(setting, setting.etcd))
      rows.set(key, { ...setting, flag: setting.etcd });
  }
  return rows;
}

function keysOf(
  { yaml, twins = [] }: Pick<Setting & EtcdSetting, "yaml" | "twins">,
  flag: string,
): readonly string[] {
  return yaml === "" ? twins : [yaml ?? flag, ...twins];
}

/** As the setting's kind wants it; undefined where Go's decoder leaves the default. */
function decoded(row: Row, value: unknown, where: string): unknown {
  if (value === null || value === undefined) return undefined;
  const { kind } = row;
  if ((kind === "urls" || kind === "members") && value === "") return undefined;
  if (kind === "duration") {
    if (typeof value === "number" && Number.isInteger(value)) return value / NS_PER_MS;
    throw mismatch(where, "whole nanoseconds, as 5000000000 for five seconds", value);
  }
  if (isList(row) && Array.isArray(value)) return value.map(String).join(",");
  const isText = kind !== "integer" && kind !== "boolean";
  return isText && ["number", "boolean"].includes(typeof value) ? String(value) : value;
}

function isBlock(path: string, rows: ReadonlyMap<string, Row>): boolean {
  return rows.keys().some((key) => key.startsWith(`${path}.`));
}

function requireTable(value: unknown, where: string): Table {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Table;
  throw mismatch(where, "keys with values", value);
}

function suggestion(path: string, rows: ReadonlyMap<string, Row>): string {
  const near = nearest(path, [...rows.keys()]);
  return near === undefined ? "" : `; did you mean ${near}?`;
}

/** The line of a key; of one in a block, the first of that name below the block's. */
function lineOf(text: string, path: string): number {
  const keys = path.split(".");
  let found = 1;
  for (const [number, line] of text.split("\n").entries()) {
    const key = /^[\s{,]*["']?([A-Za-z0-9_-]+)["']?\s*:/.exec(line)?.[1];
    if (key !== keys[0]) continue;
    found = number + 1;
    keys.shift();
    if (keys.length === 0) return found;
  }
  return found;
}
