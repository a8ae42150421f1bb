/** `get`: reads a key or a range of keys. */
import type { ArgsDef } from "citty";
import { type Key, keyFromText } from "../../../base/bytes.ts";
import {
  KV,
  RangeRequest,
  RangeResponse,
  SortOrder,
  SortTarget,
} from "../../../proto/gen/etcdserverpb.ts";
import type { Arguments } from "../../arguments.ts";
import { EXIT, ExitError } from "../../exit.ts";
import type { Command } from "../command.ts";
import { MESSAGE_FORMATS } from "../command-info.ts";
import type { Invocation } from "../invocation.ts";
import { keyRange } from "../key-range.ts";
import { rangeAnswer } from "../output/key-values.ts";

const ARGS: ArgsDef = {
  key: { type: "positional", required: true, description: "The key, or the first of a range" },
  range_end: { type: "positional", required: false, description: "The first key after the range" },
  prefix: { type: "boolean", description: "All keys that begin with the key" },
  "from-key": { type: "boolean", description: "All keys from the key on, in the order of bytes" },
  limit: { type: "string", default: "0", valueHint: "n", description: "No more results than this" },
  rev: { type: "string", default: "0", valueHint: "n", description: "As it was at this revision" },
  order: { type: "string", valueHint: "ASCEND|DESCEND", description: "Order of the results" },
  "sort-by": {
    type: "string",
    valueHint: "CREATE|KEY|MODIFY|VALUE|VERSION",
    description: "What they are ordered by",
  },
  "keys-only": { type: "boolean", description: "Without the values" },
  "count-only": { type: "boolean", description: "Only how many there are (with -w fields)" },
  "print-value-only": { type: "boolean", description: "Without the keys (with -w simple)" },
  consistency: {
    type: "string",
    default: "l",
    valueHint: "l|s",
    description: "Linearizable, or serializable: perhaps a little old",
  },
  "min-create-rev": {
    type: "string",
    default: "0",
    valueHint: "n",
    description: "Created then or later",
  },
  "max-create-rev": {
    type: "string",
    default: "0",
    valueHint: "n",
    description: "Created then or before",
  },
  "min-mod-rev": {
    type: "string",
    default: "0",
    valueHint: "n",
    description: "Modified then or later",
  },
  "max-mod-rev": {
    type: "string",
    default: "0",
    valueHint: "n",
    description: "Modified then or before",
  },
  stream: { type: "boolean", description: "Let the server send a large range in pieces" },
};

export const get: Command = {
  name: "get",
  summary: "Reads a key or a range of keys",
  about: "Prints each key and its value on lines of their own; nothing when there are none.",
  args: ARGS,
  formats: MESSAGE_FORMATS,
  examples: [
    "get greeting",
    "get --prefix services/ --keys-only",
    "get a d --limit=10 --order=DESCEND --sort-by=MODIFY",
    "get greeting --rev=5 -w json",
  ],
  async run(call) {
    const { args, globals } = call;
    const request = rangeRequest(args, args.positionals.map(keyFromText));
    if (args.on("count-only") && globals.format !== "fields") {
      throw new ExitError(EXIT.BAD_ARGUMENTS, "--count-only is only for `--write-out=fields`");
    }
    const valueOnly = args.on("print-value-only");
    if (valueOnly && globals.format !== "simple") {
      throw new ExitError(EXIT.BAD_ARGUMENTS, "print-value-only is only for `--write-out=simple`");
    }
    const response = args.on("stream")
      ? await readStream(call, request)
      : await call.call(KV.Range, request);
    call.print(rangeAnswer(response, { ...call.style, valueOnly }));
  },
};

const ORDERS: Readonly<Record<string, SortOrder>> = {
  "": SortOrder.NONE,
  ASCEND: SortOrder.ASCEND,
  DESCEND: SortOrder.DESCEND,
};

const TARGETS: Readonly<Record<string, SortTarget>> = {
  "": SortTarget.KEY,
  CREATE: SortTarget.CREATE,
  KEY: SortTarget.KEY,
  MODIFY: SortTarget.MOD,
  VALUE: SortTarget.VALUE,
  VERSION: SortTarget.VERSION,
};

/** The request that `get`'s arguments mean, also within a transaction. Throws ExitError. */
export function rangeRequest(args: Arguments, keys: readonly Key[]): RangeRequest {
  if (keys.length === 0) {
    const needs = "needs one argument as key and an optional argument as range_end";
    throw new ExitError(EXIT.BAD_ARGUMENTS, `get command ${needs}`);
  }
  const range = keyRange(keys, { prefix: args.on("prefix"), fromKey: args.on("from-key") });
  if (args.on("keys-only") && args.on("count-only")) {
    const both = "`--keys-only` and `--count-only` cannot be set at the same time, choose one";
    throw new ExitError(EXIT.BAD_ARGUMENTS, both);
  }
  const [minModRevision, maxModRevision] = bounds(args, "mod");
  const [minCreateRevision, maxCreateRevision] = bounds(args, "create");
  return RangeRequest.create({
    ...range,
    serializable: isSerializable(args.text("consistency")),
    limit: args.integer("limit"),
    revision: Math.max(args.integer("rev"), 0),
    sortOrder: chosen(ORDERS, args.text("order"), "bad sort order"),
    sortTarget: chosen(TARGETS, args.text("sort-by"), "bad sort target"),
    keysOnly: args.on("keys-only"),
    countOnly: args.on("count-only"),
    minCreateRevision,
    maxCreateRevision,
    minModRevision,
    maxModRevision,
  });
}

/** Of `--min-mod-rev` and `--max-mod-rev`, say; 0 or less bounds nothing. */
function bounds(args: Arguments, of: "mod" | "create"): [min: number, max: number] {
  const min = Math.max(args.integer(`min-${of}-rev`), 0);
  const max = Math.max(args.integer(`max-${of}-rev`), 0);
  if (max === 0 || min <= max) return [min, max];
  const name = of === "mod" ? "ModRev" : "CreateRev";
  throw new ExitError(EXIT.UNSUPPORTED, `getMin${name}(=${min}) > getMax${name}(=${max})`);
}

/** `l` or `s`, as get and member list know it. */
export function isSerializable(consistency: string): boolean {
  if (consistency === "s") return true;
  if (consistency === "l") return false;
  throw new ExitError(EXIT.UNSUPPORTED, `unknown consistency flag ${JSON.stringify(consistency)}`);
}

function chosen<T>(table: Readonly<Record<string, T>>, word: string, complaint: string): T {
  const value = table[word.toUpperCase()];
  if (value === undefined) throw new ExitError(EXIT.UNSUPPORTED, `${complaint} ${word}`);
  return value;
}

/** The pieces of a streamed range put together; header, more and count come with the last. */
async function readStream(call: Invocation, request: RangeRequest): Promise<RangeResponse> {
  const { channel } = await call.client();
  const stream = channel.open(KV.RangeStream, { timeoutMs: call.globals.commandTimeoutMs });
  stream.send(request);
  stream.halfClose();
  const whole = RangeResponse.create();
  for await (const { rangeResponse: piece } of stream) {
    if (piece === undefined) continue;
    for (const kv of piece.kvs) whole.kvs.push(kv);
    if (piece.header !== undefined) whole.header = piece.header;
    whole.more ||= piece.more;
    whole.count += piece.count;
  }
  return whole;
}
