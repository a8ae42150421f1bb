/**
 * etcd's own client for Go, with its recipes, does the same at etcd and at our executable
 * (test/clients/go): keys, watches, leases, locks, elections, transactions in memory, wrappers,
 * members, users. Whatever it finds it prints, and both must make it print the same.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startWitness, witness } from "../support/etcd-witness.ts";
import { type Launcher, startAether } from "../support/processes.ts";
import { runToEnd } from "../support/run.ts";

const go = Bun.which("go");

/** With nothing in Go's caches; a second when all is there. */
const BUILD_MS_MAX = 5 * 60_000;
const TEST_MS_MAX = 120_000;

const directory = mkdtempSync(join(tmpdir(), "aether-go-"));
const program = join(directory, "client");
afterAll(() => rmSync(directory, { recursive: true, force: true }));

async function findings(launch: Launcher): Promise<string[]> {
  await using server = await launch();
  const { status, stdout, stderr } = await runToEnd([program, `http://${server.endpoint}`]);
  if (status !== 0) throw new Error(`status ${status}: ${stdout}${stderr}`);
  return stdout.trimEnd().split("\n");
}

describe.skipIf(go === null || witness === undefined)("Go's clientv3", () => {
  beforeAll(() => {
    const { exitCode, stderr } = Bun.spawnSync([go ?? "", "build", "-o", program, "."], {
      cwd: join(import.meta.dir, "go"),
      env: { ...process.env, CGO_ENABLED: "0" },
      timeout: BUILD_MS_MAX,
    });
    if (exitCode !== 0) throw new Error(stderr.toString());
  }, BUILD_MS_MAX);

  test(
    "finds at Aether what it finds at etcd",
    async () => {
      const [ours, theirs] = await Promise.all([findings(startAether), findings(startWitness)]);
      expect(ours).toEqual(theirs);
      expect(ours.at(-1)).toBe("done");
    },
    TEST_MS_MAX,
  );
});
