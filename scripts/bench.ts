/**
 * All benches, each in its own process; `--short` runs each as a smoke test with small numbers.
 * A full run takes about twenty minutes and wants a machine that does nothing else.
 */
import { build } from "./build.ts";
import { bun, run } from "./install.ts";

const short = process.argv.includes("--short");

await build({ ifStale: true });
await run([bun, "bench/state.ts", ...(short ? [] : ["--full"])]);
await run([bun, "bench/storage-log.ts", short ? "50" : "1000"]);
await run([bun, "bench/one-node.ts", ...(short ? ["--short"] : [])]);
await run([bun, "bench/security.ts", ...(short ? ["--short"] : [])]);
await run([bun, "bench/three-nodes.ts", ...(short ? ["--short"] : [])]);
