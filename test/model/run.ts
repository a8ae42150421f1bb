/**
 * Runs random sequences against two kinds of server, each seed on a fresh pair:
 *
 *   bun test/model/run.ts [--seeds 1-20] [--steps 500] [--a etcd] [--b aether]
 *
 * A side is "etcd", "aether", or the host:port of a fresh server that somebody else started (with
 * one seed). Ends with 1 at the first difference, and keeps data and logs of both sides.
 */
import { parseArgs } from "node:util";
import { type Launcher, startAether, startEtcd } from "../support/processes.ts";
import { Endpoint } from "./endpoint.ts";
import { type OracleReport, runOracle } from "./oracle.ts";

const LAUNCHERS: Readonly<Record<string, Launcher>> = { etcd: startEtcd, aether: startAether };

interface Side extends AsyncDisposable {
  readonly endpoint: Endpoint;
  /** Keeps what is on disk; returns where that is. */
  keep(): string;
}

async function openSide(name: string, kind: string): Promise<Side> {
  const launcher = LAUNCHERS[kind];
  const server = await launcher?.();
  const endpoint = new Endpoint(`${name} (${kind})`, server?.endpoint ?? kind);
  return {
    endpoint,
    keep: () => {
      server?.keep();
      return server?.logPath ?? kind;
    },
    async [Symbol.asyncDispose]() {
      endpoint.close();
      await server?.[Symbol.asyncDispose]();
    },
  };
}

/** One seed on a fresh pair of servers. */
export async function runPair(
  kinds: readonly [string, string],
  seed: number,
  steps: number,
): Promise<OracleReport> {
  await using a = await openSide("a", kinds[0]);
  await using b = await openSide("b", kinds[1]);
  try {
    return await runOracle({ seed, steps, a: a.endpoint, b: b.endpoint });
  } catch (error) {
    console.error(`logs: ${a.keep()} ${b.keep()}`);
    throw error;
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      seeds: { type: "string", default: "1-20" },
      steps: { type: "string", default: "500" },
      a: { type: "string", default: "etcd" },
      b: { type: "string", default: "aether" },
    },
  });
  const [first = 1, last = first] = values.seeds.split("-").map(Number);
  for (let seed = first; seed <= last; seed++) {
    const report = await runPair([values.a, values.b], seed, Number(values.steps));
    console.log(JSON.stringify({ seed, ...report }));
  }
}

if (import.meta.main) {
  await main().catch((error: Error) => {
    console.error(error.message);
    process.exit(1);
  });
}
