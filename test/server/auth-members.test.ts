/** Members that begin with auth, in Aether's words: no open moment, and tokens good at all. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadConfig } from "../../src/server/config/config.ts";
import { type RunningServer, startServer } from "../../src/server/server.ts";
import { AuthSession } from "../rpc/auth-session.ts";
import { loggingTo } from "../rpc/harness.ts";
import { AETHER, freePort, requireExecutable, startAether } from "../support/processes.ts";

const TEST_MS_MAX = 60_000;
const PASSWORD = "first"; // one of those that AuthSession tries
const ENVIRONMENT = { AETHER_AUTH_ENABLED: "true", AETHER_AUTH_ROOT_PASSWORD: PASSWORD };
const REFUSED = /^3 etcdserver: user name is empty|^12 unknown service|^14 /; // not there yet

let directory = "";
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "auth-members-"));
});
afterAll(() => rmSync(directory, { recursive: true }));

const put = (token?: string) => ({
  rpc: "KV/Put",
  request: { key: Buffer.from("k") },
  ...(token === undefined ? {} : { as: { token } }),
});

async function tokenOf(endpoint: string): Promise<string> {
  const answer = await fetch(`http://${endpoint}/v3/auth/authenticate`, {
    method: "POST",
    body: JSON.stringify({ name: "root", password: PASSWORD }),
  });
  return ((await answer.json()) as { token: string }).token;
}

describe("three founders", () => {
  test(
    "serve nobody before root is there, and take each other's tokens, after a restart too",
    async () => {
      const ports = [await freePort(), await freePort(), await freePort()];
      const peers = ports
        .map((port, at) => `[[cluster.peers]]\nnode_id = ${at + 1}\naddr = "127.0.0.1:${port}"\n`)
        .join("");
      const start = (at: number): Promise<RunningServer> => {
        const own = `node_id = ${at + 1}\naddr = "127.0.0.1:${ports[at]}"\n`;
        const data = `data_dir = ${JSON.stringify(join(directory, `member${at}`))}\n`;
        const text = `${own}${data}[metrics]\nlisten_addr = "127.0.0.1:0"\n${peers}`;
        const file = { name: "aether.toml", text };
        const config = loadConfig({ file, environment: ENVIRONMENT, flags: new Map() });
        return startServer(config, loggingTo([]));
      };
      const startAll = (): Promise<RunningServer[]> => Promise.all(ports.map((_, at) => start(at)));
      let hasBegun = false;
      const heard = new Set<string>();
      const stranger = (async () => {
        const sessions = ports.map((port) => new AuthSession(`127.0.0.1:${port}`));
        while (!hasBegun) for (const each of sessions) heard.add(await each.run(put()));
        for (const each of sessions) each.close();
      })();
      let servers = await startAll();
      hasBegun = true;
      await stranger;
      expect([...heard].filter((answer) => !REFUSED.test(answer))).toEqual([]);
      const tokens = [];
      for (const { clientAddress } of servers) tokens.push(await tokenOf(clientAddress));
      expect(await refusals(servers, tokens)).toEqual([]);
      await Promise.all(servers.map((server) => server.stop()));
      servers = await startAll();
      expect(await refusals(servers, tokens)).toEqual([]);
      await Promise.all(servers.map((server) => server.stop()));
    },
    TEST_MS_MAX,
  );
});

/** What each member answers to each token, but OK. */
async function refusals(
  servers: readonly RunningServer[],
  tokens: readonly string[],
): Promise<string[]> {
  const answers: string[] = [];
  for (const { clientAddress } of servers) {
    const session = new AuthSession(clientAddress);
    for (const token of tokens) answers.push(await session.run(put(token)));
    session.close();
  }
  expect(answers.length).toBe(servers.length * tokens.length);
  return answers.filter((answer) => !answer.startsWith("OK"));
}

test(
  "a token is nobody's where a snapshot of its cluster was restored: keys are not in it",
  async () => {
    await requireExecutable(AETHER);
    await using first = await startAether({ env: ENVIRONMENT });
    const token = await tokenOf(first.endpoint);
    const [snapshot, dataDir] = [join(directory, "snapshot.db"), join(directory, "restored")];
    const save = ["--endpoints", first.endpoint, "snapshot", "save", snapshot];
    await ctl(["--user", `root:${PASSWORD}`, ...save]);
    await ctl(["snapshot", "restore", snapshot, "--data-dir", dataDir]);
    await using second = await startAether({ dataDir });
    const session = new AuthSession(second.endpoint);
    expect(await session.run(put())).toBe("3 etcdserver: user name is empty");
    expect(await session.run(put(token))).toBe("16 etcdserver: invalid auth token");
    expect(await session.run(put(await tokenOf(second.endpoint)))).toStartWith("OK");
    session.close();
  },
  TEST_MS_MAX,
);

async function ctl(args: readonly string[]): Promise<void> {
  const child = Bun.spawn([AETHER, "ctl", ...args], { stdout: "ignore", stderr: "pipe" });
  const complaint = await new Response(child.stderr).text();
  expect(`${await child.exited} ${complaint}`).toStartWith("0 ");
}
