/** Type check and lint; `--fix` writes what the formatter and the linter can mend. */
import { join } from "node:path";
import { bun, install, root, run } from "./install.ts";

/** Ends the process with a non-zero status when the types or the lint are not clean. */
export async function check(options: { fix: boolean } = { fix: false }): Promise<void> {
  await install();
  await run([bun, "scripts/generate.ts"]);
  const bin = join(root, "node_modules", ".bin");
  await run([join(bin, "tsc"), "--noEmit"]);
  await run([
    join(bin, "biome"),
    "check",
    ...(options.fix ? ["--write"] : []),
    "--error-on-warnings",
  ]);
}

if (import.meta.main) await check({ fix: process.argv.includes("--fix") });
