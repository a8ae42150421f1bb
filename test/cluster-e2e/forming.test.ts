/**
 * Nodes that are started together are one cluster, and take writes, within two seconds. etcd does
 * not promise the time: five members of it take four when their votes split.
 */
import { describe, expect, test } from "bun:test";
import { KV } from "../../src/proto/gen/etcdserverpb.ts";
import { type ClusterOptions, kindsUnderTest, withCluster } from "../support/cluster.ts";

const FORMED_MS_MAX = 2000;
const PUT_MS_MAX = 5000;
const TEST_MS_MAX = 60_000;

for (const kind of kindsUnderTest()) {
  describe(kind, () => {
    for (const size of [3, 5]) formed(`${size} members by flags`, { kind, size, form: "flags" });
    if (kind === "aether") formed("3 members by file", { kind, size: 3, form: "file" });
  });
}

function formed(name: string, options: ClusterOptions): void {
  test(
    name,
    async () => {
      const fromMs = performance.now();
      await withCluster(options, async (cluster) => {
        const put = { key: "k", value: Buffer.from("v") };
        const { header } = await cluster.member(1).ask(KV.Put, put, PUT_MS_MAX);
        const tookMs = performance.now() - fromMs;
        console.log(`${name}: first write after ${tookMs.toFixed(0)} ms`);
        expect(header?.revision).toBe(2);
        if (options.kind === "aether") expect(tookMs).toBeLessThan(FORMED_MS_MAX);
        const statuses = await cluster.statuses();
        expect(new Set(statuses.map(({ clusterId }) => clusterId)).size).toBe(1);
        expect(new Set(statuses.map(({ id }) => id)).size).toBe(cluster.members.length);
        expect((await cluster.records()).length).toBe(cluster.members.length);
      });
    },
    TEST_MS_MAX,
  );
}
