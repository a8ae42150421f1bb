/** Members that cannot prove who they are: refused, and both sides say what to set. */
import { afterEach, describe, expect, test } from "bun:test";
import { tmpdir } from "node:os";
import { AetherError } from "../../src/base/errors.ts";
import { Secret } from "../../src/base/secret.ts";
import { EtcdClient } from "../../src/client/etcd-client.ts";
import { GrpcError } from "../../src/client/grpc-error.ts";
import { Network } from "../../src/net/network.ts";
import { askMembers } from "../../src/net/peers/ask-members.ts";
import { socketDialer } from "../../src/net/peers/dial.ts";
import { Namespaces, whyNot } from "../support/netns.ts";
import { AETHER, freePort, type Kind, ServerProcess, until } from "../support/processes.ts";

const TEST_MS_MAX = 30_000;
const SET_IT = "AETHER_CLUSTER_SECRET";
const PREVIOUS = "AETHER_CLUSTER_SECRET_PREVIOUS";

const running: ServerProcess[] = [];

afterEach(async () => {
  for (const process of running.splice(0)) await process[Symbol.asyncDispose]();
});

interface Founder {
  readonly name: string;
  readonly host: string;
  readonly client: number;
  readonly peer: number;
}

/** Starts a founder in etcd's words, and does not wait: it may never be ready. */
async function launch(
  founder: Founder,
  all: readonly Founder[],
  env: Record<string, string>,
  prefix: readonly string[] = [],
): Promise<ServerProcess> {
  const [client, peer] = [founder.client, founder.peer].map((port) => `${founder.host}:${port}`);
  const initial = all.map(({ name, host, peer: port }) => `${name}=http://${host}:${port}`);
  const kind: Kind = {
    name: founder.name,
    executable: AETHER,
    ready: /\bready\b/,
    command: async (_port, dataDir) => [
      ...[...prefix, AETHER, "--name", founder.name, "--data-dir", dataDir],
      ...[
        "--listen-client-urls",
        `http://${client}`,
        "--advertise-client-urls",
        `http://${client}`,
      ],
      ...[
        "--listen-peer-urls",
        `http://${peer}`,
        "--initial-advertise-peer-urls",
        `http://${peer}`,
      ],
      ...["--initial-cluster", initial.join(","), "--metrics-listen-addr", "127.0.0.1:0"],
    ],
  };
  const started = ServerProcess.idle(kind, { port: founder.client, env });
  running.push(started);
  await started.launch();
  return started;
}

async function founders(...names: readonly string[]): Promise<Founder[]> {
  const found: Founder[] = [];
  for (const name of names) {
    found.push({ name, host: "127.0.0.1", client: await freePort(), peer: await freePort() });
  }
  return found;
}

describe("founders", () => {
  test.each([
    ["of different secrets", "the secret of one of them", "another secret than that one"],
    ["of which one has a secret", "the secret of one of them", ""],
  ])(
    "%s found nothing, and say what to set",
    async (_name, ...secrets) => {
      const all = await founders("a", "b");
      const started: ServerProcess[] = [];
      for (const [i, founder] of all.entries()) {
        const secret = secrets[i] as string;
        started.push(await launch(founder, all, secret === "" ? {} : { [SET_IT]: secret }));
      }
      for (const { log } of started) expect(log).not.toContain("ready");
      const says = (words: string): boolean =>
        started.every(({ log }) =>
          log.split("\n").some((line) => line.includes(words) && line.includes(SET_IT)),
        );
      await until("both say whom they refuse", () => says("peer refused"));
      await until("both say why they wait", () => says("waiting for other members"));
      for (const { log } of started) {
        for (const secret of secrets) if (secret !== "") expect(log).not.toContain(secret);
      }
    },
    TEST_MS_MAX,
  );
});

