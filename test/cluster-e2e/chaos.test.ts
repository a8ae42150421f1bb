/**
 * Clients on all members while members are killed, paused and cut off: every history is
 * linearizable, watches miss nothing, nothing acknowledged is lost, and the members end equal.
 * Short here; SEED=7 CHAOS_SECONDS=600 CHAOS_ONLY="a ring" for more.
 */
import { describe, expect, test } from "bun:test";
import { type ClusterOptions, kindsUnderTest } from "../support/cluster.ts";
import { whyNot } from "../support/netns.ts";
import { runChaos } from "./chaos.ts";

const SEED = Number(process.env["SEED"] ?? 1);
const SECONDS = process.env["CHAOS_SECONDS"];
const ONLY = process.env["CHAOS_ONLY"];
/** The last fault, the end of the load and the verdict come after the time is over. */
const ENDING_MS_MAX = 60_000;

const noNamespaces = whyNot();
if (noNamespaces !== undefined) console.log(`partitions in namespaces: skipped, ${noNamespaces}`);

interface Row {
  readonly size: number;
  readonly network: NonNullable<ClusterOptions["network"]>;
  readonly seconds: number;
}

const ROWS: readonly Row[] = [
  { size: 3, network: "proxied", seconds: 16 },
  { size: 3, network: "namespaces", seconds: 8 },
  { size: 5, network: "proxied", seconds: 10 },
];

for (const kind of kindsUnderTest()) {
  describe(kind, () => {
    for (const [index, { size, network, seconds }] of ROWS.entries()) {
      const seed = SEED + index; // else all begin with the same faults
      const forMs = Number(SECONDS ?? seconds) * 1000;
      test.skipIf(network === "namespaces" && noNamespaces !== undefined)(
        `${size} members, ${network}: faults for ${forMs / 1000} s, seed ${seed}`,
        async () => {
          const lines: string[] = [];
          const report = await runChaos({
            ...{ kind, size, network, forMs, seed, heartbeatMs: 50, electionMs: 500 },
            ...(ONLY !== undefined && { only: ONLY }),
            onFault: (line) => lines.push(line),
          });
          const { complaints, faults, ...figures } = report;
          console.log(`${faults.length} faults, ${JSON.stringify(figures)}`);
          if (complaints.length > 0) console.log(lines.join("\n"));
          expect(complaints).toEqual([]);
          expect(faults.length).toBeGreaterThan(1);
          expect(figures.answered).toBeGreaterThan(faults.length * 10);
        },
        forMs + ENDING_MS_MAX,
      );
    }
  });
}
