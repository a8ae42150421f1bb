/**
 * Builds the witness that tests ask what etcd does: etcd, etcdctl and etcdutl of the one pinned
 * version, from the Go module proxy, into ~/.cache/aether/etcd-v3.7.1 (test/support/etcd-witness.ts
 * looks there). About a minute when nothing is cached; at once when they are there already.
 *
 *   bun scripts/etcd-witness.ts
 *
 * Ends with 1 and one line that says why when it cannot: tests then skip what needs the witness.
 */
import { mkdirSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  WITNESS_DIRECTORY,
  type WITNESS_TOOLS,
  WITNESS_VERSION,
  witness,
} from "../test/support/etcd-witness.ts";

const VERSION = `v${WITNESS_VERSION}`;

/** What the server's module is called; etcd keeps the names of the programs to itself. */
const MODULES: Readonly<Record<(typeof WITNESS_TOOLS)[number], string>> = {
  etcd: "go.etcd.io/etcd/server/v3",
  etcdctl: "go.etcd.io/etcd/etcdctl/v3",
  etcdutl: "go.etcd.io/etcd/etcdutl/v3",
};

/** A download that hangs must not hold up everybody who tests. */
const BUILD_MS_MAX = 10 * 60_000;

/** Runs go in a directory; throws with the end of what it wrote. */
function go(words: readonly string[], directory: string): void {
  const { exitCode, stderr } = Bun.spawnSync(["go", ...words], {
    cwd: directory,
    stdout: "ignore",
    stderr: "pipe",
    timeout: BUILD_MS_MAX,
    env: { ...process.env, CGO_ENABLED: "0" },
  });
  if (exitCode === 0) return;
  throw new Error(`go ${words.join(" ")} failed:\n${stderr.toString().trim().slice(-2000)}`);
}

/**
 * Through a module of our own: `go install` of a version refuses modules that replace others, and
 * etcd's do. Go checks all that it downloads against its public checksum database.
 */
function build(): void {
  const scratch = mkdtempSync(join(tmpdir(), "aether-etcd-witness-"));
  try {
    go(["mod", "init", "witness"], scratch);
    go(["get", ...Object.values(MODULES).map((path) => `${path}@${VERSION}`)], scratch);
    mkdirSync(WITNESS_DIRECTORY, { recursive: true });
    for (const [tool, path] of Object.entries(MODULES)) {
      const landing = join(WITNESS_DIRECTORY, `${tool}.${process.pid}`);
      go(["build", "-trimpath", "-o", landing, path], scratch);
      renameSync(landing, join(WITNESS_DIRECTORY, tool));
    }
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

function main(): void {
  if (witness !== undefined) {
    console.log(`etcd ${WITNESS_VERSION} is in ${witness.directory}`);
    return;
  }
  if (Bun.which("go") === null) {
    console.error(`etcd ${WITNESS_VERSION} cannot be built: there is no go on PATH`);
    process.exit(1);
  }
  try {
    build();
  } catch (error) {
    console.error(`etcd ${WITNESS_VERSION} cannot be built: ${(error as Error).message}`);
    process.exit(1);
  }
  console.log(`built etcd ${WITNESS_VERSION} into ${WITNESS_DIRECTORY}`);
}

main();
