/** Runs one node in the foreground from a bare checkout: install, build if stale, start. */
import { build, executable } from "./build.ts";
import { root } from "./install.ts";

await build({ ifStale: true });
const child = Bun.spawn([executable, ...process.argv.slice(2)], {
  cwd: root,
  stdio: ["inherit", "inherit", "inherit"],
  env: { ...process.env, AETHER_HINTS: process.env["AETHER_HINTS"] ?? "1" },
});
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.on(signal, () => child.kill(signal));
}
process.exit(await child.exited);
