/**
 * Users and roles against real etcd: the same calls by the same people are answered alike.
 */
import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Prng } from "../../src/base/prng.ts";
import { startWitness, witness } from "../support/etcd-witness.ts";
import { ETCD, isInstalled, type Launcher, startAether, startEtcd } from "../support/processes.ts";
import { AuthSession, type Step } from "./auth-session.ts";
import { AuthSteps } from "./auth-steps.ts";

const RUNS = Number(process.env["AUTH_RUNS"] ?? 3);
const STEPS = Number(process.env["AUTH_STEPS"] ?? 250);
const SEED = Number(process.env["AUTH_SEED"] ?? 1);
const TEST_MS_MAX = 120_000;

/** Cheap hashes: their cost is no matter of these tests. */
const args = ["--bcrypt-cost=4"];

async function same(a: AuthSession, b: AuthSession, steps: Iterable<Step>): Promise<Set<string>> {
  const answers = new Set<string>();
  let at = 0;
  for (const step of steps) {
    at++;
    const theirs = await a.run(step);
    const ours = await b.run(step);
    const where = `step ${at}: ${JSON.stringify(step)}`;
    expect(`${where}: ${ours}`).toBe(`${where}: ${theirs}`);
    answers.add(`${step.rpc} ${theirs.startsWith("OK") ? "OK" : theirs}`);
  }
  return answers;
}

function* byChance(seed: number): Iterable<Step> {
  yield* AuthSteps.beginning();
  const chance = new AuthSteps(new Prng(seed));
  for (let i = 0; i < STEPS; i++) yield chance.next();
}

/** Both servers, fresh, and the same steps; the answers, of which there must be so many. */
async function compare(
  start: Launcher,
  steps: Iterable<Step>,
  answersMin: number,
  more: readonly string[] = [],
): Promise<void> {
  await using theirs = await start({ args: [...args, ...more] });
  await using ours = await startAether({ args: [...args, ...more] });
  const [a, b] = [new AuthSession(theirs.endpoint), new AuthSession(ours.endpoint)];
  const answers = await same(a, b, steps);
  a.close();
  b.close();
  if (process.env["AUTH_SHOW"] === "1") console.error([...answers].sort().join("\n"));
  expect(answers.size).toBeGreaterThan(answersMin);
}

for (const [name, isThere, start] of [
  ["3.7.1", witness !== undefined, startWitness],
  ["3.4", await isInstalled(ETCD), startEtcd],
] as const) {
  const story = [...AuthSteps.beginning(), ...AuthSteps.story()];
  const isKept = (): Promise<void> => compare(start, story, 30);
  test.skipIf(!isThere)(`etcd ${name}: the rules that hold since 3.4`, isKept, TEST_MS_MAX);
}

test.skipIf(witness === undefined)("etcd 3.7.1: locks and elections ask for their keys", () =>
  compare(startWitness, [...AuthSteps.beginning(), ...AuthSteps.coordination()], 15),
);

describe.skipIf(witness === undefined)("etcd 3.7.1, calls by chance", () => {
  test(
    "with signed tokens, which every change of users makes old",
    async () => {
      const directory = mkdtempSync(join(tmpdir(), "auth-witness-"));
      try {
        const key = join(directory, "key");
        writeFileSync(key, "a secret of the members");
        const jwt = [`--auth-token=jwt,priv-key=${key},sign-method=HS256,ttl=10m`];
        await compare(startWitness, byChance(SEED), 40, jwt);
      } finally {
        rmSync(directory, { recursive: true });
      }
    },
    TEST_MS_MAX,
  );

  for (let seed = SEED; seed < SEED + RUNS; seed++) {
    test(`seed ${seed}`, () => compare(startWitness, byChance(seed), 40), TEST_MS_MAX);
  }
});
