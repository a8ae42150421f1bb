/** `compaction`: drops what is only visible below a revision. */
import { KV } from "../../../proto/gen/etcdserverpb.ts";
import { EXIT, ExitError } from "../../exit.ts";
import { NumberError, parseInt64 } from "../../integers.ts";
import type { Command } from "../command.ts";

export const compaction: Command = {
  name: "compaction",
  summary: "Drops the history below a revision",
  args: {
    revision: { type: "positional", required: true, description: "The oldest that stays readable" },
    physical: { type: "boolean", description: "Wait until the space is free for reuse" },
  },
  examples: ["compaction 1200", "compaction --physical 1200"],
  async run(call) {
    const { positionals } = call.args;
    if (positionals.length !== 1) {
      throw new ExitError(EXIT.BAD_ARGUMENTS, "compaction command needs 1 argument");
    }
    const revision = revisionOf(positionals[0] as string);
    await call.call(KV.Compact, { revision, physical: call.args.on("physical") });
    call.say(`compacted revision ${revision}`);
  },
};

/** etcdctl answers 1, not 128, to a revision that is no number. */
function revisionOf(text: string): number {
  try {
    return Number(parseInt64(text, 10, "counter"));
  } catch (error) {
    if (!(error instanceof NumberError)) throw error;
    throw new ExitError(EXIT.FAILED, error.message);
  }
}
