/**
 * How often each planted lie is noticed, over many simulated runs:
 *   bun test/check/catch-rates.ts [SEEDS [NAME]]
 * A lie is not always noticeable: nobody may have looked before its traces were overwritten.
 */
import { Prng } from "../../src/base/prng.ts";
import { checkHistory } from "./check.ts";
import type { History } from "./history.ts";
import { LEASE_LIES } from "./lease-lies.ts";
import { LIES } from "./lies.ts";
import { checkLinearizable } from "./linearizable.ts";
import { type Lie, type Simulated, simulate } from "./simulation.ts";
import { WATCH_LIES, type WatchLie } from "./watch-lies.ts";

export interface Rate {
  /** Runs in which the lie was told. */
  told: number;
  caught: number;
  /** Caught by the answers to calls, without the watches. */
  caughtByAnswers: number;
  gaveUp: number;
  /** Seeds of runs in which nothing was noticed. */
  readonly missed: number[];
}

/** Each lie with a way to plant it in the run of a seed; undefined if there was no occasion. */
export const ALL_LIES: ReadonlyMap<string, (seed: number) => History | undefined> = new Map([
  ...Object.entries(LIES).map(([name, make]) => [name, withLie(make)] as const),
  ...Object.entries(LEASE_LIES).map(([name, make]) => [name, withLie(make)] as const),
  ...Object.entries(WATCH_LIES).map(
    ([name, lie]) => [`watch: ${name}`, withWatchLie(lie)] as const,
  ),
]);

/** Tries seeds until the lie was told so often. */
export function rateOf(
  plant: (seed: number) => History | undefined,
  { seedsMax, toldMax }: { readonly seedsMax: number; readonly toldMax: number },
): Rate {
  const rate: Rate = { told: 0, caught: 0, caughtByAnswers: 0, gaveUp: 0, missed: [] };
  for (let seed = 1; seed <= seedsMax && rate.told < toldMax; seed++) {
    const history = plant(seed);
    if (history === undefined) continue;
    rate.told++;
    const { kind } = checkLinearizable(history, { believesWatches: false });
    if (kind === "gave-up") rate.gaveUp++;
    if (kind === "not-linearizable") rate.caughtByAnswers++;
    if (checkHistory(history).length > 0) rate.caught++;
    else rate.missed.push(seed);
  }
  return rate;
}

function run(seed: number, lie?: Lie): Simulated {
  const options = { seed, clients: 6, calls: 150, keys: 6, unknownPercent: 5 } as const;
  return simulate({ ...options, mix: "whole", watches: 8, ...(lie !== undefined && { lie }) });
}

function withLie(make: () => Lie): (seed: number) => History | undefined {
  return (seed) => {
    const { history, hasLied } = run(seed, make());
    return hasLied ? history : undefined;
  };
}

/** Tells the lie to the first watcher, in an order drawn from the seed, that it can be told to. */
function withWatchLie(lie: WatchLie): (seed: number) => History | undefined {
  return (seed) => {
    const { history, server } = run(seed);
    const prng = new Prng(seed);
    const { watches } = history;
    const first = prng.below(watches.length);
    for (let i = 0; i < watches.length; i++) {
      const index = (first + i) % watches.length;
      const watch = watches[index];
      if (watch === undefined) continue;
      const eventsAt = (revision: number) => server.eventsAt(revision);
      const seen = lie({ watch, prng, eventsAt, lastRevision: server.revision });
      if (seen !== undefined)
        return { ...history, watches: watches.with(index, { ...watch, seen }) };
    }
    return undefined;
  };
}

if (import.meta.main) {
  const [seeds = "100", name = ""] = process.argv.slice(2);
  const limits = { seedsMax: Number(seeds), toldMax: Number(seeds) };
  console.log("lie".padEnd(52), "told caught by answers gave up  missed seeds");
  for (const [lie, plant] of ALL_LIES) {
    if (!lie.includes(name)) continue;
    const { told, caught, caughtByAnswers, gaveUp, missed } = rateOf(plant, limits);
    const share = (count: number): string => {
      return told === 0 ? "-".padStart(7) : `${((100 * count) / told).toFixed(0)} %`.padStart(7);
    };
    const row = [lie.padEnd(52), `${told}`.padStart(4), share(caught), share(caughtByAnswers)];
    console.log(...row, `${gaveUp}`.padStart(6), " ", missed.slice(0, 6).join(" "));
  }
}
