/**
 * Secrets between members, who speak without TLS here: a proxy hears every byte of theirs. Neither
 * the cluster's secret nor a password may travel, whichever member a user comes to; of a password
 * there is its hash, and simple tokens are what the log tells every member of (as in etcd).
 */
import { expect, test } from "bun:test";
import { withCluster } from "../support/cluster.ts";
import type { Proxied } from "../support/peer-network.ts";
import { Flows } from "./flows.ts";
import { people } from "./people.ts";
import { Planted } from "./planted.ts";

const SLOW_MS = 60_000;
const SIZE = 3;

test(
  "what members say to each other and to their logs",
  async () => {
    const planted = new Planted();
    const root = planted.draw("root's password");
    const secret = planted.draw("the cluster's secret");
    const environmentOf = (): Record<string, string> => ({
      AETHER_CLUSTER_SECRET: secret,
      AETHER_LOG_LEVEL: "trace",
    });
    const options = { kind: "aether", size: SIZE, network: "proxied", environmentOf } as const;
    await withCluster(options, async (cluster) => {
      const heard = tap(cluster.network as Proxied);
      await cluster.member(3).stop();
      await cluster.member(3).restart(); // it proves itself again, where we hear it
      const leader = await cluster.leader();
      const follower = cluster.members.find(({ number }) => number !== leader.number);
      const endpoint = follower?.endpoint ?? "";
      const flows = new Flows({ endpoint, scheme: "http" }, planted);
      await flows.ctl(["user", "add", `root:${root}`]);
      await flows.ctl(["auth", "enable"]);
      await people(flows, planted, root);
      const said = Buffer.concat(heard);
      expect(said.includes("alice")).toBe(true); // it is not encrypted, so it would be found
      planted.hear("between members", said);
      planted.hear("the logs", cluster.logs());
    });
    expect(planted.disclosures()).toEqual([]);
  },
  SLOW_MS,
);

/** Everything that members send each other from now on. */
function tap(network: Proxied): Uint8Array[] {
  const heard: Uint8Array[] = [];
  for (let from = 1; from <= SIZE; from++) {
    for (let to = 1; to <= SIZE; to++) {
      if (from === to) continue;
      network.direction(from, to).onSent = (bytes) => heard.push(bytes.slice());
    }
  }
  return heard;
}
