/** `defrag`: gives back the space that deleted and compacted data left, server by server. */
import { formatDuration } from "../../../base/durations.ts";
import { GrpcError } from "../../../client/grpc-error.ts";
import { Maintenance } from "../../../proto/gen/etcdserverpb.ts";
import { EXIT, ExitError } from "../../exit.ts";
import { CLUSTER_ARGS, endpointsToAsk } from "../cluster-endpoints.ts";
import type { Command } from "../command.ts";

export const defrag: Command = {
  name: "defrag",
  summary: "Gives back space that nothing uses, on each server",
  about: "One server after the other; what a server had no time for is told on standard error.",
  args: CLUSTER_ARGS,
  examples: ["defrag", "defrag --cluster --command-timeout=60s"],
  async run(call) {
    let failed = false;
    for (const endpoint of await endpointsToAsk(call)) {
      const client = await call.client([endpoint]);
      const startedMs = performance.now();
      const took = (): string => formatDuration((performance.now() - startedMs) * 1e6);
      try {
        await call.call(Maintenance.Defragment, {}, client);
        call.say(`Finished defragmenting etcd member[${endpoint}]. took ${took()}`);
      } catch (error) {
        if (!(error instanceof GrpcError)) throw error;
        failed = true;
        const what = `Failed to defragment etcd member[${endpoint}]. took ${took()}.`;
        call.io.err(`${what} (${error.message})\n`);
      }
    }
    if (failed) throw new ExitError(EXIT.FAILED, "");
  },
};
