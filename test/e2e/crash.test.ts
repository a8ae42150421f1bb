/**
 * kill -9 under load, again and again: what was acknowledged is there, and a watcher that resumes
 * sees every revision once. The log is compacted and rows are removed all the time, so that kills
 * hit those too. CRASHES=500 SEED=7 for more.
 */
import { expect, test } from "bun:test";
import { Prng } from "../../src/base/prng.ts";
import { GrpcJsClient } from "../support/grpc-js.ts";
import { type ServerProcess, startAether, until } from "../support/processes.ts";
import { check } from "./history.ts";
import { Notes, readAll, Watching, Worker } from "./load.ts";

const CRASHES = Number(process.env["CRASHES"] ?? 50);
const SEED = Number(process.env["SEED"] ?? 1);
const WORKERS = 16;
/** Acknowledged requests in one life: from killed at once to well into the load. */
const LIFE_REQUESTS_MAX = 400;
/** About the time from exec to serving: kills fall before, during and after the restore. */
const START_MS_MAX = 120;
/** Of lives, those that begin with a kill at start, or compact what the watcher has seen. */
const CHANCE_PERCENT = 30;
const TEST_MS_MAX = 60_000 + CRASHES * 2000;

/** The smallest trigger and the shortest tick allowed: the log is compacted all the time. */
const ARGS = [
  ...["--cluster-snapshot-trigger-log-entries", "10", "--log-level", "debug"],
  ...["--cluster-heartbeat-interval-ms", "10", "--cluster-election-timeout-ms", "100"],
];

interface Run {
  readonly server: ServerProcess;
  readonly notes: Notes;
  readonly workers: readonly Worker[];
  readonly watching: Watching;
  readonly prng: Prng;
}

/** One life of the server: a read of everything, then load until it is killed. */
async function live({ server, notes, workers, watching, prng }: Run): Promise<void> {
  const client = new GrpcJsClient(server.endpoint);
  try {
    notes.snapshots.push(await readAll(client, notes));
    watching.resume(client);
    const enough = notes.acknowledged + prng.below(LIFE_REQUESTS_MAX);
    const running = workers.map((worker) => worker.run(client));
    if (prng.chance(CHANCE_PERCENT)) compact(client, watching.lastRevision);
    await until("requests are acknowledged", () => notes.acknowledged >= enough);
    await server.kill();
    await Promise.all([...running, watching.ended()]);
  } finally {
    client.close();
  }
}

/** Not waited for: the kill may come first. A revision may be compacted already. */
function compact(client: GrpcJsClient, revision: number): void {
  client
    .unary("etcdserverpb.KV/Compact", { revision, physical: true })
    .catch((error: { code?: number }) => expect(error.code).toBeDefined());
}

test(
  `${CRASHES} crashes under load lose nothing and invent nothing`,
  async () => {
    await using server = await startAether({ args: ARGS });
    const notes = new Notes();
    const workers = Array.from({ length: WORKERS }, (_, i) => new Worker(i, notes, SEED));
    const run = { server, notes, workers, watching: new Watching(notes), prng: new Prng(SEED) };
    for (let crash = 1; crash <= CRASHES; crash++) {
      await live(run);
      if (run.prng.chance(CHANCE_PERCENT)) await server.crashAtStart(run.prng.below(START_MS_MAX));
      await server.restart();
    }
    const client = new GrpcJsClient(server.endpoint);
    const last = await readAll(client, notes);
    notes.snapshots.push(last);
    run.watching.resume(client);
    await run.watching.reach(last.revision);
    const { leases } = await client.unary("etcdserverpb.Lease/LeaseLeases");
    client.close();
    const history = notes.history(new Set(leases.map(({ ID }) => ID)));
    const complaints = check(history);
    if (complaints.length > 0) server.keep();
    expect(complaints).toEqual([]);
    expect(notes.acknowledged).toBeGreaterThan(CRASHES);
    expect(server.log.split("log compacted").length).toBeGreaterThan(CRASHES);
    // The same history without one write, acknowledged before some crash, is found out.
    const lost = run.prng.pick(history.writes.filter(({ revision = 0 }) => revision > 0));
    const without = history.events.filter(({ revision }) => revision !== lost.revision);
    expect(check({ ...history, events: without })).not.toEqual([]);
    const { acknowledged, events, leases: held } = notes;
    const figures = `${acknowledged} acknowledged, ${events.length} events, ${held.size} leases`;
    console.log(`crashes: ${CRASHES}, ${figures}, revision ${last.revision}`);
  },
  TEST_MS_MAX,
);
