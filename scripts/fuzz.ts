/**
 * Fuzzing for a time, with other inputs at each run (the tests draw the same few each time).
 *
 *   bun scripts/fuzz.ts --seconds 60                       every target, a minute each
 *   bun scripts/fuzz.ts --seconds 600 --target hpack-decode
 *   bun scripts/fuzz.ts --target T --seed S [--path P]     one again, as a failure says
 *
 * Exits with 1 if a target failed; the failure says what to put into the corpus.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { bun, root } from "./install.ts";

const { values } = parseArgs({
  options: {
    seconds: { type: "string" },
    target: { type: "string" },
    seed: { type: "string" },
    path: { type: "string" },
  },
});

const SECONDS_INITIAL = 10;

const folder = join(root, "test", "fuzz");
const files = readdirSync(folder).filter((file) => file.endsWith(".test.ts"));
const chosen = files.filter((file) => values.target === undefined || holds(file, values.target));
if (chosen.length === 0) {
  console.error(
    `no target is called ${values.target}; they are:\n${files.flatMap(namesOf).join("\n")}`,
  );
  process.exit(2);
}

let failedCount = 0;
for (const file of chosen) {
  const child = Bun.spawn([bun, "test", join(folder, file)], {
    cwd: root,
    stdio: ["inherit", "inherit", "inherit"],
    env: { ...process.env, ...environment() },
  });
  if ((await child.exited) !== 0) failedCount++;
}
console.log(`${chosen.length} files of targets, ${failedCount} failed`);
process.exit(failedCount === 0 ? 0 : 1);

function environment(): Record<string, string> {
  const { seconds, target, seed, path } = values;
  return {
    FUZZ_SECONDS: seconds ?? String(SECONDS_INITIAL),
    ...(target === undefined ? {} : { FUZZ_TARGET: target }),
    ...(seed === undefined ? {} : { FUZZ_SEED: seed }),
    ...(path === undefined ? {} : { FUZZ_PATH: path }),
  };
}

function namesOf(file: string): string[] {
  const text = readFileSync(join(folder, file), "utf8");
  return [...text.matchAll(/\bname: "([\w-]+)"/g)].map(([, name = ""]) => name);
}

function holds(file: string, name: string): boolean {
  return namesOf(file).includes(name);
}
