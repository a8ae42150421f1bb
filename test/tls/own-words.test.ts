/**
 * TLS in Aether's words, by configuration files: a cluster whose members prove themselves by
 * certificates, one whose members make their own, and a node that makes one for its clients.
 */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeAuthority } from "../support/authority.ts";
import { freePorts } from "../support/cluster.ts";
import { AETHER, type Kind, ServerProcess } from "../support/processes.ts";
import { etcdctlPut, knock } from "./outside.ts";

const home = mkdtempSync(join(tmpdir(), "own-words-"));
afterAll(() => rmSync(home, { recursive: true }));

const clientsAuthority = makeAuthority(home, "authority of clients");
const membersAuthority = makeAuthority(home, "authority of members");
const HERE = { names: ["localhost"], addresses: ["127.0.0.1"] };
const alice = clientsAuthority.client({ cn: "alice" });

interface Node {
  readonly client: number;
  readonly peer: number;
  readonly process: ServerProcess;
}

interface Running extends AsyncDisposable {
  readonly nodes: readonly Node[];
}

/** Starts `size` nodes by files that end with `tables`; `env` is for all. */
async function start(
  name: string,
  size: number,
  tables: string,
  env: Readonly<Record<string, string>> = {},
): Promise<Running> {
  const ports = await freePorts(2 * size);
  const nodes = Array.from({ length: size }, (_, at): Node => {
    const [client = 0, peer = 0] = [ports[at], ports[size + at]];
    const file = join(home, `${name}-${at}.toml`);
    const peers = ports.slice(size).map((each, other) => {
      return `[[cluster.peers]]\nnode_id = ${other + 1}\naddr = "127.0.0.1:${each}"\n`;
    });
    const own = [
      `node_id = ${at + 1}\naddr = "127.0.0.1:${client}"\nmetrics.listen_addr = "127.0.0.1:0"\n`,
      `cluster.peer_addr = "127.0.0.1:${peer}"\n`,
    ];
    writeFileSync(file, [...own, ...peers, tables].join(""));
    return { client, peer, process: ServerProcess.idle(kindOf(file), { port: client, env }) };
  });
  await Promise.all(nodes.map(({ process }) => process.launch()));
  await Promise.all(nodes.map(({ process }) => process.ready()));
  return {
    nodes,
    [Symbol.asyncDispose]: async () => {
      await Promise.all(nodes.map(({ process }) => process[Symbol.asyncDispose]()));
    },
  };
}

function kindOf(file: string): Kind {
  return {
    name: "aether",
    executable: AETHER,
    ready: /ready to serve client requests/,
    command: async (_port, dataDir) => [AETHER, "--config", file, "--data-dir", dataDir],
  };
}

/** What `aether ctl` prints, on both of its outputs. */
async function ctl({ client }: Node, ...words: readonly string[]): Promise<string> {
  const command = [AETHER, "ctl", "--endpoints", `https://127.0.0.1:${client}`, ...words];
  const child = Bun.spawn(command, { stdout: "pipe", stderr: "pipe" });
  const [out, err] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  return out + err;
}

test("members with certificates of one authority let nobody else in", async () => {
  const own = clientsAuthority.server(HERE);
  const member = membersAuthority.server(HERE);
  const table = (pair: typeof own, ca: string): string => {
    return `cert_file = "${pair.cert}"\nkey_file = "${pair.key}"\nca_file = "${ca}"\n`;
  };
  const tables =
    `[tls]\n${table(own, clientsAuthority.ca)}min_version = "TLS1.3"\n` +
    `[peer_tls]\n${table(member, membersAuthority.ca)}`;
  await using cluster = await start("proved", 3, tables);
  const [first, , third] = cluster.nodes as [Node, Node, Node];
  const words = ["--cacert", clientsAuthority.ca, "--cert", alice.cert, "--key", alice.key];
  expect(await ctl(first, ...words, "put", "a", "b")).toBe("OK\n");
  expect(await ctl(third, ...words, "get", "a")).toBe("a\nb\n");
  const listed = await ctl(third, ...words, "member", "list");
  expect(listed.match(/started, node-\d, https:\S+, https:\S+, false/g)).toHaveLength(3);
  const ca = clientsAuthority.ca;
  const visitor = { ca: membersAuthority.ca, path: "/members" };
  expect((await knock(first.peer, { ...visitor, certificate: member })).status).toBe(
    "HTTP/1.1 200 OK",
  );
  expect((await knock(first.peer, { ...visitor, certificate: alice })).status).toBeUndefined();
  expect((await knock(first.client, { ca, certificate: member })).status).toBeUndefined();
  expect((await knock(first.client, { ca, certificate: alice })).status).toBe("HTTP/1.1 200 OK");
  const old = { ca, certificate: alice, words: ["-tls1_2"] };
  expect((await knock(first.client, old)).alert).toBe(70); // protocol_version
}, 60_000);

test("members that make their own certificates prove themselves by the secret", async () => {
  const env = { AETHER_CLUSTER_SECRET: "a secret that is long enough" };
  await using cluster = await start(
    "made",
    3,
    "[tls]\nauto = true\n[peer_tls]\nauto = true\n",
    env,
  );
  const [first, second] = cluster.nodes as [Node, Node, Node];
  const ca = join(first.process.dataDir, "fixtures/client/cert.pem");
  expect(await ctl(first, "--cacert", ca, "put", "a", "b")).toBe("OK\n");
  expect(await ctl(second, "--insecure-skip-tls-verify", "get", "a")).toBe("a\nb\n");
  expect(await ctl(second, "--cacert", ca, "--command-timeout=1s", "get", "a")).toContain(
    "its certificate is of an unknown authority",
  );
  const peerCa = join(second.process.dataDir, "fixtures/peer/cert.pem");
  const shown = await knock(second.peer, { ca: peerCa, words: ["-verify_return_error"] });
  expect(shown.text).toContain("Verification: OK");
}, 60_000);

test("a node keeps the certificate that it made for clients, and says which it is", async () => {
  await using one = await start("kept", 1, "[tls]\nauto = true\n");
  const [node] = one.nodes as [Node];
  const { process, client } = node;
  const told = (): string | undefined => / sha256=([0-9A-F:]{95}) /.exec(process.lastLog)?.[1];
  const before = told();
  const ca = join(process.dataDir, "fixtures/client/cert.pem");
  const certificate = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/.exec(
    (await knock(client, { ca })).text,
  )?.[0];
  const seen = Bun.spawnSync(["openssl", "x509", "-noout", "-fingerprint", "-sha256"], {
    stdin: Buffer.from(certificate ?? ""),
  });
  expect(`${seen.stdout}`.trim().split("=")[1]).toBe(before as string);
  expect(await etcdctlPut(`https://localhost:${client}`, { ca })).toBe("OK");
  await process.restart();
  expect(told()).toBe(before);
  expect(await etcdctlPut(`https://localhost:${client}`, { ca })).toBe("OK");
}, 60_000);
