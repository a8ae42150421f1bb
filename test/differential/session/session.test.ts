/**
 * One session of some 400 commands, said by etcdctl and by our client, to etcd and to our server:
 * whoever asks and whoever answers, every byte of standard output, every error and every exit
 * status is the same, but for the rows of differences.ts. SESSION_SEED draws other random commands.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { witness } from "../../support/etcd-witness.ts";
import { ETCD, isInstalled } from "../../support/processes.ts";
import { type Difference, OF_CLIENTS, OF_OLD_SERVER } from "./differences.ts";
import { cluster } from "./parts/cluster.ts";
import { commandLines } from "./parts/command-lines.ts";
import { data, watches } from "./parts/data.ts";
import { leases, locks, mirrors } from "./parts/leases.ts";
import { randomPart } from "./parts/random.ts";
import { users } from "./parts/users.ts";
import { type Client, ETCDCTL, run, type Server, stepsFor } from "./runs.ts";
import { nameOf, type Part, type Said } from "./step.ts";

const seed = Number(process.env.SESSION_SEED ?? 1);
const PARTS: readonly Part[] = [
  ...[users, cluster, data, watches, leases, locks, mirrors, commandLines],
  randomPart(seed),
];

/** Beyond the cores there are, runs only wait for each other; but much of a run is waiting. */
const RUNS_MAX = 4;
/** A session is over in seconds; a machine with other work takes longer. */
const TEST_MS = 120_000;

type Run = readonly [client: Client, server: Server];

interface Comparison {
  readonly name: string;
  readonly parts: readonly Part[];
  readonly wanted: Run;
  readonly got: Run;
  readonly differences: readonly Difference[];
}

const oldOne = (await isInstalled(ETCD)) && (await isInstalled(ETCDCTL));

const WITH_OLD: readonly Comparison[] = [
  {
    name: "etcdctl 3.4 finds our server as it finds etcd 3.4",
    parts: [cluster, data, watches, leases],
    wanted: ["etcdctl 3.4", "etcd 3.4"],
    got: ["etcdctl 3.4", "aether"],
    differences: OF_OLD_SERVER,
  },
];

const WITH_WITNESS: readonly Comparison[] = [
  {
    name: "etcdctl 3.7 finds our server as it finds etcd 3.7",
    parts: PARTS,
    wanted: ["etcdctl 3.7", "etcd 3.7"],
    got: ["etcdctl 3.7", "aether"],
    differences: [],
  },
  {
    name: "to etcd 3.7, our client is etcdctl 3.7",
    parts: PARTS,
    wanted: ["etcdctl 3.7", "etcd 3.7"],
    got: ["ctl", "etcd 3.7"],
    differences: OF_CLIENTS,
  },
  {
    name: "our client and our server are etcdctl 3.7 and etcd 3.7",
    parts: PARTS,
    wanted: ["etcdctl 3.7", "etcd 3.7"],
    got: ["ctl", "aether"],
    differences: OF_CLIENTS,
  },
];

const COMPARISONS = [...(oldOne ? WITH_OLD : []), ...(witness === undefined ? [] : WITH_WITNESS)];

/** What was said in each run of each part, as it becomes known. */
const answers = new Map<string, Promise<readonly Said[]>>();
const keyOf = (part: Part, [client, server]: Run): string => `${part.name} ${client} ${server}`;

/** Runs everything that is compared, each once, so many at a time. */
function startAll(): void {
  const queue: (() => Promise<void>)[] = [];
  for (const part of PARTS) {
    const comparisons = COMPARISONS.filter(({ parts }) => parts.includes(part));
    for (const pair of comparisons.flatMap(({ wanted, got }) => [wanted, got])) {
      const key = keyOf(part, pair);
      if (answers.has(key)) continue;
      const { promise, resolve, reject } = Promise.withResolvers<readonly Said[]>();
      promise.catch(() => undefined); // the test that asks for it fails
      answers.set(key, promise);
      queue.push(() => run(part, ...pair).then(resolve, reject));
    }
  }
  const work = async (): Promise<void> => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) await next();
  };
  working = Array.from({ length: RUNS_MAX }, work);
}

let working: Promise<void>[] = [];

describe.skipIf(COMPARISONS.length === 0)(`a session, seed ${seed}`, () => {
  beforeAll(startAll);
  afterAll(() => Promise.all(working), TEST_MS);

  for (const comparison of COMPARISONS) {
    for (const part of comparison.parts) {
      test(`${comparison.name}: ${part.name}`, () => compare(comparison, part), TEST_MS);
    }
  }

  test("it is long", () => {
    const count = PARTS.reduce((sum, { steps }) => sum + steps.length, 0);
    expect(count).toBeGreaterThan(400);
  });
});

async function compare({ wanted, got, differences }: Comparison, part: Part): Promise<void> {
  const [theirs = [], ours = []] = await Promise.all([
    answers.get(keyOf(part, wanted)),
    answers.get(keyOf(part, got)),
  ]);
  const rows = differences.filter((row) => row.part === part.name);
  const used = new Set<Difference>();
  const lines = stepsFor(part, got[0]).map((step, at) => {
    const name = nameOf(step);
    const row = rows.find((each) => each.step === name);
    const said = theirs[at] as Said;
    const own = ours[at] as Said;
    if (row === undefined) return { want: { name, ...said }, have: { name, ...own } };
    used.add(row);
    expect({ name, ...own }).not.toEqual({ name, ...said });
    return { want: { name, ...said, ...instead(row, own) }, have: { name, ...own } };
  });
  expect(lines.map(({ have }) => have)).toEqual(lines.map(({ want }) => want));
  expect(rows.filter((row) => !used.has(row))).toEqual([]);
}

/** What is said is what the row says, where it fits; else the row, to be seen in the report. */
function instead({ instead: row }: Difference, own: Said): Partial<Said> {
  const texts: { stdout?: string; stderr?: string } = {};
  for (const stream of ["stdout", "stderr"] as const) {
    const pattern = row[stream];
    if (pattern !== undefined) {
      texts[stream] = pattern.test(own[stream]) ? own[stream] : String(pattern);
    }
  }
  return { ...texts, ...(row.status === undefined ? {} : { status: row.status }) };
}
