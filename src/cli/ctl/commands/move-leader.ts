/** `move-leader`: hands leadership over, before its holder is taken down, say. */
import { Maintenance } from "../../../proto/gen/etcdserverpb.ts";
import { EXIT, ExitError } from "../../exit.ts";
import { NumberError, parseHexId } from "../../integers.ts";
import type { Command } from "../command.ts";
import { leaderAnswer } from "../output/members.ts";

export const moveLeader: Command = {
  name: "move-leader",
  summary: "Hands leadership over to another member",
  about: "Only the leader can: it has to be among the endpoints.",
  args: {
    id: { type: "positional", required: true, description: "The member's id, in hexadecimal" },
  },
  formats: ["simple", "json", "protobuf"],
  examples: ["move-leader c89feb932daef420"],
  async run(call) {
    const { positionals } = call.args;
    if (positionals.length !== 1) {
      throw new ExitError(EXIT.BAD_ARGUMENTS, "move-leader command needs 1 argument");
    }
    const target = memberId(positionals[0] as string);
    call.requireFormat();
    const endpoints = await call.endpoints();
    for (const endpoint of endpoints) {
      const client = await call.client([endpoint]);
      const { header, leader } = await call.call(Maintenance.Status, {}, client);
      if (leader === 0n || header?.memberId !== leader) continue;
      const response = await call.call(Maintenance.MoveLeader, { targetID: target }, client);
      call.print(leaderAnswer(response, leader, target));
      return;
    }
    const listed = `[${endpoints.join(" ")}]`;
    throw new ExitError(EXIT.BAD_ARGUMENTS, `no leader endpoint given at ${listed}`);
  },
};

/** etcdctl says no more than why it is no number. */
function memberId(text: string): bigint {
  try {
    return parseHexId(text);
  } catch (error) {
    if (!(error instanceof NumberError)) throw error;
    throw new ExitError(EXIT.BAD_ARGUMENTS, error.message);
  }
}
