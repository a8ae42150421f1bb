/** Runs a cluster on this machine: to play with it, to see that it recovers, to wear it out. */
import { parseArgs } from "node:util";
import type { ClusterOptions } from "../test/support/cluster.ts";
import { EXECUTABLES } from "../test/support/member-command.ts";
import { requireExecutable } from "../test/support/processes.ts";
import { build } from "./build.ts";
import { wearOut } from "./cluster/chaos.ts";
import { converse } from "./cluster/console.ts";
import { prove } from "./cluster/prove.ts";

const HELP = `Runs a cluster on this machine.

  bun scripts/cluster.ts start [3]     nodes to play with; commands come from standard input
  bun scripts/cluster.ts prove [3]     kills, pauses and restarts nodes, and says what came of it
  bun scripts/cluster.ts chaos [3]     faults under load, and a verdict on what clients saw

Options
  --port N          start: client ports from N on, every second one (default 2379)
  --proxied         start: a proxy before each node, so that it can be cut off
  --keep            start: data and logs stay when it ends
  --seconds N       chaos: no more faults after this (default 60)
  --seed N          chaos: draws requests, faults and durations (default 1)
  --only TEXT       chaos: only faults whose name holds this
  --network WHAT    chaos: proxied (default), namespaces (needs root) or loopback
  --etcd            etcd's nodes instead of ours: what is promised of both must hold for both

The exit status is 0 if all is well, 1 if not, 2 if it was asked wrongly.`;

const OPTIONS = {
  port: { type: "string" },
  proxied: { type: "boolean" },
  keep: { type: "boolean" },
  seconds: { type: "string" },
  seed: { type: "string" },
  only: { type: "string" },
  network: { type: "string" },
  etcd: { type: "boolean" },
  help: { type: "boolean", short: "h" },
} as const;

const COMMANDS = ["start", "prove", "chaos"] as const;
const NETWORKS = ["loopback", "proxied", "namespaces"] as const;
const NODES_MAX = 9;
const PORT = 2379;
const SECONDS = 60;

class UsageError extends Error {}

/** One of the words, or UsageError. */
function oneOf<Word extends string>(words: readonly Word[], given: string, what: string): Word {
  const found = words.find((word) => word === given);
  if (found !== undefined) return found;
  throw new UsageError(`${what}: expected ${words.join(", ")}, got ${JSON.stringify(given)}`);
}

function wholeNumber(given: string, what: string, min: number, max: number): number {
  const value = /^\d+$/.test(given) ? Number(given) : Number.NaN;
  if (value >= min && value <= max) return value;
  throw new UsageError(`${what}: expected a whole number from ${min} to ${max}, got ${given}`);
}

function parse(words: readonly string[]) {
  try {
    return parseArgs({ args: [...words], options: OPTIONS, allowPositionals: true });
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

/** The exit status. */
async function main(words: readonly string[]): Promise<number> {
  const { values, positionals } = parse(words);
  if (values.help === true) {
    console.log(HELP);
    return 0;
  }
  const [word, nodes = "3", stray] = positionals;
  if (word === undefined) throw new UsageError(`say what to do: ${COMMANDS.join(", ")}`);
  if (stray !== undefined) throw new UsageError(`unexpected argument ${JSON.stringify(stray)}`);
  const command = oneOf(COMMANDS, word, "command");
  const size = wholeNumber(nodes, "number of nodes", 1, NODES_MAX);
  const kind = values.etcd === true ? "etcd" : "aether";
  const isOurBuild = process.env["TEST_EXECUTABLE"] === undefined;
  if (kind === "aether" && isOurBuild) await build({ ifStale: true });
  await requireExecutable(EXECUTABLES[kind]);
  const common = { kind, size } as const satisfies ClusterOptions;
  if (command === "prove") return await prove(common);
  if (command === "chaos") {
    return await wearOut({
      ...common,
      network: oneOf(NETWORKS, values.network ?? "proxied", "--network"),
      seconds: wholeNumber(values.seconds ?? `${SECONDS}`, "--seconds", 1, 1e6),
      seed: wholeNumber(values.seed ?? "1", "--seed", 0, 2 ** 32 - 1),
      only: values.only ?? "",
    });
  }
  return await converse({
    ...common,
    network: values.proxied === true ? "proxied" : "loopback",
    firstPort: wholeNumber(values.port ?? `${PORT}`, "--port", 1, 65_000),
    keep: values.keep === true,
  });
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  if (error instanceof UsageError) {
    console.error(`${error.message}\nbun scripts/cluster.ts --help says more`);
    process.exitCode = 2;
  } else {
    console.error((error as Error).message);
    process.exitCode = 1;
  }
}
process.exit();
