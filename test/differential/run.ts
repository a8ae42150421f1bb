/**
 * Plays seeded sequences to two kinds of server, each seed on a fresh pair, and shows the first
 * difference of a seed cut down to the steps that it takes:
 *
 *   bun test/differential/run.ts [--seeds 1-20] [--steps 500] [--a etcd-3.7] [--b aether]
 *                                [--rooms keys,watch,leases] [--operations 100000] [--go-on]
 *   bun test/differential/run.ts --replay steps.json
 *
 * A side is etcd-3.4, etcd-3.7 or aether. `--operations` goes on from the first seed until so many
 * calls were compared. Ends with 1 if there was a difference.
 */
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { ALL_ROOMS, type Room, sequenceOf } from "./generate/sequence.ts";
import { minimise } from "./minimise.ts";
import { Mismatch, type PairReport, playPair } from "./pair.ts";
import { openSide, type SideKind } from "./servers.ts";
import type { Step } from "./steps.ts";

export interface Pair {
  readonly a: SideKind;
  readonly b: SideKind;
}

/** Plays steps to a fresh pair of servers; throws Mismatch. */
export async function play({ a, b }: Pair, steps: readonly Step[]): Promise<PairReport> {
  await using left = await openSide(a);
  await using right = await openSide(b);
  const isOld = a === "etcd-3.4" || b === "etcd-3.4";
  return await playPair({ a: left.side, b: right.side, isOld }, steps);
}

/** What is left of a sequence when all is left out that the difference does not need. */
async function reduced(pair: Pair, steps: readonly Step[], found: Mismatch): Promise<string> {
  const failing = steps.slice(0, found.step + 1);
  const least = await minimise(failing, async (some) => {
    try {
      await play(pair, some);
      return false;
    } catch (error) {
      if (error instanceof Mismatch) return error.kind === found.kind;
      throw error;
    }
  });
  const path = join(mkdtempSync(join(tmpdir(), "aether-differential-")), "steps.json");
  writeFileSync(path, JSON.stringify(least, null, 1));
  const seen = await play(pair, least).then(
    () => "not seen again",
    (error: Error) => error.message,
  );
  const replay = `bun test/differential/run.ts --a ${pair.a} --b ${pair.b} --replay ${path}`;
  const left = `${least.length} of ${failing.length} steps show it`;
  return `${left}:\n${seen}\nreplay: ${replay}`;
}

interface Options {
  readonly pair: Pair;
  readonly rooms: readonly Room[];
  readonly steps: number;
  readonly reduce: boolean;
}

/** One seed; true if the two agree. */
async function playSeed(seed: number, options: Options): Promise<PairReport | undefined> {
  const { pair, steps: count, reduce } = options;
  // Keys of locks hold ids that the server drew, so hashes are compared where there are none.
  const rooms = options.rooms.filter((room) => room !== "owners" || seed % 2 === 0);
  const isOld = pair.a === "etcd-3.4" || pair.b === "etcd-3.4";
  const steps = sequenceOf({ seed, steps: count, rooms, isOld });
  try {
    const report = await play(pair, steps);
    const refusals = Object.keys(report.answers).length;
    console.log(JSON.stringify({ seed, calls: report.calls, events: report.events, refusals }));
    return report;
  } catch (error) {
    if (!(error instanceof Mismatch)) throw error;
    console.error(`seed ${seed}, ${error.message}`);
    if (reduce) console.error(await reduced(pair, steps, error));
    return undefined;
  }
}

function roomsOf(text: string): Room[] {
  const rooms = text.split(",") as Room[];
  const strange = rooms.find((room) => !ALL_ROOMS.includes(room));
  if (strange === undefined) return rooms;
  throw new Error(`no room ${strange}: ${ALL_ROOMS.join(", ")}`);
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      seeds: { type: "string", default: "1-20" },
      steps: { type: "string", default: "500" },
      a: { type: "string", default: "etcd-3.7" },
      b: { type: "string", default: "aether" },
      rooms: { type: "string", default: ALL_ROOMS.join(",") },
      operations: { type: "string", default: "0" },
      "go-on": { type: "boolean", default: false },
      "no-minimise": { type: "boolean", default: false },
      replay: { type: "string" },
    },
  });
  const pair = { a: values.a as SideKind, b: values.b as SideKind };
  if (values.replay !== undefined) {
    const steps = (await Bun.file(values.replay).json()) as Step[];
    console.log(JSON.stringify(await play(pair, steps)));
    return 0;
  }
  const options = {
    pair,
    rooms: roomsOf(values.rooms),
    steps: Number(values.steps),
    reduce: !values["no-minimise"],
  };
  const [first = 1, last = first] = values.seeds.split("-").map(Number);
  const operations = Number(values.operations);
  let [calls, failed] = [0, 0];
  for (let seed = first; operations > 0 ? calls < operations : seed <= last; seed++) {
    const report = await playSeed(seed, options);
    calls += report?.calls ?? 0;
    if (report !== undefined) continue;
    failed += 1;
    if (!values["go-on"]) return 1;
  }
  console.log(JSON.stringify({ calls, failed }));
  return failed > 0 ? 1 : 0;
}

if (import.meta.main) {
  process.exit(
    await main().catch((error: Error) => {
      console.error(error.message);
      return 1;
    }),
  );
}
