/** `member …`: the servers of the cluster. */
import { Cluster } from "../../../proto/gen/etcdserverpb.ts";
import type { Command } from "../command.ts";
import { MESSAGE_FORMATS } from "../command-info.ts";
import { membersAnswer } from "../output/reports.ts";
import { isSerializable } from "./get.ts";

export const memberList: Command = {
  name: "member list",
  summary: "Lists the servers of the cluster",
  about: "The columns of simple mode: id, status, name, peer urls, client urls, is learner.",
  args: {
    consistency: {
      type: "string",
      default: "l",
      valueHint: "l|s",
      description: "Linearizable, or serializable: perhaps a little old",
    },
  },
  formats: [...MESSAGE_FORMATS, "table"],
  examples: ["member list -w table"],
  async run(call) {
    const linearizable = !isSerializable(call.args.text("consistency"));
    const response = await call.call(Cluster.MemberList, { linearizable });
    call.print(membersAnswer(response, call.globals.hex));
  },
};
