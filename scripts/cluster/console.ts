/**
 * A cluster and a prompt: commands come line by line from standard input, from a person or from a
 * script. A person's mistake is told and forgotten; a script's ends it with status 1.
 */
import { createInterface } from "node:readline";
import { Cluster, type ClusterOptions } from "../../test/support/cluster.ts";
import { CommandError, runLine } from "./commands.ts";
import { clusterTable } from "./table.ts";

export interface ConsoleOptions extends ClusterOptions {
  readonly keep: boolean;
}

/** Runs until "quit", the end of the input, SIGINT or SIGTERM; the exit status. */
export async function converse(options: ConsoleOptions): Promise<number> {
  const interrupted = new AbortController();
  const interrupt = (): void => interrupted.abort();
  process.once("SIGINT", interrupt).once("SIGTERM", interrupt);
  const fromMs = performance.now();
  await using cluster = await Cluster.start(options);
  if (options.keep) cluster.keep();
  const tookMs = performance.now() - fromMs;
  console.log(`${options.size} nodes are one cluster after ${tookMs.toFixed(0)} ms\n`);
  console.log(`${await clusterTable(cluster)}\n`);
  const status = await readCommands(cluster, interrupted.signal);
  if (options.keep) {
    for (const { name, process } of cluster.members) {
      console.log(`${name}: data in ${process.dataDir}, log in ${process.logPath}`);
    }
  }
  return status;
}

async function readCommands(cluster: Cluster, signal: AbortSignal): Promise<number> {
  const isPerson = process.stdin.isTTY === true;
  const lines = createInterface({ input: process.stdin, signal });
  const prompt = (): void => {
    if (isPerson) process.stdout.write("> ");
  };
  if (isPerson) console.log('"help" says what can be done');
  prompt();
  try {
    for await (const line of lines) {
      if (!isPerson) console.log(`> ${line}`);
      const outcome = await attempt(cluster, line);
      if (outcome === "quit") return 0;
      if (outcome === "failed" && !isPerson) return 1;
      prompt();
    }
  } finally {
    lines.close();
  }
  return 0;
}

async function attempt(cluster: Cluster, line: string): Promise<"done" | "failed" | "quit"> {
  try {
    const answer = await runLine(cluster, line);
    if (answer === undefined) return "quit";
    if (answer !== "") console.log(answer);
    return "done";
  } catch (error) {
    const isOurs = error instanceof CommandError;
    console.log(`${isOurs ? "" : "failed: "}${(error as Error).message}`);
    return "failed";
  }
}
