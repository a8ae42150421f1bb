/** aether.toml: parsed by smol-toml, then held against the table of settings, line by line. */
import { parse, TomlError } from "smol-toml";
import { nearest } from "../../base/nearest.ts";
import { parseAddress } from "./addresses.ts";
import { checkValue, type SettingValue } from "./check.ts";
import { ConfigError, mismatch } from "./config-error.ts";
import { isList } from "./setting.ts";
import { SETTINGS } from "./settings.ts";

/** One of [[cluster.peers]]. */
export interface Peer {
  readonly nodeId: number;
  /** Where it takes what other members say: `host:port`. */
  readonly addr: string;
  /** Where it stands, for messages. */
  readonly where: string;
}

/** A value and where it stands, e.g. `aether.toml:3: lease.max_ttl`. */
export interface Given {
  readonly value: SettingValue;
  readonly where: string;
}

export interface FileSettings {
  /** By path. */
  readonly values: ReadonlyMap<string, Given>;
  readonly peers: readonly Peer[];
}

export const NO_FILE: FileSettings = { values: new Map(), peers: [] };

type Table = { readonly [key: string]: unknown };

function isTable(value: unknown): value is Table {
  return (
    typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Date)
  );
}

/** Reads the text of a configuration file; `name` is how messages call it. */
export function readConfigText(text: string, name: string): FileSettings {
  let document: Table;
  try {
    document = parse(text);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const [reason = "not valid TOML"] = error.message.split("\n");
    throw new ConfigError(`${name}:${error.line}: ${reason}`, { cause: error });
  }
  const values = new Map<string, Given>();
  const peers: Peer[] = [];
  const visit = (table: Table, prefix: string): void => {
    for (const [key, value] of Object.entries(table)) {
      const path = prefix + key;
      const where = `${name}:${lineOf(text, path)}: ${path}`;
      const setting = SETTINGS.find((candidate) => candidate.path === path);
      if (setting !== undefined) {
        const given = isList(setting) ? listText(value, where) : value;
        values.set(path, { value: checkValue(setting, given, where), where });
      } else if (path === "cluster.peers") peers.push(...readPeers(value, text, name));
      else if (isTable(value) && isSection(path)) visit(value, `${path}.`);
      else throw new ConfigError(`${where}: unknown key${suggestion(path)}`);
    }
  };
  visit(document, "");
  return { values, peers };
}

/** A list is an array here; the text with commas of flags and variables is taken too. */
function listText(value: unknown, where: string): unknown {
  if (!Array.isArray(value)) return value;
  const wrong = value.find((part) => typeof part !== "string" || part === "" || /,/.test(part));
  if (wrong !== undefined) throw mismatch(where, "texts without commas in the array", wrong);
  return value.join(",");
}

function isSection(path: string): boolean {
  return SETTINGS.some((setting) => setting.path.startsWith(`${path}.`));
}

function readPeers(value: unknown, text: string, name: string): Peer[] {
  const whereOf = (nth: number): string => {
    return `${name}:${lineOf(text, "cluster.peers", nth)}: cluster.peers`;
  };
  if (!Array.isArray(value) || !value.every(isTable)) {
    throw new ConfigError(`${whereOf(0)}: expected [[cluster.peers]] with node_id and addr`);
  }
  return value.map((table, nth) => readPeer(table, whereOf(nth)));
}

function readPeer(table: Table, where: string): Peer {
  const { node_id: nodeId, addr, ...rest } = table;
  const [unknown] = Object.keys(rest);
  if (unknown !== undefined) throw new ConfigError(`${where}: unknown key ${unknown}`);
  if (typeof nodeId !== "number" || !Number.isInteger(nodeId) || nodeId < 1) {
    throw new ConfigError(`${where}: node_id: expected a whole number from 1`);
  }
  if (typeof addr !== "string") throw new ConfigError(`${where}: addr: expected "host:port"`);
  parseAddress(addr, `${where}: addr`);
  return { nodeId, addr, where };
}

/**
 * The line on which `path` is set; for a table that has no line of its own, its first key's. Of an
 * array of tables, the line of the one at position `nth`, if each has a header.
 */
function lineOf(text: string, path: string, nth = 0): number {
  let table = "";
  let below: number | undefined;
  let found: number | undefined;
  let left = nth;
  for (const [index, line] of text.split("\n").entries()) {
    const header = /^\s*\[\[?\s*([\w.\-"' ]+?)\s*\]\]?/.exec(line)?.[1];
    const key = /^\s*([\w.\-"']+)\s*=/.exec(line)?.[1];
    if (header !== undefined) table = header.replaceAll(/["' ]/g, "");
    else if (key === undefined) continue;
    const prefix = table === "" ? "" : `${table}.`;
    const named = header !== undefined ? table : prefix + key?.replaceAll(/["']/g, "");
    if (named === path) {
      found = index + 1;
      if (left-- === 0) return found;
    }
    if (below === undefined && named.startsWith(`${path}.`)) below = index + 1;
  }
  return found ?? below ?? 1;
}

/** `; did you mean …?` when a known path is a letter or two away, or ends alike. */
function suggestion(path: string): string {
  const known = [...SETTINGS.map((setting) => setting.path), "cluster.peers"];
  const last = path.split(".").pop();
  const near = nearest(path, known) ?? known.find((each) => each.split(".").pop() === last);
  return near === undefined ? "" : `; did you mean ${near}?`;
}
