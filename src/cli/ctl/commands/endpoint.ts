/** `endpoint …`: looks at servers one by one, not at the cluster as a whole. */
import { keyFromText } from "../../../base/bytes.ts";
import type { EtcdClient } from "../../../client/etcd-client.ts";
import { GrpcError } from "../../../client/grpc-error.ts";
import { KV, Maintenance } from "../../../proto/gen/etcdserverpb.ts";
import { EXIT, ExitError } from "../../exit.ts";
import { CLUSTER_ARGS, endpointsToAsk } from "../cluster-endpoints.ts";
import type { Command } from "../command.ts";
import { REPORT_FORMATS } from "../command-info.ts";
import type { Invocation } from "../invocation.ts";
import { alarmName } from "../output/alarms.ts";
import {
  type EndpointHash,
  type EndpointHealth,
  type EndpointStatus,
  hashAnswer,
  healthAnswer,
  statusAnswer,
} from "../output/reports.ts";

export const endpointHealth: Command = {
  name: "endpoint health",
  summary: "Tells whether each server can serve",
  about: "A server is healthy when it answers a linearizable read and no alarm is raised.",
  args: CLUSTER_ARGS,
  formats: REPORT_FORMATS,
  examples: ["endpoint health", "endpoint health --cluster -w table"],
  async run(call) {
    call.requireFormat();
    const endpoints = await endpointsToAsk(call);
    const reports = await Promise.all(endpoints.map((endpoint) => healthOf(call, endpoint)));
    call.print(healthAnswer(reports));
    const ill = reports.filter((report) => report.error !== "");
    if (call.globals.format === "simple") {
      for (const { endpoint, error } of ill) {
        call.io.err(`${endpoint} is unhealthy: failed to commit proposal: ${error}\n`);
      }
    }
    if (ill.length > 0) throw new ExitError(EXIT.FAILED, "unhealthy cluster");
  },
};

/** The key etcdctl reads to see whether reads work; it need not exist. */
const HEALTH_KEY = keyFromText("health");

async function healthOf(call: Invocation, endpoint: string): Promise<EndpointHealth> {
  let startedMs = performance.now();
  const report = (error: string): EndpointHealth => {
    return { endpoint, tookNs: (performance.now() - startedMs) * 1e6, error };
  };
  try {
    const client = await call.client([endpoint]);
    startedMs = performance.now(); // a password takes its time, the server does not
    await readHealthKey(call, client);
    const served = report("");
    const alarm = await alarmsOf(call, client);
    return alarm === "" ? served : { ...served, error: alarm };
  } catch (error) {
    if (!(error instanceof GrpcError || error instanceof ExitError)) throw error;
    return report(error.message);
  }
}

async function readHealthKey(call: Invocation, client: EtcdClient): Promise<void> {
  try {
    await call.call(KV.Range, { key: HEALTH_KEY }, client);
  } catch (error) {
    // Who may not read the key has an answer of the whole cluster all the same.
    if (!(error instanceof GrpcError) || error.codeName !== "PERMISSION_DENIED") throw error;
  }
}

/** What alarms there are, in words; "" for none. */
async function alarmsOf(call: Invocation, client: EtcdClient): Promise<string> {
  try {
    const { alarms } = await call.call(Maintenance.Alarm, {}, client);
    if (alarms.length === 0) return "";
    return `Active Alarm(s): ${alarms.map(({ alarm }) => `${alarmName(alarm)} `).join("")}`;
  } catch (error) {
    if (!(error instanceof GrpcError)) throw error;
    return "Unable to fetch the alarm list";
  }
}

export const endpointStatus: Command = {
  name: "endpoint status",
  summary: "Shows what each server says of itself",
  about: [
    "The columns of simple mode: endpoint, id, version, storage version, size, size in use,",
    "percentage not in use, quota, is leader, is learner, raft term, raft index, raft applied",
    "index, errors, downgrade target version, downgrade enabled.",
  ].join("\n"),
  args: CLUSTER_ARGS,
  formats: REPORT_FORMATS,
  examples: ["endpoint status -w table", "endpoint status --cluster"],
  async run(call) {
    const ask = async (endpoint: string, client: EtcdClient): Promise<EndpointStatus> => {
      return { endpoint, status: await call.call(Maintenance.Status, {}, client) };
    };
    const { reports, failure } = await askEach(call, "status", ask);
    call.print(statusAnswer(reports, call.style));
    if (failure !== undefined) throw new ExitError(EXIT.FAILED, "");
  },
};

export const endpointHashKv: Command = {
  name: "endpoint hashkv",
  summary: "Shows a hash of each server's history: equal histories have equal hashes",
  args: {
    ...CLUSTER_ARGS,
    rev: { type: "string", default: "0", valueHint: "n", description: "Up to this revision" },
  },
  formats: REPORT_FORMATS,
  examples: ["endpoint hashkv --cluster --rev=100"],
  async run(call) {
    const revision = call.args.integer("rev");
    const ask = async (endpoint: string, client: EtcdClient): Promise<EndpointHash> => {
      return { endpoint, hash: await call.call(Maintenance.HashKV, { revision }, client) };
    };
    const { reports, failure } = await askEach(call, "hash", ask);
    call.print(hashAnswer(reports, call.style));
    if (failure !== undefined) throw failure;
  },
};

interface Asked<T> {
  readonly reports: readonly T[];
  /** The last failure; each was told on standard error. */
  readonly failure: GrpcError | undefined;
}

/** Asks one server after the other; those that fail are told and left out. */
async function askEach<T>(
  call: Invocation,
  what: string,
  ask: (endpoint: string, client: EtcdClient) => Promise<T>,
): Promise<Asked<T>> {
  call.requireFormat();
  const reports: T[] = [];
  let failure: GrpcError | undefined;
  for (const endpoint of await endpointsToAsk(call)) {
    try {
      reports.push(await ask(endpoint, await call.client([endpoint])));
    } catch (error) {
      if (!(error instanceof GrpcError)) throw error;
      failure = error;
      call.io.err(`Failed to get the ${what} of endpoint ${endpoint} (${error.message})\n`);
    }
  }
  return { reports, failure };
}
