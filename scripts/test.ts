/** Everything: install, build, type check and lint, then every test (or those that are named). */
import { build } from "./build.ts";
import { check } from "./check.ts";
import { bun, run } from "./install.ts";

await build({ ifStale: true });
await check();
await run([bun, "test", "--timeout", "60000", ...process.argv.slice(2)]);
