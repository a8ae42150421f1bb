/** Users and tokens in a cluster of three: what one member says holds at the others, at once. */
import { describe, expect, test } from "bun:test";
import { AuthSession, type Step } from "../rpc/auth-session.ts";
import { AuthSteps } from "../rpc/auth-steps.ts";
import { type Cluster, kindsUnderTest, withCluster } from "../support/cluster.ts";
import { GrpcJsClient } from "../support/grpc-js.ts";
import { TOOK_COPY } from "../support/member-command.ts";
import { isInstalled, readLog, until } from "../support/processes.ts";
import { ETCDCTL, Tool } from "./tool.ts";

const TEST_MS_MAX = 90_000;
const FAST = { size: 3, heartbeatMs: 50, electionMs: 500 } as const;
const DENIED = "7 etcdserver: permission denied";
const BAD_TOKEN = "16 etcdserver: invalid auth token";
const EMPTY = "3 etcdserver: user name is empty";
const hasEtcdctl = await isInstalled(ETCDCTL);

const ROUNDS = 10;
const SNAPSHOT_COUNT = 100;
/** The log is not cut behind a member before it has been silent for some election timeouts. */
const AWAY_MS_MIN = 5 * FAST.electionMs;

const range = (key: string): object => ({ key: Buffer.from(key) });
const get = (key: string, more: object = {}): Step => ({
  rpc: "KV/Range",
  request: { ...range(key), ...more },
});
const put = (key: string): Step => ({ rpc: "KV/Put", request: range(key) });

/** Sessions at the members, with auth on and users and roles of AuthSteps at the first. */
async function begin(cluster: Cluster): Promise<AuthSession[]> {
  const sessions = cluster.members.map(({ endpoint }) => new AuthSession(endpoint));
  for (const step of AuthSteps.beginning()) await sessions[0]?.run(step);
  return sessions;
}

async function tokenFrom(endpoint: string, name: string): Promise<string> {
  const client = new GrpcJsClient(endpoint);
  const request = { name, password: "first" };
  const answer = await client.unary("etcdserverpb.Auth/Authenticate", request);
  client.close();
  return (answer as unknown as { token: string }).token;
}

for (const kind of kindsUnderTest()) {
  describe(kind, () => {
    test(
      "a token of one member is good at all; a right given or taken counts at all at once",
      () =>
        withCluster({ kind, ...FAST }, async (cluster) => {
          const sessions = await begin(cluster);
          const [first] = sessions as [AuthSession];
          const perm = { permType: "READWRITE", ...range("x") };
          for (let round = 0; round < ROUNDS; round++) {
            const token = await tokenFrom(cluster.member(1).endpoint, "u1");
            for (const session of sessions) {
              expect(await session.run({ ...put("b"), as: { token } })).toStartWith("OK");
            }
            const request = { name: "r1", perm };
            await first.run({ as: "root", rpc: "Auth/RoleGrantPermission", request });
            for (const session of sessions) {
              expect(await session.run({ ...get("x"), as: { token } })).toStartWith("OK");
            }
            const revoked = { role: "r1", ...range("x") };
            await first.run({ as: "root", rpc: "Auth/RoleRevokePermission", request: revoked });
            for (const session of sessions) {
              expect(await session.run({ ...get("x"), as: { token } })).toBe(DENIED);
            }
          }
          const token = await tokenFrom(cluster.member(2).endpoint, "u1");
          await first.run({ as: "root", rpc: "Auth/UserDelete", request: { name: "u1" } });
          for (const session of sessions) {
            // Who has not heard of it yet still knows the token, and that its user is nobody.
            expect([BAD_TOKEN, DENIED]).toContain(
              await session.run({ ...get("b"), as: { token } }),
            );
          }
        }),
      TEST_MS_MAX,
    );

    test(
      "members that restart, or take a copy of the state, know everybody",
      () =>
        withCluster({ kind, ...FAST, snapshotCount: SNAPSHOT_COUNT }, async (cluster) => {
          const sessions = await begin(cluster);
          const [first, , third] = sessions as [AuthSession, AuthSession, AuthSession];
          const victim = cluster.member(3);
          await victim.kill();
          const goneMs = performance.now();
          for (let i = 0; i < 4 * SNAPSHOT_COUNT || performance.now() < goneMs + AWAY_MS_MIN; i++) {
            await first.run({ ...put("b"), as: "root" });
          }
          await first.run({ as: "root", rpc: "Auth/RoleAdd", request: { name: "late" } });
          await victim.restart();
          await until("it has caught up", async () => {
            const asked = { as: "root", rpc: "Auth/RoleGet", request: { role: "late" } };
            return (await third.run(asked)).startsWith("OK");
          });
          expect((await readLog(victim.process)).match(TOOK_COPY[kind])).not.toBeNull();
          expect(await third.run({ ...get("b", { serializable: true }) })).toBe(EMPTY);
          expect(await third.run({ ...get("b"), as: "u1" })).toStartWith("OK");
          expect(await third.run({ ...get("b"), as: "u2" })).toBe(DENIED);
          for (const member of cluster.members) await member.kill();
          await Promise.all(cluster.members.map((member) => member.restart()));
          for (const session of sessions) {
            expect(await session.run({ ...get("b") })).toBe(EMPTY);
            const status = await session.run({ rpc: "Auth/AuthStatus" });
            expect(status).toBe('OK {"enabled":true,"authRevision":"13"}');
          }
        }),
      TEST_MS_MAX,
    );

    test.skipIf(!hasEtcdctl)(
      "etcdctl says who it is with --user, and is told what it may not",
      () =>
        withCluster({ kind, ...FAST }, async (cluster) => {
          const tool = new Tool("etcdctl", cluster.endpoints);
          await tool.run("user", "add", "root:pw");
          await tool.run("auth", "enable");
          expect((await tool.try("get", "k")).stderr).toContain("user name is empty");
          const root = ["--user", "root:pw"];
          await tool.run(...root, "role", "add", "r");
          await tool.run(...root, "role", "grant-permission", "r", "readwrite", "k", "l");
          await tool.run(...root, "user", "add", "u:pw");
          await tool.run(...root, "user", "grant-role", "u", "r");
          expect(await tool.run("--user", "u:pw", "put", "k1", "v")).toBe("OK\n");
          expect(await tool.run("--user", "u", "--password", "pw", "get", "k1")).toBe("k1\nv\n");
          const refused = await tool.try("--user", "u:pw", "put", "z", "v");
          expect(refused.stderr).toContain("permission denied");
          expect((await tool.try("--user", "u:no", "get", "k1")).stderr).toContain(
            "authentication",
          );
          expect(await tool.run(...root, "auth", "disable")).toBe("Authentication Disabled\n");
          expect(await tool.run("get", "k1")).toBe("k1\nv\n");
        }),
      TEST_MS_MAX,
    );
  });
}
