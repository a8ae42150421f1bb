/** Founders that end before their first election go on where they were. */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Cluster as ClusterService } from "../../src/proto/gen/etcdserverpb.ts";
import { freePorts, withCluster } from "../support/cluster.ts";
import { AETHER, until } from "../support/processes.ts";

const TEST_MS_MAX = 60_000;

test(
  "founders that are killed before their first election start again",
  async () => {
    const root = mkdtempSync(join(tmpdir(), "founding-crash-"));
    const ports = await freePorts(4);
    const url = (at: number): string => `http://127.0.0.1:${ports[at]}`;
    const start = (number: number): Bun.Subprocess<"ignore", "ignore", "pipe"> =>
      Bun.spawn(
        [
          ...[AETHER, "--name", `m${number}`, "--data-dir", join(root, `m${number}`)],
          ...["--listen-client-urls", url(number), "--advertise-client-urls", url(number)],
          ...["--listen-peer-urls", url(number + 2)],
          ...["--initial-advertise-peer-urls", url(number + 2)],
          ...["--initial-cluster", `m0=${url(2)},m1=${url(3)}`],
          ...["--heartbeat-interval", "500", "--election-timeout", "5000"],
          ...["--metrics-listen-addr", "127.0.0.1:0"],
        ],
        { stdin: "ignore", stdout: "ignore", stderr: "pipe" },
      );
    const begun = async (number: number): Promise<boolean> =>
      await Bun.file(join(root, `m${number}`, "identity.json")).exists();
    let members = [start(0), start(1)];
    try {
      await until("both have founded", async () => (await begun(0)) && (await begun(1)));
      await Bun.sleep(300); // the log begins right after the identity
      for (const member of members) member.kill("SIGKILL");
      await Promise.all(members.map(({ exited }) => exited));
      members = [start(0), start(1)];
      const ended = Promise.race(members.map(({ exited }) => exited));
      const status = await Promise.race([ended, Bun.sleep(3000).then(() => "running")]);
      const said = status === "running" ? "" : await new Response(members[0]?.stderr).text();
      expect([status, said]).toEqual(["running", ""]);
    } finally {
      for (const member of members) member.kill("SIGKILL");
      await Promise.all(members.map(({ exited }) => exited));
      rmSync(root, { recursive: true });
    }
  },
  TEST_MS_MAX,
);

for (const asked of ["a follower", "the leader"] as const) {
  test(
    `whoever asks ${asked} to remove the leader is told that it was done`,
    async () => {
      await withCluster({ kind: "aether", size: 3 }, async (cluster) => {
        const leader = await cluster.leader();
        const follower = cluster.members.find((each) => each !== leader);
        const { id } = await leader.status(1000);
        const member = asked === "the leader" ? leader : follower;
        const answer = await member?.ask(ClusterService.MemberRemove, { ID: id });
        expect(answer?.members.length).toBe(2);
      });
    },
    TEST_MS_MAX,
  );
}
