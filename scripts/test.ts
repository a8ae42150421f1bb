/**
 * Everything: install, build, type check and lint, then every test (or those that are named), and
 * a thousand lives of simulated clusters.
 */
import { build } from "./build.ts";
import { check } from "./check.ts";
import { bun, run } from "./install.ts";

await build({ ifStale: true });
await check();
const named = process.argv.slice(2);
await run([bun, "test", "--timeout", "60000", ...named]);
if (named.length === 0) await run([bun, "scripts/sim.ts", "--seeds", "1000"]);
