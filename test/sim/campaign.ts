/**
 * Many seeds, shared among processes: each child runs every so many-th seed and says a line for
 * each; the parent counts, and tells how to see a failure again.
 */
import { join } from "node:path";
import { Failure } from "./failure.ts";
import { type SimulationResult, simulate } from "./simulation.ts";

const root = join(import.meta.dir, "..", "..");

export interface Campaign {
  readonly from: number;
  /** Infinity: until the time is over. */
  readonly count: number;
  readonly jobs: number;
  readonly stepsMax?: number | undefined;
  readonly untilMs?: number | undefined;
  /** The first failure ends it. */
  readonly stopsAtFailure?: boolean | undefined;
  /** Where the program stands; this checkout if left out. */
  readonly root?: string;
}

/** What came of one seed. */
export type SeedReport = { readonly seed: number } & (
  | { readonly ok: true; readonly result: SimulationResult }
  | { readonly ok: false; readonly what: string; readonly stack: string }
);

export interface CampaignResult {
  readonly seeds: number;
  readonly failures: readonly Extract<SeedReport, { ok: false }>[];
  readonly events: number;
  readonly committed: number;
  readonly answered: number;
  readonly simulatedMs: number;
  readonly counts: Readonly<Record<string, number>>;
}

/** Runs one seed and reports it, whatever is thrown. */
export function runSeed(seed: number, stepsMax?: number): SeedReport {
  try {
    const options = stepsMax === undefined ? {} : { stepsMax };
    return { seed, ok: true, result: simulate(seed, options) };
  } catch (error) {
    const { name, message, stack = "" } = error as Error;
    const what = error instanceof Failure ? message : `${name}: ${message}`;
    return { seed, ok: false, what, stack };
  }
}

/** One child's share: every `step`-th seed from `from` on, a line of JSON for each. */
export function runShare(share: Campaign & { readonly step: number }): void {
  const { from, count, step, stepsMax, untilMs = Number.POSITIVE_INFINITY } = share;
  for (let seed = from; seed < from + count && Date.now() < untilMs; seed += step) {
    process.stdout.write(`${JSON.stringify(runSeed(seed, stepsMax))}\n`);
  }
}

/** Runs all seeds; `onSeed` hears of each as it ends. */
export async function runCampaign(
  campaign: Campaign,
  onSeed: (report: SeedReport) => void,
): Promise<CampaignResult> {
  const total = { seeds: 0, events: 0, committed: 0, answered: 0, simulatedMs: 0 };
  const counts: Record<string, number> = {};
  const failures: Extract<SeedReport, { ok: false }>[] = [];
  const children: Bun.Subprocess<"ignore", "pipe", "inherit">[] = [];
  const take = (report: SeedReport): void => {
    total.seeds++;
    if (report.ok) {
      for (const name of ["events", "committed", "answered", "simulatedMs"] as const) {
        total[name] += report.result[name];
      }
      for (const [what, count] of Object.entries(report.result.counts)) {
        counts[what] = (counts[what] ?? 0) + count;
      }
    } else failures.push(report);
    onSeed(report);
    if (!report.ok && campaign.stopsAtFailure) for (const child of children) child.kill();
  };
  for (let job = 0; job < campaign.jobs; job++) children.push(spawnShare(campaign, job));
  await Promise.all(children.map((child) => readReports(child.stdout, take)));
  for (const child of children) {
    const status = await child.exited;
    const wasKilled = campaign.stopsAtFailure && failures.length > 0;
    if (status !== 0 && !wasKilled) throw new Error(`a share of the seeds ended with ${status}`);
  }
  return { ...total, counts, failures };
}

function spawnShare(campaign: Campaign, job: number): Bun.Subprocess<"ignore", "pipe", "inherit"> {
  const { from, count, jobs, stepsMax, untilMs } = campaign;
  const share = { from: from + job, count: count - job, step: jobs, stepsMax, untilMs };
  const text = JSON.stringify(share, (_, value) => (value === Infinity ? "Infinity" : value));
  return Bun.spawn([process.execPath, "scripts/sim.ts", "--share", text], {
    cwd: campaign.root ?? root,
    stdio: ["ignore", "pipe", "inherit"],
  });
}

/** The share in the words of spawnShare(). */
export function parseShare(text: string): Campaign & { readonly step: number } {
  return JSON.parse(text, (_, value) => (value === "Infinity" ? Infinity : value));
}

async function readReports(
  stream: ReadableStream<Uint8Array>,
  take: (report: SeedReport) => void,
): Promise<void> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of stream) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) take(JSON.parse(line));
  }
}

/** The commit that is checked out, and whether anything differs from it. */
export function commitText(): string {
  const git = (...args: string[]): string =>
    Bun.spawnSync(["git", ...args], { cwd: root })
      .stdout.toString()
      .trim();
  const head = git("rev-parse", "--short=12", "HEAD") || "unknown";
  return git("status", "--porcelain", "--untracked-files=no") === "" ? head : `${head} and changes`;
}

/** What to tell of a failed seed. */
export function failureText({ seed, what, stack }: Extract<SeedReport, { ok: false }>): string {
  const replay = `bun run sim --seed ${seed} --trace`;
  const frames = stack
    .split("\n")
    .filter((line) => line.includes("/src/"))
    .slice(0, 3);
  return [`seed ${seed}: ${what}`, ...frames, `  commit ${commitText()}`, `  ${replay}`].join("\n");
}
