/**
 * The comparisons of a transaction as etcdctl writes them: `target("key") op "value"`, both
 * strings in Go's notation; value in decimal for revisions and versions, hexadecimal for leases.
 */
import type { Key } from "../../base/bytes.ts";
import { Compare, CompareResult, CompareTarget } from "../../proto/gen/etcdserverpb.ts";
import { EXIT, ExitError } from "../exit.ts";
import { unquoteAt } from "../go-text.ts";
import { NumberError, parseInt64 } from "../integers.ts";
import { textOf, trimmed } from "./words.ts";

const TARGETS: Readonly<Record<string, CompareTarget>> = {
  ver: CompareTarget.VERSION,
  version: CompareTarget.VERSION,
  c: CompareTarget.CREATE,
  create: CompareTarget.CREATE,
  m: CompareTarget.MOD,
  mod: CompareTarget.MOD,
  val: CompareTarget.VALUE,
  value: CompareTarget.VALUE,
  lease: CompareTarget.LEASE,
};

const OPERATORS: Readonly<Record<string, CompareResult>> = {
  "=": CompareResult.EQUAL,
  "!=": CompareResult.NOT_EQUAL,
  ">": CompareResult.GREATER,
  "<": CompareResult.LESS,
};

interface Parts {
  readonly target: string;
  readonly key: Key;
  readonly operator: string;
  readonly value: Key;
}

/** The comparison a line means. Throws ExitError INVALID_INPUT. */
export function parseCompare(line: Key): Compare {
  if (!line.includes("(")) throw invalid(`malformed comparison: ${textOf(line)}`);
  const parts = partsOf(line);
  if (parts === undefined) {
    throw invalid(`malformed comparison: ${textOf(line)}; expected target("key") op "value"`);
  }
  const { target: word, key, operator, value } = parts;
  const target = TARGETS[word];
  if (target === undefined) {
    throw invalid(`malformed comparison: ${textOf(line)} (unknown target ${textOf(word)})`);
  }
  const result = OPERATORS[operator];
  if (result === undefined) {
    throw invalid(`malformed comparison: ${textOf(line)} (unknown operator ${textOf(operator)})`);
  }
  try {
    return Compare.create({ key, result, target, ...operandOf(target, value) });
  } catch (error) {
    if (!(error instanceof NumberError)) throw error;
    throw invalid(`invalid txn compare request: ${textOf(line)} (${error.message})`);
  }
}

function partsOf(line: Key): Parts | undefined {
  const open = line.indexOf("(");
  if (open === -1) return undefined;
  const key = unquoteAt(line, open + 1);
  if (key === undefined) return undefined;
  const match = /^\)[ \t]+([^ \t]+)[ \t]+(?=["`])/.exec(line.slice(key.end));
  if (match === null) return undefined;
  const value = unquoteAt(line, key.end + match[0].length);
  if (value === undefined || trimmed(line.slice(value.end)) !== "") return undefined;
  const operator = match[1] as string;
  return { target: line.slice(0, open), key: key.value, operator, value: value.value };
}

function operandOf(target: CompareTarget, value: Key): Partial<Compare> {
  switch (target) {
    case CompareTarget.VALUE:
      return { value: Buffer.from(value, "latin1") };
    case CompareTarget.LEASE:
      return { lease: parseInt64(value, 16) };
    case CompareTarget.VERSION:
      return { version: decimal(value) };
    case CompareTarget.CREATE:
      return { createRevision: decimal(value) };
    default:
      return { modRevision: decimal(value) };
  }
}

function decimal(text: string): number {
  return Number(parseInt64(text, 10, "counter"));
}

function invalid(message: string): ExitError {
  return new ExitError(EXIT.INVALID_INPUT, message);
}
