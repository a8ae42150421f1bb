/** How long nothing can be written when the leader goes; bench/three-nodes.ts has the full run. */
import { describe, expect, test } from "bun:test";
import { median } from "../../bench/compare.ts";
import { kindsUnderTest, withCluster } from "../support/cluster.ts";
import { outageMs } from "../support/outage.ts";

const ROUNDS = 3;
const TEST_MS_MAX = 60_000;

interface Row {
  readonly what: string;
  readonly strike: "kill" | "stop";
  readonly electionMs: number;
  /** Asked of the median. */
  readonly msMax: number;
}

const ROWS: readonly Row[] = [
  { what: "killed", strike: "kill", electionMs: 500, msMax: 2 * 500 },
  // An election would take longer than what is asked: the leader has to hand over.
  { what: "asked to stop", strike: "stop", electionMs: 2000, msMax: 1000 },
];

for (const kind of kindsUnderTest()) {
  describe(kind, () => {
    for (const { what, strike, electionMs, msMax } of ROWS) {
      test(
        `a leader that is ${what}: writes are accepted again within ${msMax} ms`,
        async () => {
          const options = { kind, size: 3, heartbeatMs: electionMs / 10, electionMs };
          await withCluster(options, async (cluster) => {
            const outages: number[] = [];
            for (let round = 0; round < ROUNDS; round++) {
              const leader = await cluster.leader();
              outages.push(await outageMs(cluster, (struck) => struck[strike]()));
              expect(leader.isUp).toBe(false);
              await leader.restart();
            }
            console.log(`${what}: ${outages.map((ms) => ms.toFixed(0)).join(", ")} ms`);
            expect(median(outages)).toBeLessThan(msMax);
          });
        },
        TEST_MS_MAX,
      );
    }
  });
}
