/** The address for members under attack, while a cluster of three with a secret serves (§4.2). */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Cluster } from "../support/cluster.ts";
import type { Member } from "../support/member.ts";
import { MEMBER_ENVIRONMENT } from "../support/member-command.ts";
import { attack } from "./harness.ts";

/** A quiet member holds about 90 MiB. */
const BOUND_MB = 400;
/** Of one address at once, as the server has it; the other members have some of them. */
const CONNECTIONS_MAX = 100;
const SECONDS = 0.7;
const TEST_MS_MAX = 60_000;

const SECRET = MEMBER_ENVIRONMENT.AETHER_CLUSTER_SECRET;

describe("the address for members", () => {
  let cluster: Cluster;
  let leader: Member;
  let ids: readonly string[] = [];

  beforeAll(async () => {
    cluster = await Cluster.start({ kind: "aether", size: 3 });
    leader = await cluster.leader();
    const { clusterId, id: to } = await leader.status();
    const other = cluster.members.find((member) => member !== leader) as Member;
    const { id: from } = await other.status();
    ids = [clusterId, from, to].map(String);
  }, TEST_MS_MAX);

  afterAll(async () => {
    await cluster[Symbol.asyncDispose]();
  });

  const strike = async (name: string, secret = "") => {
    const report = await attack({
      ...{ name: `peers: ${name}`, script: "peers.attack.ts", args: [name, secret, ...ids] },
      ...{ server: leader.process, port: Number(new URL(leader.peerUrl).port) },
      ...{ seconds: SECONDS, boundMb: BOUND_MB },
    });
    expect((await cluster.statuses()).length).toBe(3);
    expect(report.log).not.toContain(SECRET);
    return report;
  };

  test(
    "refuses strangers, with any proof",
    async () => {
      const { sent, log } = await strike("strangers");
      expect(sent["calls"]).toBeGreaterThan(1000);
      expect(sent["answers"]).toBeGreaterThan(100);
      // Challenge alone is answered, once a connection; it tells nothing but chance.
      expect(sent["answers with data"]).toBeLessThan((sent["calls"] as number) / 50);
      const lines = log.split("\n").filter((line) => line.includes("peer refused"));
      expect(lines.some((line) => line.includes("AETHER_CLUSTER_SECRET"))).toBe(true);
      expect(lines.length).toBeLessThan(50);
    },
    TEST_MS_MAX,
  );

  test(
    "believes nothing that it has heard before",
    async () => {
      const { sent, ended } = await strike("replay", SECRET);
      expect(ended["answered when it was said first"]).toBeGreaterThan(0);
      expect(sent["replays"]).toBeGreaterThan(100);
      expect(ended["1 of 2 calls answered"]).toBe(sent["replays"] as number);
    },
    TEST_MS_MAX,
  );

  test(
    "keeps room for members",
    async () => {
      const { sent } = await strike("crowd");
      expect(sent["connections"]).toBeGreaterThan(5 * CONNECTIONS_MAX);
      expect(sent["held"]).toBeLessThanOrEqual(3 * CONNECTIONS_MAX); // a sum over the rounds
    },
    TEST_MS_MAX,
  );

  test(
    "takes no body without end", // etcd's issue 22148
    async () => {
      const { sent, ended } = await strike("bodies");
      expect(sent["bytes"]).toBeGreaterThan(1e6);
      expect(Object.keys(ended)).not.toEqual([]);
    },
    TEST_MS_MAX,
  );
});
