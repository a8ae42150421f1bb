/** `del`: deletes a key or a range of keys. */
import type { ArgsDef } from "citty";
import { type Key, keyFromText } from "../../../base/bytes.ts";
import { DeleteRangeRequest, KV } from "../../../proto/gen/etcdserverpb.ts";
import type { Arguments } from "../../arguments.ts";
import { EXIT, ExitError } from "../../exit.ts";
import type { Command } from "../command.ts";
import { MESSAGE_FORMATS } from "../command-info.ts";
import type { Invocation } from "../invocation.ts";
import { keyRange } from "../key-range.ts";
import { deleteAnswer } from "../output/key-values.ts";

const ARGS: ArgsDef = {
  key: { type: "positional", required: true, description: "The key, or the first of a range" },
  range_end: { type: "positional", required: false, description: "The first key after the range" },
  prefix: { type: "boolean", description: "All keys that begin with the key" },
  "from-key": { type: "boolean", description: "All keys from the key on, in the order of bytes" },
  "prev-kv": { type: "boolean", description: "Print what was deleted" },
  range: { type: "boolean", description: "A range is meant: do not ask a person to think again" },
};

/** A second key is easily taken for a second key to delete: a person gets this long to stop. */
const SECOND_THOUGHTS_MS = 2_000;

export const del: Command = {
  name: "del",
  summary: "Deletes a key or a range of keys",
  about: "Prints how many keys there were.",
  args: ARGS,
  formats: MESSAGE_FORMATS,
  examples: ["del greeting", "del --prefix services/ --prev-kv", "del a d --range"],
  async run(call) {
    const { args } = call;
    const request = deleteRequest(args, args.positionals.map(keyFromText));
    call.requireFormat();
    if (args.positionals.length > 1 && !args.on("range")) await secondThoughts(call);
    const response = await call.call(KV.DeleteRange, request);
    call.print(deleteAnswer(response, call.style));
  },
};

/** The request that `del`'s arguments mean, also within a transaction. Throws ExitError. */
export function deleteRequest(args: Arguments, keys: readonly Key[]): DeleteRangeRequest {
  if (keys.length === 0 || keys.length > 2) {
    const needs = "needs one argument as key and an optional argument as range_end";
    throw new ExitError(EXIT.BAD_ARGUMENTS, `del command ${needs}`);
  }
  const range = keyRange(keys, { prefix: args.on("prefix"), fromKey: args.on("from-key") });
  return DeleteRangeRequest.create({ ...range, prevKv: args.on("prev-kv") });
}

/** Only where a person types: a script is not held up. */
async function secondThoughts({ args, io }: Invocation): Promise<void> {
  if (!io.stdinTerminal || !io.stdoutTerminal) return;
  const [from, to] = args.positionals;
  io.err(
    `Warning: all keys from ${JSON.stringify(from)} up to ${JSON.stringify(to)} will be deleted ` +
      `in ${SECOND_THOUGHTS_MS / 1000} seconds; Ctrl-C prevents it, --range skips the wait.\n`,
  );
  await Bun.sleep(SECOND_THOUGHTS_MS);
}
