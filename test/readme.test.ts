/** What README.md says is what happens. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { inReadme, transcript } from "../scripts/quickstart.ts";
import { type Config, loadConfig } from "../src/server/config/config.ts";

const root = join(import.meta.dir, "..");
const readme = await Bun.file(join(root, "README.md")).text();

// `bun scripts/quickstart.ts --write` renews it.
test("the quick start is a true transcript", async () => {
  expect(inReadme(readme)).toBe(await transcript());
});

test("the two commands are the first two that a reader meets, and the only ones", () => {
  const shell = [...readme.matchAll(/```sh\n([\s\S]*?)```/g)].map((match) => match[1]?.trim());
  expect(shell).toEqual(["npx -y bun@1.4.4 start", "npx -y bun@1.4.4 run test"]);
});

test("every dependency is named with its reason, and pinned", async () => {
  const { dependencies, devDependencies } = await Bun.file(join(root, "package.json")).json();
  const all: Record<string, string> = { ...dependencies, ...devDependencies };
  for (const [name, version] of Object.entries(all)) {
    expect(readme).toContain(`\`${name}\``);
    expect(version).toMatch(/^\d+\.\d+\.\d+$/);
  }
});

test("the configuration it shows is accepted and is the default one", () => {
  const shown = configIn("## Configuration");
  const initial = loadConfig({ environment: {}, flags: new Map() });
  expect({ ...shown, metricsChosen: false }).toEqual(initial);
});

test("the member's file that it shows is one of three", () => {
  const { name, founders, listenClient, listenPeer, initialState } = configIn("## A cluster");
  expect([name, listenClient, listenPeer]).toEqual(["node-1", ["10.0.0.1:2379"], []]);
  expect(initialState).toBe("new");
  const urls = founders.map((founder) => `${founder.name} ${founder.peerUrls.join()}`);
  expect(urls).toEqual([
    "node-1 http://10.0.0.1:2379",
    "node-2 http://10.0.0.2:2379",
    "node-3 http://10.0.0.3:2379",
  ]);
});

test("the file with TLS that it shows asks both clients and members for certificates", () => {
  const { listenClient, listenPeer, clientTls, peerTls, auth } = configIn("## Security");
  expect([listenClient, listenPeer]).toEqual([
    ["https://10.0.0.1:2379"],
    ["https://10.0.0.1:2380"],
  ]);
  expect(clientTls).toMatchObject({
    clientCertRequired: true,
    crlFile: "/etc/aether/clients.crl",
    caFile: "/etc/aether/clients-ca.pem",
  });
  expect(peerTls).toMatchObject({
    clientCertRequired: true,
    allowedCommonNames: ["aether-member"],
    caFile: "/etc/aether/members-ca.pem",
  });
  expect(auth.clientCertAuth).toBe(true);
});

/** What the first file under a heading comes to. */
function configIn(heading: string): Config {
  const toml = /```toml\n([\s\S]*?)```/.exec(readme.slice(readme.indexOf(heading)))?.[1] ?? "";
  const file = { name: "README.md", text: toml };
  return loadConfig({ file, environment: {}, flags: new Map() });
}

test("every room is in the table", async () => {
  const rooms = new Set<string>();
  for await (const path of new Bun.Glob("src/*/*").scan({ cwd: root })) {
    rooms.add(path.split("/")[1] as string);
  }
  for (const room of rooms) expect(readme).toContain(`| \`${room}\` |`);
});