test.each(["aether", "etcd"])(
  "called %s, members of several machines do not start without a proof",
  async (role) => {
    const child = Bun.spawn([AETHER, "--name", "a", ...FAR], {
      argv0: role,
      env: { PATH: process.env.PATH ?? "" },
      cwd: tmpdir(),
      stdio: ["ignore", "pipe", "pipe"],
    });
    const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text()]);
    expect(await child.exited).not.toBe(0);
    expect(out + err).toContain("members on several machines (http://10.0.0.1:2380)");
    expect(out + err).toContain(SET_IT);
  },
  TEST_MS_MAX,
);

test(
  "members change the secret one by one, and serve meanwhile",
  async () => {
    const all = await founders("a", "b", "c");
    const envs = all.map((): Record<string, string> => ({ [SET_IT]: "the first of the secrets" }));
    const started: ServerProcess[] = [];
    for (const [i, founder] of all.entries()) {
      started.push(await launch(founder, all, envs[i] as Record<string, string>));
    }
    for (const member of started) await member.ready();
    const rounds: Record<string, string>[] = [
      { [SET_IT]: "the second of the secrets", [PREVIOUS]: "the first of the secrets" },
      { [SET_IT]: "the second of the secrets", [PREVIOUS]: "" },
    ];
    for (const round of rounds) {
      for (const [i, member] of started.entries()) {
        Object.assign(envs[i] as Record<string, string>, round);
        await member.stop();
        await putAt(all[(i + 1) % 3] as Founder); // the other two are the majority
        await member.restart();
        for (const founder of all) await putAt(founder);
      }
    }
    expect(started[0]?.log).toContain("the previous cluster secret is still taken");
    expect(started[0]?.lastLog).not.toContain("the previous cluster secret");
    for (const { log } of started) expect(log).not.toContain("of the secrets");
  },
  2 * TEST_MS_MAX,
);

/** Puts through a member, as soon as it can reach whoever leads. */
async function putAt({ host, client: port }: Founder): Promise<void> {
  const client = new EtcdClient({ endpoints: [`${host}:${port}`], timeoutMs: 2000 });
  try {
    await until("a member takes puts", async () => {
      try {
        await client.put("key", Buffer.from("value"));
        return true;
      } catch (error) {
        if (error instanceof GrpcError) return false;
        throw error;
      }
    });
  } finally {
    client.close();
  }
}

const FAR = [
  ...["--listen-peer-urls", "http://10.0.0.1:2380"],
  ...["--initial-advertise-peer-urls", "http://10.0.0.1:2380"],
  ...["--initial-cluster", "a=http://10.0.0.1:2380,b=http://10.0.0.2:2380"],
];

const missing = whyNot();
if (missing !== undefined) console.log(`members on other machines: skipped, ${missing}`);

test.skipIf(missing !== undefined)(
  "a caller of another machine is told nothing, unless it proves that it belongs here",
  async () => {
    using namespaces = new Namespaces(1);
    const host = namespaces.addressOf(1);
    const network = new Network();
    const ask = async (secret?: string): Promise<string> => {
      const asked = secret === undefined ? undefined : new Secret(secret);
      const url = `http://${host}:2380`;
      try {
        const { members } = await askMembers(socketDialer(network), url, asked, 5000);
        return members.map(({ name }) => name).join();
      } catch (error) {
        if (error instanceof AetherError) return error.detail;
        throw error;
      }
    };
    const founder = { name: "a", host, client: 2379, peer: 2380 };
    const prefix = namespaces.prefixOf(1);
    const open = await launch(founder, [founder], {}, prefix);
    await open.ready();
    expect(await ask()).toContain("peers of other machines must prove who they are: set the same");
    expect(open.log).toContain("peer refused");
    expect(open.log).toContain(SET_IT);
    await open[Symbol.asyncDispose]();
    const closed = await launch(founder, [founder], { [SET_IT]: "known to members alone" }, prefix);
    await closed.ready();
    expect(await ask()).toContain("does not prove that it knows the cluster secret");
    expect(await ask("guessed, and wrongly")).toContain("does not prove");
    expect(await ask("known to members alone")).toBe("a");
  },
  TEST_MS_MAX,
);
