/**
 * Out of space and back, by the commands that operators of etcd know; the same session with real
 * etcd shows that it is the right one. And what makes room does not hold up who writes.
 */
import { describe, expect, test } from "bun:test";
import { EtcdClient } from "../../src/client/etcd-client.ts";
import { KV, Maintenance } from "../../src/proto/gen/etcdserverpb.ts";
import { ETCDCTL, Tool } from "../cluster-e2e/tool.ts";
import { startWitness, witness } from "../support/etcd-witness.ts";
import {
  isInstalled,
  type Launcher,
  type ServerProcess,
  startAether,
  until,
} from "../support/processes.ts";
import { SteadyLoad } from "../support/steady-load.ts";

const TEST_MS_MAX = 60_000;
const KIB = 1024;
const NO_SPACE = "etcdserver: mvcc: database space exceeded";

interface Status {
  readonly Status: {
    readonly header: { readonly revision: number; readonly member_id: string };
    readonly dbSize: number;
    readonly dbSizeInUse: number;
    readonly errors?: readonly string[];
  };
}

async function statusOf(tool: Tool): Promise<Status["Status"]> {
  const [status] = await tool.json<Status[]>("endpoint", "status");
  return (status as Status).Status;
}

/** Puts new keys until one is refused; how many there were. */
async function fill(server: ServerProcess, valueBytes: number): Promise<number> {
  const client = new EtcdClient({ endpoints: [server.endpoint] });
  const value = Buffer.alloc(valueBytes, "v");
  try {
    for (let i = 0; ; i++) {
      const refused = await client.put(`fill/${i}`, value).then(
        () => undefined,
        (error: Error) => error.message,
      );
      if (refused === undefined) continue;
      expect(refused).toContain(NO_SPACE);
      return i;
    }
  } finally {
    client.close();
  }
}

/** Every step of the way out, as etcd's handbook has it. */
async function recovers(server: ServerProcess, valueBytes: number): Promise<void> {
  const tool = new Tool("etcdctl", [server.endpoint]);
  const empty = await statusOf(tool);
  expect(await fill(server, valueBytes)).toBeGreaterThan(2);
  // Both write to their files a moment after they have answered.
  let full = await statusOf(tool);
  await until("the file has grown", async () => {
    full = await statusOf(tool);
    return full.dbSize > empty.dbSize;
  });
  const alarm = `memberID:${full.header.member_id} alarm:NOSPACE`;
  expect((await tool.run("alarm", "list")).trim()).toBe(alarm);
  expect(full.errors?.map((text) => text.replaceAll(/ +/g, " ").trim())).toEqual([alarm]);
  for (const words of [
    ["put", "a", "b"],
    ["lease", "grant", "60"],
  ]) {
    const { status, stderr } = await tool.try(...words);
    expect([status, stderr]).toEqual([1, expect.stringContaining(NO_SPACE)]);
  }
  expect(await tool.run("get", "fill/0", "--keys-only")).toBe("fill/0\n\n");
  expect(await tool.run("del", "fill/", "--prefix")).toMatch(/^\d+\n$/);
  const { revision } = (await statusOf(tool)).header;
  const compacted = await tool.run("compaction", `${revision}`, "--physical");
  expect(compacted).toBe(`compacted revision ${revision}\n`);
  expect(await tool.run("defrag")).toBe(`Finished defragmenting etcd member[${server.endpoint}]\n`);
  const after = await statusOf(tool);
  expect(after.dbSize).toBeLessThan(full.dbSize);
  expect((await tool.try("put", "a", "b")).stderr).toContain(NO_SPACE);
  expect((await tool.run("alarm", "disarm")).trim()).toBe(alarm);
  expect(await tool.run("alarm", "list")).toBe("");
  expect(await tool.run("put", "a", "b")).toBe("OK\n");
  expect((await statusOf(tool)).errors).toBe(undefined);
}

const servers: readonly [string, Launcher, boolean][] = [
  ["aether", startAether, true],
  ["etcd 3.7.1", startWitness, witness !== undefined],
];
const hasEtcdctl = await isInstalled(ETCDCTL);

for (const [name, start, isHere] of servers) {
  const quotas: readonly [string, number, number][] = [
    ["13 pages", 13 * 4096, 2 * KIB],
    ["4 MiB", 4096 * KIB, 100 * KIB],
  ];
  for (const [size, quotaBytes, valueBytes] of quotas) {
    test.skipIf(!isHere || !hasEtcdctl)(
      `${name} with a quota of ${size} is filled, emptied and written to again`,
      async () => {
        await using server = await start({ env: { ETCD_QUOTA_BACKEND_BYTES: `${quotaBytes}` } });
        await recovers(server, valueBytes);
      },
      TEST_MS_MAX,
    );
  }
}

test(
  "old history goes by itself, and a quota larger than advised is pointed out",
  async () => {
    const retention = { ETCD_AUTO_COMPACTION_RETENTION: "500ms" };
    const env = { ...retention, ETCD_QUOTA_BACKEND_BYTES: "9000000000" };
    await using server = await startAether({ env });
    expect(server.log).toContain("the space quota is larger than advised");
    const client = new EtcdClient({ endpoints: [server.endpoint] });
    const first = (await client.put("k", Buffer.from("1"))).header?.revision ?? 0;
    await until("the first revision is compacted", async () => {
      await client.put("k", Buffer.from("2"));
      const seen = client.range({ key: "k", revision: first - 1 });
      return await seen.then(
        () => false,
        (error: Error) => error.message.includes("required revision has been compacted"),
      );
    });
    client.close();
  },
  TEST_MS_MAX,
);

describe("making room", () => {
  test(
    "fails no request and loses none, and the file is small afterwards",
    async () => {
      await using server = await startAether();
      const client = new EtcdClient({ endpoints: [server.endpoint] });
      const value = Buffer.alloc(KIB, "v");
      const load = new SteadyLoad({ endpoints: [server.endpoint], clients: 4 });
      let largest = 0;
      for (let round = 0; round < 3; round++) {
        for (let i = 0; i < 30; i++) {
          await Promise.all(Array.from({ length: 200 }, (_, k) => client.put(`k${k}`, value)));
        }
        const { header, dbSize } = await client.channel.call(Maintenance.Status, {});
        largest = Math.max(largest, dbSize);
        const revision = header?.revision ?? 0;
        await client.channel.call(KV.Compact, { revision, physical: round % 2 === 0 });
        await client.channel.call(Maintenance.Defragment, {});
        await load.more(10);
      }
      await load.stop();
      expect(load.failures).toEqual([]);
      const { header } = await client.channel.call(Maintenance.Status, {});
      await client.channel.call(KV.Compact, { revision: header?.revision ?? 0, physical: true });
      await client.channel.call(Maintenance.Defragment, {});
      const { dbSize, dbSizeInUse } = await client.channel.call(Maintenance.Status, {});
      expect(largest).toBeGreaterThan(4096 * KIB);
      expect(dbSize).toBe(dbSizeInUse);
      expect(dbSize).toBeLessThan(1024 * KIB);
      for (const [key, count] of load.last) {
        const stored = await client.get(key);
        expect(Number(Buffer.from(stored?.value ?? []).toString())).toBeGreaterThanOrEqual(count);
      }
      client.close();
    },
    TEST_MS_MAX,
  );
});
