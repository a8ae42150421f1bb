/** `check …`: tries whether a cluster is up to a load, and what the load costs it. */
import type { ArgsDef } from "citty";
import { type Key, keyFromText } from "../../../base/bytes.ts";
import type { EtcdClient } from "../../../client/etcd-client.ts";
import { GrpcError } from "../../../client/grpc-error.ts";
import { CompactionRequest, KV, Maintenance } from "../../../proto/gen/etcdserverpb.ts";
import { EXIT, ExitError } from "../../exit.ts";
import type { Command } from "../command.ts";
import type { Invocation } from "../invocation.ts";
import { prefixEnd } from "../key-range.ts";
import { countPermits, type LoadReport, putLoad, ratePermits } from "../recipes/load.ts";
import { residentBytes } from "../recipes/resident-memory.ts";

const loadArgs = (prefix: string): ArgsDef => ({
  load: {
    type: "string",
    default: "s",
    valueHint: "s|m|l|xl",
    description: "How much: small, medium, large or xLarge",
  },
  prefix: {
    type: "string",
    default: prefix,
    valueHint: "key",
    description: "What the keys that are written begin with; there must be none",
  },
  "auto-compact": { type: "boolean", description: "Drop the history afterwards" },
  "auto-defrag": { type: "boolean", description: "Give the space back afterwards" },
});

const ALIASES: ReadonlyMap<string, string> = new Map([
  ...[["small", "s"] as const, ["medium", "m"] as const],
  ...[["large", "l"] as const, ["xLarge", "xl"] as const],
]);

function chosen<T>(call: Invocation, loads: Readonly<Record<string, T>>): T {
  const word = call.args.text("load");
  const load = loads[ALIASES.get(word) ?? word];
  if (load === undefined) throw new ExitError(EXIT.UNSUPPORTED, `unknown load option ${word}`);
  return load;
}

export interface PerfLoad {
  readonly writesPerSecond: number;
  readonly clients: number;
  readonly seconds: number;
}

const PERF_LOADS: Readonly<Record<string, PerfLoad>> = {
  s: { writesPerSecond: 150, clients: 50, seconds: 60 },
  m: { writesPerSecond: 1000, clients: 200, seconds: 60 },
  l: { writesPerSecond: 8000, clients: 500, seconds: 60 },
  xl: { writesPerSecond: 15_000, clients: 1000, seconds: 60 },
};

export const checkPerf: Command = {
  name: "check perf",
  summary: "Writes at a steady rate for a minute and tells whether the cluster keeps up",
  about: "Fails below nine tenths of the rate, above half a second for a write, or on an error.",
  args: loadArgs("/etcdctl-check-perf/"),
  examples: ["check perf", "check perf --load=m --auto-compact --auto-defrag"],
  run: (call) => runPerf(call, chosen(call, PERF_LOADS)),
};

/** The check under one load; ExitError FAILED when the cluster does not keep up. */
export async function runPerf(call: Invocation, load: PerfLoad): Promise<void> {
  const prefix = keyFromText(call.args.text("prefix"));
  const clients = await clientsOf(call, load.clients);
  const [first] = clients as [EtcdClient];
  await requireEmpty(call, first, prefix, (text) => `'etcdctl ${text}'`);
  const end = AbortSignal.any([call.io.interrupted(), AbortSignal.timeout(load.seconds * 1000)]);
  const permit = ratePermits(load.writesPerSecond, end);
  const report = await putLoad(clients, { prefix, keyBytes: 256, valueBytes: 1024, permit });
  await cleanUp(call, first, prefix);
  const failed = [
    tellErrors(call, report),
    tellRate(call, report.perSecond, load.writesPerSecond),
    tellTimes(call, report),
  ];
  call.say(failed.includes(true) ? "FAIL" : "PASS");
  if (failed.includes(true)) throw new ExitError(EXIT.FAILED, "");
}

/** Slower than this is no good answer. */
const SLOWEST_SECONDS = 0.5;
const DEVIATION_SECONDS = 0.1;

function tellErrors(call: Invocation, { errors }: LoadReport): boolean {
  if (errors.size === 0) return false;
  call.say("FAIL: too many errors");
  for (const [text, count] of errors) call.say(`FAIL: ERROR(${text}) -> ${count}`);
  return true;
}

function tellRate(call: Invocation, perSecond: number, wanted: number): boolean {
  const low = perSecond / wanted <= 0.9;
  const shown = `${Math.floor(perSecond) + 1} writes/s`;
  call.say(low ? `FAIL: Throughput too low: ${shown}` : `PASS: Throughput is ${shown}`);
  return low;
}

