/** `put`: writes a key. */
import type { ArgsDef } from "citty";
import { EMPTY_BYTES, type Key, keyFromText } from "../../../base/bytes.ts";
import { KV, PutRequest } from "../../../proto/gen/etcdserverpb.ts";
import type { Arguments } from "../../arguments.ts";
import { EXIT, ExitError } from "../../exit.ts";
import { parseInt64 } from "../../integers.ts";
import { readAll } from "../../io.ts";
import type { Command } from "../command.ts";
import { MESSAGE_FORMATS } from "../command-info.ts";
import { putAnswer } from "../output/key-values.ts";
import { numberArgument } from "../words.ts";

const ARGS: ArgsDef = {
  key: { type: "positional", required: true, description: "The key" },
  value: {
    type: "positional",
    required: false,
    description: "Its value; left out: standard input",
  },
  lease: {
    type: "string",
    default: "0",
    valueHint: "id",
    description: "Lease (in hexadecimal) with which the key ends",
  },
  "prev-kv": { type: "boolean", description: "Print what was there before" },
  "ignore-value": { type: "boolean", description: "Keep the value, take the new lease" },
  "ignore-lease": { type: "boolean", description: "Keep the lease, take the new value" },
};

export const put: Command = {
  name: "put",
  summary: "Writes a key",
  about: "A key or value that begins with - stands after --: put -- -key -value",
  args: ARGS,
  formats: MESSAGE_FORMATS,
  examples: [
    "put greeting hello",
    "put config < config.json",
    "put lock me --lease=694d81417acd4754",
  ],
  async run(call) {
    const { args, io } = call;
    const [key, value] = args.positionals.map(keyFromText);
    let bytes = value === undefined ? undefined : Buffer.from(value, "latin1");
    if (key !== undefined && bytes === undefined && !args.on("ignore-value")) {
      bytes = Buffer.from(await readAll(io.stdin));
      if (bytes.length === 0) bytes = undefined;
    }
    const response = await call.call(KV.Put, putRequest(args, key, bytes));
    call.print(putAnswer(response, call.style));
  },
};

/** The request that `put`'s arguments mean, also within a transaction. Throws ExitError. */
export function putRequest(
  args: Arguments,
  key: Key | undefined,
  value: Uint8Array | undefined,
): PutRequest {
  const ignoreValue = args.on("ignore-value");
  if (key !== undefined && ignoreValue && value !== undefined) {
    const only = "put command needs only 1 argument when 'ignore-value' is set";
    throw new ExitError(EXIT.BAD_ARGUMENTS, only);
  }
  if (key === undefined || (value === undefined && !ignoreValue)) {
    const needs = "put command needs 1 argument and input from stdin or 2 arguments";
    throw new ExitError(EXIT.BAD_ARGUMENTS, needs);
  }
  return PutRequest.create({
    key,
    value: value ?? EMPTY_BYTES,
    lease: numberArgument("bad lease ID", ", expecting ID in Hex", () => {
      return parseInt64(args.text("lease"), 16);
    }),
    prevKv: args.on("prev-kv"),
    ignoreValue,
    ignoreLease: args.on("ignore-lease"),
  });
}
