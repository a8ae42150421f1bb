/**
 * Runs the README's quick start against the executable and prints its transcript; with --write it
 * puts it into README.md. test/readme.test.ts compares the two, so the README cannot rot.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build, executable } from "./build.ts";
import { root } from "./install.ts";

interface Step {
  /** As a reader types it. */
  readonly shown: string;
  readonly arguments: readonly string[];
  readonly input?: string;
}

const LEASE = "{lease}";

const STEPS: readonly Step[] = [
  { shown: "aether ctl put greeting hello", arguments: ["put", "greeting", "hello"] },
  { shown: "aether ctl get greeting", arguments: ["get", "greeting"] },
  {
    shown: "aether ctl put --prev-kv greeting 'good morning'",
    arguments: ["put", "--prev-kv", "greeting", "good morning"],
  },
  { shown: "aether ctl get greeting --rev=2", arguments: ["get", "greeting", "--rev=2"] },
  {
    shown: "aether ctl get --prefix gre -w json",
    arguments: ["get", "--prefix", "gre", "-w", "json"],
  },
  {
    shown:
      'aether ctl txn <<\'EOF\'\nversion("greeting") = "2"\n\nput answer 42\n\nget answer\n\nEOF',
    arguments: ["txn"],
    input: 'version("greeting") = "2"\n\nput answer 42\n\nget answer\n\n',
  },
  { shown: "aether ctl lease grant 60", arguments: ["lease", "grant", "60"] },
  {
    shown: `aether ctl put --lease=${LEASE} session alive`,
    arguments: ["put", `--lease=${LEASE}`, "session", "alive"],
  },
  { shown: `aether ctl lease revoke ${LEASE}`, arguments: ["lease", "revoke", LEASE] },
  { shown: "aether ctl get session", arguments: ["get", "session"] },
  { shown: "aether ctl del greeting", arguments: ["del", "greeting"] },
  { shown: "aether ctl endpoint health", arguments: ["endpoint", "health"] },
];

const BEGIN = "<!-- quickstart: written by scripts/quickstart.ts -->";
const END = "<!-- quickstart: end -->";

/** The transcript as the README shows it: lease ids and durations replaced by stable ones. */
export async function transcript(): Promise<string> {
  const directory = mkdtempSync(join(tmpdir(), "aether-quickstart-"));
  const port = await freePort();
  const address = `127.0.0.1:${port}`;
  const node = Bun.spawn([executable, "--addr", address, "--metrics-listen-addr", "127.0.0.1:0"], {
    cwd: directory,
    stdio: ["ignore", "pipe", "inherit"],
  });
  try {
    await lineWith(node.stdout, "ready to serve client requests");
    return await runSteps(address);
  } finally {
    node.kill("SIGTERM");
    await node.exited;
    rmSync(directory, { recursive: true, force: true });
  }
}

async function runSteps(address: string): Promise<string> {
  const lines: string[] = [];
  let lease = "";
  for (const step of STEPS) {
    const fill = (text: string): string => text.replaceAll(LEASE, lease);
    const command = Bun.spawn(
      [executable, "ctl", "--endpoints", address, ...step.arguments.map(fill)],
      { stdin: new Blob([step.input ?? ""]), stdout: "pipe", stderr: "pipe" },
    );
    const output = (await command.stdout.text()) + (await command.stderr.text());
    if ((await command.exited) !== 0) throw new Error(`${step.shown} failed: ${output}`);
    lease = /^lease ([0-9a-f]{16}) granted/.exec(output)?.[1] ?? lease;
    lines.push(`$ ${fill(step.shown)}`, output.trimEnd());
  }
  return stable(lines.filter((line) => line !== "").join("\n"), lease, address);
}

/** What differs from run to run, replaced. */
function stable(text: string, lease: string, address: string): string {
  return text
    .replaceAll(lease, "694d81417acd4754")
    .replaceAll(address, "127.0.0.1:2379")
    .replace(/took = [\d.]+[mµ]?s/, "took = 1.2ms")
    .replace(/"cluster_id":\d+/, '"cluster_id":14841639068965178418')
    .replace(/"member_id":\d+/, '"member_id":10276657743932975437');
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}

async function lineWith(stream: ReadableStream<Uint8Array>, wanted: string): Promise<void> {
  let seen = "";
  for await (const chunk of stream) {
    seen += Buffer.from(chunk).toString();
    if (seen.includes(wanted)) return;
  }
  throw new Error(`the node ended without saying "${wanted}":\n${seen}`);
}

/** The README's part between the marks. */
export function inReadme(readme: string): string {
  const [, rest = ""] = readme.split(BEGIN);
  const [part = ""] = rest.split(END);
  return part.replace(/^\s*```console\n/, "").replace(/\n```\s*$/, "");
}

if (import.meta.main) {
  await build({ ifStale: true });
  const text = await transcript();
  console.log(text);
  if (process.argv.includes("--write")) {
    const path = join(root, "README.md");
    const readme = await Bun.file(path).text();
    const [before, rest = ""] = readme.split(BEGIN);
    const [, after = ""] = rest.split(END);
    const block = `${BEGIN}\n\`\`\`console\n${text}\n\`\`\`\n${END}`;
    await Bun.write(path, before + block + after);
  }
}
