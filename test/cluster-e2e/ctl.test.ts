/** A cluster is looked at and changed with etcdctl 3.4, and with our own tool in the same words. */
import { describe, expect, test } from "bun:test";
import { KV } from "../../src/proto/gen/etcdserverpb.ts";
import { type Cluster, kindsUnderTest, withCluster } from "../support/cluster.ts";
import type { Member } from "../support/member.ts";
import { isInstalled, until } from "../support/processes.ts";
import { ETCDCTL, Tool, type ToolName } from "./tool.ts";

const TEST_MS_MAX = 60_000;
const hasEtcdctl = await isInstalled(ETCDCTL);

interface Status {
  readonly Endpoint: string;
  readonly Status: {
    readonly header: { readonly member_id: string };
    readonly leader: string;
    readonly raftTerm: number;
    readonly version: string;
  };
}

interface MemberList {
  readonly members: readonly {
    readonly ID: string;
    readonly name: string;
    readonly peerURLs: readonly string[];
    readonly clientURLs: readonly string[];
    readonly isLearner?: boolean;
  }[];
}

for (const kind of kindsUnderTest()) {
  describe(kind, () => {
    for (const name of ["etcdctl", "aether ctl"] as const) {
      test.skipIf(name === "etcdctl" && !hasEtcdctl)(
        name,
        () =>
          withCluster({ kind, size: 3, heartbeatMs: 50, electionMs: 500 }, async (cluster) => {
            const put = { key: "k", value: Buffer.from("v") };
            await cluster.member(1).ask(KV.Put, put, 5000);
            await looks(cluster, name);
            await movesTheLeader(cluster, name);
            await changesMembers(cluster, name);
          }),
        TEST_MS_MAX,
      );
    }
  });
}

/** Every endpoint of the cluster is found from one of them. */
async function looks(cluster: Cluster, name: ToolName): Promise<void> {
  const tool = new Tool(name, [cluster.member(2).endpoint]);
  const lines = (await tool.run("member", "list")).trim().split("\n").sort();
  const records = await cluster.records();
  const line = ({ ID, name: called, peerURLs, clientURLs }: (typeof records)[number]): string => {
    const urls = `${peerURLs.join(",")}, ${clientURLs.join(",")}`;
    return `${ID.toString(16)}, started, ${called}, ${urls}, false`;
  };
  expect(lines).toEqual(records.map(line).sort());
  const urls = cluster.endpoints.map((endpoint) => `http://${endpoint}`).sort();
  expect(records.flatMap(({ clientURLs }) => clientURLs).sort()).toEqual(urls);
  const statuses = await tool.json<Status[]>("endpoint", "status", "--cluster");
  expect(statuses.map(({ Endpoint }) => Endpoint).sort()).toEqual(urls);
  const leaders = new Set(statuses.map(({ Status }) => Status.leader));
  const leader = statuses.filter(({ Status }) => Status.header.member_id === Status.leader);
  expect([leaders.size, leader.length]).toEqual([1, 1]);
  expect(new Set(statuses.map(({ Status }) => Status.raftTerm)).size).toBe(1);
  const hashes = await tool.json<{ HashKV: { hash: number } }[]>("endpoint", "hashkv", "--cluster");
  expect(hashes.length).toBe(3);
  expect(new Set(hashes.map(({ HashKV }) => HashKV.hash)).size).toBe(1);
  const { stdout, stderr } = await tool.try("endpoint", "health", "--cluster");
  expect(`${stdout}${stderr}`.match(/is healthy/g)?.length).toBe(3);
}

async function hexOf(member: Member): Promise<string> {
  return (await member.status()).id.toString(16);
}

async function movesTheLeader(cluster: Cluster, name: ToolName): Promise<void> {
  const leader = await cluster.leader();
  const [to, bystander] = (await cluster.followers()) as [Member, Member];
  const [from, target] = [await hexOf(leader), await hexOf(to)];
  const tool = new Tool(name, [bystander.endpoint]);
  const refused = await tool.try("move-leader", target);
  expect(refused.status).not.toBe(0);
  expect(refused.stderr).toContain("no leader endpoint given");
  const said = await tool.at(...cluster.endpoints).run("move-leader", target);
  expect(said).toContain(`Leadership transferred from ${from} to ${target}`);
  expect(await cluster.leader()).toBe(to);
}

/** A learner is added, catches up, is promoted, and removed again. */
async function changesMembers(cluster: Cluster, name: ToolName): Promise<void> {
  const tool = new Tool(name, cluster.endpoints);
  const newcomer = await cluster.newcomer();
  const words = ["member", "add", newcomer.name, `--peer-urls=${newcomer.peerUrl}`, "--learner"];
  const said = await tool.run(...words);
  // Later versions of etcdctl, and ours, say that it is a learner.
  const added = /^Member\s+([0-9a-f]+) added (?:as learner )?to cluster\s+[0-9a-f]+/.exec(said);
  const id = added?.[1] ?? "";
  const fieldOf = (field: string): string => new RegExp(`${field}="(.*)"`).exec(said)?.[1] ?? "";
  expect(fieldOf("ETCD_NAME")).toBe(newcomer.name);
  expect(fieldOf("ETCD_INITIAL_ADVERTISE_PEER_URLS")).toBe(newcomer.peerUrl);
  expect(fieldOf("ETCD_INITIAL_CLUSTER_STATE")).toBe("existing");
  expect(await tool.run("member", "list")).toContain(`${id}, unstarted, `);
  const member = await cluster.join(newcomer, fieldOf("ETCD_INITIAL_CLUSTER"));
  expect((await member.status()).isLearner).toBe(true);
  const learners = async (): Promise<string[]> => {
    const { members } = await tool.json<MemberList>("member", "list");
    const found = members.filter(({ isLearner }) => isLearner === true);
    return found.map(({ ID }) => BigInt(ID).toString(16));
  };
  expect(await learners()).toEqual([id]);
  let promoted = "";
  await until("the learner may be promoted", async () => {
    const { stdout, stderr, status } = await tool.try("member", "promote", id);
    promoted = stdout;
    return status === 0 || (stderr.includes("in sync with leader") ? false : fail(stderr));
  });
  expect(promoted).toMatch(new RegExp(`^Member\\s+${id} promoted in cluster\\s+[0-9a-f]+`));
  expect(await learners()).toEqual([]);
  expect(await tool.run("member", "remove", id)).toMatch(
    new RegExp(`^Member\\s+${id} removed from cluster\\s+[0-9a-f]+`),
  );
  await until("the removed member has ended", () => member.process.pid === undefined);
  await cluster.forget(member);
  expect((await tool.run("member", "list")).trim().split("\n").length).toBe(3);
}

function fail(text: string): never {
  throw new Error(text);
}
