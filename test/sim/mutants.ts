/**
 * Planted bugs, each a change of a few lines: the proof that the simulator would find their like.
 * `bun run sim --mutants` plants one after the other in a copy of the checkout and runs seeds until
 * it is found; a test checks that each still applies to the code as it is.
 */
import { cpSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runCampaign } from "./campaign.ts";
import { MUTANTS, type Mutant } from "./mutant-table.ts";

const root = join(import.meta.dir, "..", "..");

/** What a copy needs to run the simulator. */
const COPIED = ["src", "test", "scripts", "package.json", "tsconfig.json"] as const;

/** `text` with the bug in it; throws unless `find` is there exactly once. */
export function planted(
  text: string,
  { find, replace }: { find: string; replace: string },
): string {
  const at = text.indexOf(find);
  if (at < 0) throw new Error(`not found: ${find}`);
  if (text.includes(find, at + 1)) throw new Error(`found twice: ${find}`);
  return text.slice(0, at) + replace + text.slice(at + find.length);
}

/** Runs the named mutants, or all; the exit status. */
export async function runMutants(names: readonly string[], jobs: number): Promise<number> {
  const chosen = MUTANTS.filter(({ name }) => names.length === 0 || names.includes(name));
  if (chosen.length === 0) {
    console.error(`no such mutant; there are: ${MUTANTS.map(({ name }) => name).join(" ")}`);
    return 2;
  }
  let missed = 0;
  console.log("| mutant | seeds allowed | found by seed | as |\n|---|---|---|---|");
  for (const mutant of chosen) {
    const found = await runMutant(mutant, jobs);
    if (found === undefined) missed++;
    const how = found?.what.split("\n")[0]?.slice(0, 90) ?? "";
    const seed = found === undefined ? "NOT FOUND" : `${found.seed}`;
    console.log(`| ${mutant.name} | ${mutant.seeds} | ${seed} | ${how} |`);
  }
  return missed === 0 ? 0 : 1;
}

/** The first seed that fails with the bug; undefined if none of its seeds does. */
export async function runMutant(
  mutant: Mutant,
  jobs: number,
): Promise<{ readonly seed: number; readonly what: string } | undefined> {
  const copy = mkdtempSync(join(tmpdir(), "aether-mutant-"));
  try {
    for (const name of COPIED) cpSync(join(root, name), join(copy, name), { recursive: true });
    symlinkSync(join(root, "node_modules"), join(copy, "node_modules"));
    for (const patch of mutant.patches) {
      const path = join(copy, patch.file);
      await Bun.write(path, planted(await Bun.file(path).text(), patch));
    }
    const campaign = { from: 1, count: mutant.seeds, jobs, stopsAtFailure: true, root: copy };
    const { failures } = await runCampaign(campaign, () => {});
    return failures[0];
  } finally {
    rmSync(copy, { recursive: true });
  }
}
