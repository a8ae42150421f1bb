/** Three members out of one snapshot, started as a unit file of etcd's starts them. */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { EtcdClient } from "../../src/client/etcd-client.ts";
import { Cluster } from "../../src/proto/gen/etcdserverpb.ts";
import { runFake } from "../cli/fake-io.ts";
import { freePorts } from "../support/cluster.ts";
import { AETHER, type Kind, ServerProcess, startAether, until } from "../support/processes.ts";
import { fill, observe, ROOT } from "./observed.ts";
import { done, utl } from "./tools.ts";

const directory = mkdtempSync(join(tmpdir(), "aether-three-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const NAMES = ["a", "b", "c"] as const;

/** With etcd's flags and an initial cluster, which a restored member has no need of any more. */
function memberKind(name: string, peerUrl: string, cluster: string): Kind {
  return {
    name: `aether-${name}`,
    executable: AETHER,
    ready: /\bready\b/,
    command: async (port, dataDir) => {
      const client = `http://127.0.0.1:${port}`;
      return [
        AETHER,
        ...["--name", name, "--data-dir", dataDir, "--initial-cluster-state", "new"],
        ...["--listen-client-urls", client, "--advertise-client-urls", client],
        ...["--listen-peer-urls", peerUrl, "--initial-advertise-peer-urls", peerUrl],
        ...["--initial-cluster", cluster, "--initial-cluster-token", "restored"],
      ];
    },
  };
}

test("a cluster of three begins with what one server had", async () => {
  const file = join(directory, "backup.db");
  let expected: Record<string, unknown>;
  {
    await using old = await startAether();
    await fill(old.endpoint);
    expected = await observe(old.endpoint);
    const asRoot = `--user=${ROOT.name}:${ROOT.password}`;
    const saved = await runFake(["--endpoints", old.endpoint, asRoot, "snapshot", "save", file]);
    expect(saved.stdout.toString()).toBe(`Snapshot saved at ${file}\nServer version 3.7.0\n`);
  }
  const ports = await freePorts(6);
  const urls = NAMES.map((_, i) => `http://127.0.0.1:${ports[i]}`);
  const cluster = NAMES.map((name, i) => `${name}=${urls[i]}`).join(",");
  const servers: ServerProcess[] = [];
  try {
    for (const [i, name] of NAMES.entries()) {
      const url = urls[i] as string;
      const dataDir = join(directory, name);
      const who = ["--name", name, "--initial-advertise-peer-urls", url, "--data-dir", dataDir];
      const all = ["--initial-cluster", cluster, "--initial-cluster-token", "restored"];
      await done(utl("snapshot", "restore", file, ...who, ...all));
      const kind = memberKind(name, url, cluster);
      servers.push(ServerProcess.idle(kind, { dataDir, port: ports[3 + i] as number }));
    }
    await Promise.all(servers.map((server) => server.launch()));
    await Promise.all(servers.map((server) => server.ready()));
    for (const { endpoint } of servers) expect(await observe(endpoint)).toEqual(expected);
    await expectOneCluster(servers);
  } finally {
    await Promise.all(servers.map((server) => server[Symbol.asyncDispose]()));
  }
}, 60_000);

/** They know each other, and what one is told the others show. */
async function expectOneCluster(servers: readonly ServerProcess[]): Promise<void> {
  const endpoints = servers.map(({ endpoint }) => endpoint);
  const client = new EtcdClient({ endpoints, credentials: ROOT, timeoutMs: 10_000 });
  try {
    await until("all members have published themselves", async () => {
      const { members } = await client.channel.call(Cluster.MemberList, { linearizable: true });
      return (
        members
          .map(({ name }) => name)
          .sort()
          .join() === NAMES.join()
      );
    });
    const { header } = await client.put("after", Buffer.from("restore"));
    for (const endpoint of endpoints) {
      const one = new EtcdClient({ endpoints: [endpoint], credentials: ROOT, timeoutMs: 10_000 });
      expect((await one.get("after"))?.modRevision).toBe(header?.revision ?? 0);
      one.close();
    }
  } finally {
    client.close();
  }
}
