/** `ctl migrate`: the ways in from an etcd that runs. */
import { afterAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { EtcdClient } from "../../src/client/etcd-client.ts";
import { runFake } from "../cli/fake-io.ts";
import { startWitness, witness } from "../support/etcd-witness.ts";
import { ETCD, isInstalled, type Launcher, startAether, startEtcd } from "../support/processes.ts";
import { fill, observe, ROOT } from "./observed.ts";

const TEST_MS_MAX = 60_000;
const directory = mkdtempSync(join(tmpdir(), "aether-migrate-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const fromUser = `--from-user=${ROOT.name}:${ROOT.password}`;
const kinds: readonly (readonly [string, boolean, Launcher])[] = [
  ["3.4", await isInstalled(ETCD), startEtcd],
  ["3.7", witness !== undefined, startWitness],
];

describe("into a data directory", () => {
  for (const [version, isHere, launch] of kinds) {
    test.skipIf(!isHere)(
      `from etcd ${version}: everything stays`,
      async () => {
        await using old = await launch();
        await fill(old.endpoint);
        const expected = await observe(old.endpoint);
        const dataDir = join(directory, `from-${version}`);
        const from = ["migrate", `--from=http://${old.endpoint}`, `--data-dir=${dataDir}`];
        const refused = await runFake(from);
        expect(refused.stderr).toContain("give --from-user root:password");
        expect([refused.status, existsSync(dataDir)]).toEqual([1, false]);
        const { stdout, stderr, status } = await runFake([...from, fromUser]);
        expect([status, stdout.toString()]).toEqual([0, expect.stringContaining("Migrated ")]);
        expect(stderr).toContain(`verified: ${expected["count"]} keys at revision`);
        expect(stderr).toContain(`verified: the history has the hash ${expected["hash"]}`);
        await old.stop();
        await using server = await startAether({ dataDir });
        expect(await observe(server.endpoint)).toEqual(expected);
      },
      TEST_MS_MAX,
    );
  }
});

describe("into a cluster that runs", () => {
  for (const [version, isHere, launch] of kinds) {
    test.skipIf(!isHere)(
      `from etcd ${version}: keys, leases, users and roles; not revisions and passwords`,
      async () => {
        await using old = await launch();
        await fill(old.endpoint);
        await using server = await startAether();
        const into = [`--endpoints=${server.endpoint}`, "migrate", "--live", fromUser];
        const words = [...into, `--from=http://${old.endpoint}`];
        const { stdout, stderr, status } = await runFake(words);
        expect([status, stderr]).toEqual([0, expect.stringContaining("with the same values")]);
        expect(stdout.toString()).toContain("set one: aether ctl user passwd rita");
        const again = await runFake(words);
        expect([again.status, again.stderr]).toEqual([1, expect.stringContaining("not empty")]);
        const client = new EtcdClient({ endpoints: [server.endpoint] });
        const leased = await client.leaseTimeToLive(0x1234_5678_9abc_def0n, true);
        expect([leased.grantedTTL, leased.keys]).toEqual([6000, ["leased 1"]]);
        client.close();
      },
      TEST_MS_MAX,
    );
  }
});

test("one of both ways is to be said, and the etcd to leave", async () => {
  const cases: readonly (readonly [string[], string])[] = [
    [[], "--data-dir (keeps revisions) or --live"],
    [["--live", "--data-dir=x"], "--data-dir (keeps revisions) or --live"],
    [["--live"], "--from names one member"],
    [["--data-dir=x", "--from=http://a:1,http://b:1"], "--from names one member"],
    [["--data-dir", directory, "--from=http://a:1"], "not empty"],
  ];
  for (const [words, why] of cases) {
    const { stderr, status } = await runFake(["migrate", ...words]);
    expect([status > 0, stderr]).toEqual([true, expect.stringContaining(why)]);
  }
  expect(existsSync("x")).toBeFalse();
});
