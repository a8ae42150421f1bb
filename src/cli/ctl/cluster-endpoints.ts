/** The servers that commands about single servers look at. */
import type { ArgsDef } from "citty";
import { Cluster } from "../../proto/gen/etcdserverpb.ts";
import { EXIT } from "../exit.ts";
import { type Invocation, orFail } from "./invocation.ts";

export const CLUSTER_ARGS: ArgsDef = {
  cluster: {
    type: "boolean",
    description: "Every server in the member list, not only those given",
  },
};

/** Those given, or with --cluster the client addresses of all members. */
export async function endpointsToAsk(call: Invocation): Promise<readonly string[]> {
  if (!call.args.on("cluster")) return call.endpoints();
  const listed = call.call(Cluster.MemberList, { linearizable: true });
  const { members } = await orFail(listed, EXIT.FAILED, (why) => {
    return `failed to fetch endpoints from etcd cluster member list: ${why}`;
  });
  return [...new Set(members.flatMap((member) => member.clientURLs))];
}
