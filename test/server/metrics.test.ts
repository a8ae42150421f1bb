/** /metrics of a running node beside etcd's: the same names, with the same types. */
import { describe, expect, test } from "bun:test";
import { startWitness, witness } from "../support/etcd-witness.ts";
import { startAether } from "../support/processes.ts";
import { ETCD_METRICS } from "./etcd-metrics.ts";

/** What etcd shows and we do not, and why. */
const ABSENT: readonly (readonly [prefix: string, reason: string])[] = [
  ["etcd_debugging_disk_backend_commit_", "phases of a commit in bbolt"],
  ["etcd_debugging_mvcc_db_compaction_keys_total", "the store's Worker does not say how many"],
  ["etcd_debugging_mvcc_db_compaction_pause_", "compaction here does not hold the store up"],
  ["etcd_debugging_mvcc_index_compaction_pause_", "nor the index"],
  ["etcd_debugging_server_watch_send_loop_", "there is no such loop"],
  ["etcd_debugging_snap_", "snapshots of etcd's store of version 2"],
  ["etcd_debugging_store_", "that store itself"],
  ["etcd_snap_", "its files"],
  ["etcd_mvcc_db_open_read_transactions", "reads of the store end in the call that begins them"],
  ["etcd_server_snapshot_apply_in_progress_total", "a copy takes its place in one rename"],
  ["etcd_grpc_proxy_", "zeros in a server"],
  ["etcd_server_go_version", "no Go"],
  ["etcd_server_range_duration_seconds", "two looks at the clock take longer than most reads"],
  ["process_network_", "of the machine, not of the process"],
  ["process_virtual_memory_max_bytes", "no limit is set"],
  ["promhttp_", "Go's handler of /metrics"],
];

function typesOf(page: string): Map<string, string> {
  return new Map(
    [...page.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name, type]) => [
      name as string,
      type as string,
    ]),
  );
}

/** After a call: callers are counted once there is one. */
async function pageOf(endpoint: string): Promise<string> {
  const read = { method: "POST", body: '{"key":"YQ=="}' };
  expect((await fetch(`http://${endpoint}/v3/kv/range`, read)).status).toBe(200);
  return (await fetch(`http://${endpoint}/metrics`)).text();
}

const KNOWN = new Map(
  Object.entries(ETCD_METRICS).flatMap(([type, names]) => names.map((name) => [name, type])),
);

describe("metrics", () => {
  test("have etcd's names and types", async () => {
    await using node = await startAether({ args: ["--metrics=extensive"] });
    const ours = typesOf(await pageOf(node.endpoint));
    const missing: string[] = [];
    for (const [name, type] of KNOWN) {
      if (ABSENT.some(([prefix]) => name.startsWith(prefix))) continue;
      if (ours.get(name) !== type) missing.push(`${name} ${type}, not ${ours.get(name)}`);
    }
    expect(missing).toEqual([]);
    for (const [prefix] of ABSENT) {
      expect([...KNOWN.keys()].some((name) => name.startsWith(prefix))).toBe(true);
      expect([...ours.keys()].filter((name) => name.startsWith(prefix))).toEqual([]);
    }
  });

  test.skipIf(witness === undefined)("of etcd are those that we know", async () => {
    await using etcd = await startWitness({ args: ["--metrics=extensive"] });
    const shown = typesOf(await pageOf(etcd.endpoint));
    for (const name of [...shown.keys()]) if (name.startsWith("go_")) shown.delete(name);
    expect([...shown].sort()).toEqual([...KNOWN].sort());
  });
});
