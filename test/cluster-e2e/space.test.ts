/**
 * One member is out of space: every member refuses what takes room, any of them takes what makes
 * it, and all have the same state afterwards.
 */
import { expect, test } from "bun:test";
import { EtcdClient } from "../../src/client/etcd-client.ts";
import { GrpcError } from "../../src/client/grpc-error.ts";
import { AlarmAction, AlarmType, KV, Maintenance } from "../../src/proto/gen/etcdserverpb.ts";
import { type Cluster, withCluster } from "../support/cluster.ts";
import { until } from "../support/processes.ts";

const TEST_MS_MAX = 60_000;
const QUOTA = 1024 * 1024;
const CALL_MS = 10_000;
const VALUE = Buffer.alloc(16 * 1024, "v");

/** What a put at each member comes to: "ok", or why not. */
async function putEverywhere(clients: readonly EtcdClient[], key: string): Promise<string[]> {
  const put = async (client: EtcdClient): Promise<string> => {
    try {
      await client.put(key, VALUE);
      return "ok";
    } catch (error) {
      if (error instanceof GrpcError) return error.message;
      throw error;
    }
  };
  return await Promise.all(clients.map(put));
}

async function isRefused(clients: readonly EtcdClient[]): Promise<void> {
  const answers = await putEverywhere(clients, "more");
  expect(answers).toEqual(Array(3).fill("etcdserver: mvcc: database space exceeded"));
}

async function session(cluster: Cluster): Promise<void> {
  const clients = cluster.endpoints.map(
    (endpoint) => new EtcdClient({ endpoints: [endpoint], timeoutMs: CALL_MS }),
  );
  const [one, two, three] = clients as [EtcdClient, EtcdClient, EtcdClient];
  for (let i = 0; ; i++) {
    const [answer] = await putEverywhere([one], `fill/${i}`);
    if (answer !== "ok") break;
    expect(i).toBeLessThan(QUOTA / VALUE.length);
  }
  await until("all have heard of it", async () => {
    const statuses = await Promise.all(clients.map((c) => c.channel.call(Maintenance.Status, {})));
    return statuses.every(({ errors }) => errors.length > 0);
  });
  await isRefused(clients);
  expect((await two.get("fill/0"))?.value.length).toBe(VALUE.length);
  await three.channel.call(KV.DeleteRange, { key: "fill/", rangeEnd: "fill0", prevKv: false });
  const { header } = await one.range({ key: "x" });
  await two.channel.call(KV.Compact, { revision: header?.revision ?? 0, physical: true });
  for (const client of clients) await client.channel.call(Maintenance.Defragment, {});
  await isRefused(clients); // until somebody says that it is over
  const NONE = { alarm: AlarmType.NONE, memberID: 0n };
  const { alarms } = await three.channel.call(Maintenance.Alarm, {
    ...NONE,
    action: AlarmAction.GET,
  });
  expect(alarms.length).toBeGreaterThan(0);
  for (const raised of alarms) {
    const action = AlarmAction.DEACTIVATE;
    await three.channel.call(Maintenance.Alarm, { ...raised, action });
  }
  await until("all take puts again", async () => {
    return (await putEverywhere(clients, "again")).every((answer) => answer === "ok");
  });
  const newest = await one.range({ key: "x" });
  const revision = newest.header?.revision ?? 0;
  const hashes = await Promise.all(
    clients.map((client) => client.channel.call(Maintenance.HashKV, { revision })),
  );
  expect(new Set(hashes.map(({ hash }) => hash)).size).toBe(1);
  for (const client of clients) client.close();
}

test(
  "three members out of space and back",
  () => {
    const environmentOf = () => ({ ETCD_QUOTA_BACKEND_BYTES: `${QUOTA}` });
    const times = { heartbeatMs: 50, electionMs: 500 };
    return withCluster({ kind: "aether", size: 3, ...times, environmentOf }, session);
  },
  TEST_MS_MAX,
);
