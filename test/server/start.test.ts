/** How a server starts and ends, in this process. */
import { afterEach, describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLog } from "../../src/observe/log.ts";
import { loadConfig } from "../../src/server/config/config.ts";
import { type RunningServer, startServer } from "../../src/server/server.ts";

/** Those of etcd's dashboards and alerts that one node can fill, with the types they expect. */
const ETCD_METRICS = [
  "etcd_server_has_leader gauge",
  "etcd_server_is_leader gauge",
  "etcd_server_leader_changes_seen_total counter",
  "etcd_server_proposals_applied_total gauge",
  "etcd_server_proposals_committed_total gauge",
  "etcd_server_proposals_failed_total counter",
  "etcd_server_proposals_pending gauge",
  "etcd_disk_wal_fsync_duration_seconds histogram",
  "etcd_mvcc_db_total_size_in_bytes gauge",
  "etcd_mvcc_db_total_size_in_use_in_bytes gauge",
  "etcd_network_client_grpc_received_bytes_total counter",
  "etcd_network_client_grpc_sent_bytes_total counter",
  "grpc_server_handled_total counter",
  "grpc_server_started_total counter",
  "process_resident_memory_bytes gauge",
];

const directories: string[] = [];

afterEach(() => {
  for (const path of directories.splice(0)) rmSync(path, { recursive: true, force: true });
});

function newDirectory(): string {
  const path = mkdtempSync(join(tmpdir(), "aether-server-"));
  directories.push(path);
  return path;
}

function start(dataDir: string, more: Record<string, string> = {}): Promise<RunningServer> {
  const flags = new Map(
    Object.entries({
      "data-dir": join(dataDir, "data"),
      addr: "127.0.0.1:0",
      "metrics-addr": "127.0.0.1:0",
      ...more,
    }),
  );
  return startServer(loadConfig({ file: undefined, environment: {}, flags }), silentLog);
}

async function failureOf(run: () => Promise<RunningServer>): Promise<string> {
  try {
    await (await run()).stop();
    return "started";
  } catch (error) {
    return (error as Error).message;
  }
}

/** The ids of the cluster and of the member that answers. */
async function clusterOf({ clientAddress }: RunningServer): Promise<unknown> {
  const answer = await fetch(`http://${clientAddress}/cluster`);
  const { clusterId, answeredBy } = (await answer.json()) as Record<string, unknown>;
  return { clusterId, answeredBy };
}

describe("a server", () => {
  test("starts on free ports, serves, ends, starts again as the same member", async () => {
    const path = newDirectory();
    const first = await start(path);
    const cluster = await clusterOf(first);
    expect((await fetch(`http://${first.metricsAddress}/readyz`)).status).toBe(200);
    await Promise.all([first.stop(), first.stop()]);
    expect(await first.ended).toBe(0);
    const second = await start(path, { "node-id": "1" });
    expect(await clusterOf(second)).toEqual(cluster);
    await second.stop();
  });

  test("shows etcd's metrics, each of them once", async () => {
    const server = await start(newDirectory());
    const answer = await fetch(`http://${server.metricsAddress}/metrics`);
    const lines = (await answer.text()).split("\n");
    await server.stop();
    const names = lines.filter((line) => line.startsWith("# TYPE ")).map((line) => line.slice(7));
    expect(new Set(names.map((name) => name.split(" ")[0])).size).toBe(names.length);
    expect(names).toEqual(expect.arrayContaining(ETCD_METRICS));
    expect(lines).toContain('etcd_server_version{server_version="3.7.1"} 1');
    expect(lines).toContain('etcd_cluster_version{cluster_version="3.7"} 1');
    expect(lines).toContain("etcd_server_has_leader 1");
    // The founding, our vote and the first entry were written at least.
    const fsyncs = lines.find((line) => line.startsWith("etcd_disk_wal_fsync_duration_seconds_c"));
    expect(Number(fsyncs?.split(" ")[1])).toBeGreaterThan(1);
  });

  test("that is already running on the directory is named", async () => {
    const path = newDirectory();
    const first = await start(path);
    expect(await failureOf(() => start(path))).toContain("in use by process");
    await first.stop();
  });

  test("gives the directory back when its address is taken", async () => {
    const path = newDirectory();
    const first = await start(newDirectory());
    const { clientAddress } = first;
    expect(await failureOf(() => start(path, { addr: clientAddress }))).toContain(clientAddress);
    await first.stop();
    await (await start(path)).stop();
  });

  test("does not take a log for its own whose identity is gone", async () => {
    const path = newDirectory();
    await (await start(path)).stop();
    rmSync(join(path, "data", "identity.json"));
    expect(await failureOf(() => start(path))).toContain("identity.json");
  });

  test("makes no directory when it cannot know whose tokens to take", async () => {
    const path = newDirectory();
    const unknown = { "auth-token": "jwt,sign-method=none" };
    expect(await failureOf(() => start(path, unknown))).toContain("sign-method none is unknown");
    expect(readdirSync(path)).toEqual([]);
  });
});
