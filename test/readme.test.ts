/** What README.md says is what happens. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { inReadme, transcript } from "../scripts/quickstart.ts";
import { loadConfig } from "../src/server/config/config.ts";

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
  const toml = /```toml\n([\s\S]*?)```/.exec(readme)?.[1] ?? "";
  const shown = loadConfig({
    file: { name: "README.md", text: toml },
    environment: {},
    flags: new Map(),
  });
  const initial = loadConfig({ environment: {}, flags: new Map() });
  expect({ ...shown, metricsChosen: false }).toEqual(initial);
});

test("every room is in the table", async () => {
  const rooms = new Set<string>();
  for await (const path of new Bun.Glob("src/*/*").scan({ cwd: root })) {
    rooms.add(path.split("/")[1] as string);
  }
  for (const room of rooms) expect(readme).toContain(`| \`${room}\` |`);
});