function tellTimes(call: Invocation, { slowestSeconds, deviationSeconds }: LoadReport): boolean {
  const slow = slowestSeconds > SLOWEST_SECONDS;
  const slowest = `${slowestSeconds.toFixed(6)}s`;
  const uneven = deviationSeconds > DEVIATION_SECONDS;
  const deviation = `${deviationSeconds.toFixed(6)}s`;
  call.say(
    slow ? `Slowest request took too long: ${slowest}` : `PASS: Slowest request took ${slowest}`,
  );
  call.say(uneven ? `Stddev too high: ${deviation}` : `PASS: Stddev is ${deviation}`);
  return slow || uneven;
}

export interface DataLoad {
  readonly keys: number;
  readonly clients: number;
}

const DATA_LOADS: Readonly<Record<string, DataLoad>> = {
  s: { keys: 10_000, clients: 50 },
  m: { keys: 100_000, clients: 200 },
  l: { keys: 1_000_000, clients: 500 },
  xl: { keys: 3_000_000, clients: 1000 },
};

const HALF_KIB = 512;

export const checkDatascale: Command = {
  name: "check datascale",
  summary: "Tells how much more memory a server takes with so many keys",
  about: "It is the first of the endpoints that is asked. The keys are deleted afterwards.",
  args: loadArgs("/etcdctl-check-datascale/"),
  examples: ["check datascale --load=m"],
  run: (call) => runDatascale(call, chosen(call, DATA_LOADS)),
};

/** The check with one number of keys. */
export async function runDatascale(call: Invocation, load: DataLoad): Promise<void> {
  const prefix = keyFromText(call.args.text("prefix"));
  const [endpoint = ""] = await call.endpoints();
  const clients = await clientsOf(call, load.clients);
  const [first] = clients as [EtcdClient];
  await requireEmpty(call, first, prefix, (text) => `etcdctl ${text}`);
  const before = await residentMemory(call, endpoint, "before");
  const pairs = `${load.keys} key-value pairs`;
  const shape = `[${pairs}, 1024 bytes per key-value, ${load.clients} concurrent clients]`;
  call.say(`Start data scale check for work load ${shape}.`);
  const permit = countPermits(load.keys, call.io.interrupted());
  const plan = { prefix, keyBytes: HALF_KIB, valueBytes: HALF_KIB, permit };
  const report = await putLoad(clients, plan);
  const after = await residentMemory(call, endpoint, "after");
  await cleanUp(call, first, prefix);
  if (tellErrors(call, report)) throw new ExitError(EXIT.FAILED, "");
  const used = ((after - before) / 1024 ** 2).toFixed(2);
  call.say(`PASS: Approximate system memory used : ${used} MB.`);
}

async function residentMemory(
  call: Invocation,
  endpoint: string,
  when: "before" | "after",
): Promise<number> {
  try {
    return await residentBytes(endpoint, call.globals.tls);
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    call.say(`fetch error: ${error.message}`);
    const what = "process_resident_memory_bytes";
    call.say(`FAIL: Could not read ${what} ${when} the put operations.`);
    throw new ExitError(EXIT.FAILED, "", { cause: error });
  }
}

function clientsOf(call: Invocation, count: number): Promise<EtcdClient[]> {
  return Promise.all(Array.from({ length: count }, () => call.client()));
}

/** What is there already would be deleted with the rest. */
async function requireEmpty(
  call: Invocation,
  client: EtcdClient,
  key: Key,
  quoted: (text: string) => string,
): Promise<void> {
  const request = { key, rangeEnd: prefixEnd(key), limit: 1 };
  const { kvs } = await call.call(KV.Range, request, client);
  if (kvs.length === 0) return;
  const prefix = call.args.text("prefix");
  const how = `Delete with ${quoted(`del --prefix ${prefix}`)} first`;
  throw new ExitError(EXIT.INVALID_INPUT, `prefix ${JSON.stringify(prefix)} has keys. ${how}`);
}

/** For deleting, compacting and defragmenting, each: there may be a lot. */
const CLEAN_UP_MS = 30_000;

async function cleanUp(call: Invocation, client: EtcdClient, prefix: Key): Promise<void> {
  const options = { timeoutMs: CLEAN_UP_MS };
  let revision = 0;
  try {
    const deleted = await client.delete(prefix, { rangeEnd: prefixEnd(prefix) }, options);
    revision = deleted.header?.revision ?? 0;
  } catch (error) {
    if (!(error instanceof GrpcError)) throw error;
    call.say(`FAIL: Cleanup failed during key deletion: ERROR(${error.message})`);
    return;
  }
  if (call.args.on("auto-compact")) {
    call.say(`Compacting with revision ${revision}`);
    const request = CompactionRequest.create({ revision, physical: true });
    await client.channel.call(KV.Compact, request, options);
    call.say(`Compacted with revision ${revision}`);
  }
  if (!call.args.on("auto-defrag")) return;
  for (const endpoint of await call.endpoints()) {
    const own = await call.client([endpoint]);
    call.say(`Defragmenting ${JSON.stringify(endpoint)}`);
    await own.channel.call(Maintenance.Defragment, {}, options);
    call.say(`Defragmented ${JSON.stringify(endpoint)}`);
  }
}
