/**
 * Fuzzing of one target: what was found before comes first (corpus/<name>.json), then inputs drawn
 * by fast-check. In the tests the seed is fixed and the runs are counted; `bun scripts/fuzz.ts`
 * runs the same targets for a time, with seeds of its own. A failure is shrunk, and says how to see
 * it again and what to put into the corpus.
 */
import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { fromCorpus, toCorpus } from "./corpus.ts";

export interface Target<T extends unknown[]> {
  /** Unique; the corpus's file is called so, and so is `--target`. Kebab case. */
  readonly name: string;
  readonly inputs: { readonly [K in keyof T]: fc.Arbitrary<T[K]> };
  /** Throws when the target does what it must not. */
  readonly check: (...input: T) => void | Promise<void>;
  /** Inputs drawn in the tests: few enough to take less than three seconds. */
  readonly runs: number;
}

/** The seed of the tests: findings of other seeds belong into the corpus. */
const SEED = 20_261_121;

/** What scripts/fuzz.ts asks for; undefined in the tests. Not AETHER_…: the executable, which some
 * targets start, refuses variables of that kind that it does not know. */
const SECONDS = numberOf(process.env["FUZZ_SECONDS"]);
const GIVEN_SEED = numberOf(process.env["FUZZ_SEED"]);
const GIVEN_PATH = process.env["FUZZ_PATH"];
const ONLY = process.env["FUZZ_TARGET"];

/** Beyond the time itself, for the run that is under way when it is over, and for shrinking. */
const GRACE_MS = 60_000;

export function fuzz<T extends [unknown, ...unknown[]]>(target: Target<T>): void {
  const { name, runs } = target;
  if (ONLY !== undefined && ONLY !== name) return;
  test(`fuzz: ${name}`, () => runTarget(target, runs), (SECONDS ?? 0) * 1000 + GRACE_MS);
}

async function runTarget<T extends [unknown, ...unknown[]]>(
  { name, inputs, check }: Target<T>,
  runs: number,
): Promise<void> {
  const property = fc.asyncProperty(...inputs, async (...input) => {
    await check(...(input as T));
  }) as fc.IAsyncProperty<T>;
  const seed = GIVEN_SEED ?? (SECONDS === undefined ? SEED : Date.now() % 2 ** 31);
  const details = await fc.check(property, {
    seed,
    ...(GIVEN_PATH === undefined ? {} : { path: GIVEN_PATH }),
    examples: corpusOf<T>(name),
    ...(SECONDS === undefined
      ? { numRuns: runs }
      : { numRuns: Number.MAX_SAFE_INTEGER, interruptAfterTimeLimit: SECONDS * 1000 }),
  });
  if (SECONDS !== undefined) console.log(`${name}: ${details.numRuns} inputs, seed ${seed}`);
  if (details.failed && details.counterexample !== null) throw failureOf(name, seed, details);
  expect(details.numRuns).toBeGreaterThan(0);
}

/** Inputs that failed once, in the form that corpus.ts writes. */
function corpusOf<T>(name: string): T[] {
  const file = join(import.meta.dir, "corpus", `${name}.json`);
  if (!existsSync(file)) return [];
  return fromCorpus(readFileSync(file, "utf8")) as T[];
}

function failureOf<T>(name: string, seed: number, details: fc.RunDetails<T>): Error {
  const { counterexample, counterexamplePath, errorInstance } = details;
  const again = `bun scripts/fuzz.ts --target ${name} --seed ${seed} --path ${counterexamplePath}`;
  const lines = [
    `${name} failed after ${details.numRuns} inputs: ${textOf(errorInstance)}`,
    `again: ${again}`,
    `a row for test/fuzz/corpus/${name}.json: ${toCorpus(counterexample)}`,
  ];
  return new Error(lines.join("\n"), { cause: errorInstance });
}

function textOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

function numberOf(text: string | undefined): number | undefined {
  return text === undefined ? undefined : Number(text);
}
