/** How long nothing can be written when the leader goes; bench/three-nodes.ts has the full run. */
import { describe, expect, test } from "bun:test";
import { median } from "../../bench/compare.ts";
import { kindsUnderTest, withCluster } from "../support/cluster.ts";
import { outageMs } from "../support/outage.ts";

const ELECTION_MS = 500;
const ROUNDS = 3;
const GRACEFUL_MS_MAX = 1000;
const TEST_MS_MAX = 60_000;

for (const kind of kindsUnderTest()) {
  describe(kind, () => {
    for (const [what, strike, medianMax] of [
      ["killed", "kill", 2 * ELECTION_MS],
      ["asked to stop", "stop", GRACEFUL_MS_MAX],
    ] as const) {
      test(
        `a leader that is ${what}: writes are accepted again within ${medianMax} ms`,
        async () => {
          const options = { kind, size: 3, heartbeatMs: 50, electionMs: ELECTION_MS };
          await withCluster(options, async (cluster) => {
            const outages: number[] = [];
            for (let round = 0; round < ROUNDS; round++) {
              const leader = await cluster.leader();
              outages.push(await outageMs(cluster, (struck) => struck[strike]()));
              expect(leader.isUp).toBe(false);
              await leader.restart();
            }
            console.log(`${what}: ${outages.map((ms) => ms.toFixed(0)).join(", ")} ms`);
            expect(median(outages)).toBeLessThan(medianMax);
          });
        },
        TEST_MS_MAX,
      );
    }
  });
}
