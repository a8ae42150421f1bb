/**
 * The simulator: whole clusters on simulated time, network and disks, each life drawn by a seed.
 *
 *   bun run sim                            a thousand seeds on two processes
 *   bun run sim --seeds 50 --from 7        these
 *   bun run sim --minutes 30               new ones, until the time is over
 *   bun run sim --seed 12 --trace          one, with everything that happens in it
 *   bun run sim --mutants [name]           planted bugs: each must be found
 */
import { parseArgs } from "node:util";
import {
  commitText,
  failureText,
  parseShare,
  runCampaign,
  runSeed,
  runShare,
} from "../test/sim/campaign.ts";
import { runMutants } from "../test/sim/mutants.ts";
import { simulate } from "../test/sim/simulation.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seed: { type: "string" },
    seeds: { type: "string" },
    from: { type: "string" },
    steps: { type: "string" },
    jobs: { type: "string", default: "2" },
    minutes: { type: "string" },
    trace: { type: "boolean", default: false },
    mutants: { type: "boolean", default: false },
    share: { type: "string" },
  },
});

/** More are counted, not told. */
const FAILURES_TOLD_MAX = 20;

const stepsMax = numberOf(values.steps);
if (values.share !== undefined) runShare(parseShare(values.share));
else if (values.mutants) process.exitCode = await runMutants(positionals, Number(values.jobs));
else if (values.seed !== undefined) runOne(Number(values.seed));
else await runMany();

function numberOf(text: string | undefined): number | undefined {
  return text === undefined ? undefined : Number(text);
}

function runOne(seed: number): void {
  if (values.trace) {
    const options = stepsMax === undefined ? {} : { stepsMax };
    console.log(simulate(seed, { ...options, line: (line) => console.log(line) }));
    return;
  }
  const report = runSeed(seed, stepsMax);
  if (report.ok) console.log(report.result);
  else {
    console.error(failureText(report));
    process.exitCode = 1;
  }
}

async function runMany(): Promise<void> {
  const minutes = numberOf(values.minutes);
  const untilMs = minutes === undefined ? undefined : Date.now() + minutes * 60_000;
  const count = numberOf(values.seeds) ?? (minutes === undefined ? 1000 : Infinity);
  // With time to spend, lives that nobody has seen.
  const fresh = minutes === undefined ? 1 : Math.floor(Date.now() / 1000) * 1000;
  const from = numberOf(values.from) ?? fresh;
  const startedMs = Date.now();
  const seconds = (): string => ((Date.now() - startedMs) / 1000).toFixed(0);
  let done = 0;
  let failed = 0;
  const jobs = Number(values.jobs);
  const total = await runCampaign({ from, count, jobs, stepsMax, untilMs }, (report) => {
    done++;
    if (!report.ok && ++failed <= FAILURES_TOLD_MAX) {
      console.error(`${process.stdout.isTTY ? "\r" : ""}${failureText(report)}`);
    }
    const of = count === Infinity ? "" : ` of ${count}`;
    if (process.stdout.isTTY) {
      process.stdout.write(`\r${done}${of} seeds, ${failed} failed, ${seconds()} s `);
    }
  });
  if (process.stdout.isTTY) process.stdout.write("\n");
  const counts = Object.entries(total.counts).sort(([, a], [, b]) => b - a);
  console.log(counts.map(([what, count]) => `${what} ${count}`).join(", "));
  console.log(
    `${total.seeds} seeds from ${from} in ${seconds()} s: ${total.failures.length} failed; ` +
      `${total.events} events, ${total.committed} entries committed, ${total.answered} requests ` +
      `answered, ${(total.simulatedMs / 3_600_000).toFixed(1)} h simulated; ${commitText()}`,
  );
  if (total.failures.length > 0) process.exitCode = 1;
}
