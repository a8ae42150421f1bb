/** `txn`: compares, then does one of two lists of requests, all read from standard input. */
import type { Key } from "../../../base/bytes.ts";
import { type Compare, KV, RequestOp } from "../../../proto/gen/etcdserverpb.ts";
import { parseArguments } from "../../arguments.ts";
import { EXIT, ExitError, UsageError } from "../../exit.ts";
import { LineReader } from "../../io.ts";
import type { Command } from "../command.ts";
import { MESSAGE_FORMATS } from "../command-info.ts";
import { parseCompare } from "../compare-syntax.ts";
import { txnAnswer } from "../output/key-values.ts";
import { splitWords, textOf, trimmed } from "../words.ts";
import { del, deleteRequest } from "./del.ts";
import { get, rangeRequest } from "./get.ts";
import { put, putRequest } from "./put.ts";

export const txn: Command = {
  name: "txn",
  summary: "Compares keys, then does one of two lists of requests, as one step",
  about: [
    "Reads three parts from standard input, each ended by an empty line: comparisons, the requests",
    "if all of them hold, the requests if one does not. A comparison is",
    '  mod("key") > "0"        (or create, version, value, lease; =, !=, >, <)',
    "and a request is a get, put or del command.",
  ].join("\n"),
  args: {
    interactive: { type: "boolean", alias: "i", description: "Say which part is expected" },
  },
  formats: MESSAGE_FORMATS,
  examples: [
    "txn -i",
    `txn <<< $'mod("greeting") = "0"\\n\\nput greeting hello\\n\\nget greeting\\n\\n'`,
  ],
  async run(call) {
    if (call.args.positionals.length > 0) {
      throw new ExitError(EXIT.BAD_ARGUMENTS, "txn command does not accept argument");
    }
    call.requireFormat();
    const lines = new LineReader(call.io.stdin);
    const prompt = (text: string): void => {
      if (call.args.on("interactive")) call.say(text);
    };
    prompt("compares:");
    const compare: Compare[] = await readPart(lines, parseCompare);
    prompt("success requests (get, put, del):");
    const success: RequestOp[] = await readPart(lines, parseRequest);
    prompt("failure requests (get, put, del):");
    const failure: RequestOp[] = await readPart(lines, parseRequest);
    const response = await call.call(KV.Txn, { compare, success, failure });
    call.print(txnAnswer(response, call.style));
  },
};

/** What the lines up to an empty one mean. */
async function readPart<T>(lines: LineReader, parse: (line: Key) => T): Promise<T[]> {
  const part: T[] = [];
  for (;;) {
    const raw = await lines.next();
    if (raw === undefined) throw new ExitError(EXIT.INVALID_INPUT, "EOF");
    const line = trimmed(raw);
    if (line === "") return part;
    part.push(parse(line));
  }
}

/** The request that a line means: a get, put or del command. Throws ExitError. */
export function parseRequest(line: Key): RequestOp {
  const [name = "", ...words] = splitWords(line);
  if (words.length === 0) {
    throw new ExitError(EXIT.INVALID_INPUT, `invalid txn compare request: ${textOf(line)}`);
  }
  try {
    return requestOf(name, words);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    const what = `invalid txn request: ${textOf(line)} (${textOf(error.message)})`;
    throw new ExitError(EXIT.INVALID_INPUT, what);
  }
}

function requestOf(name: string, words: readonly Key[]): RequestOp {
  if (name === "get") {
    const args = parseArguments(words, get.args);
    return RequestOp.create({ requestRange: rangeRequest(args, args.positionals) });
  }
  if (name === "put") {
    const args = parseArguments(words, put.args);
    const [key, value] = args.positionals;
    const bytes = value === undefined ? undefined : Buffer.from(value, "latin1");
    return RequestOp.create({ requestPut: putRequest(args, key, bytes) });
  }
  if (name === "del") {
    const args = parseArguments(words, del.args);
    return RequestOp.create({ requestDeleteRange: deleteRequest(args, args.positionals) });
  }
  throw new UsageError(`unknown command ${name}`);
}
