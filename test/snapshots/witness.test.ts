/**
 * Snapshots both ways, with etcd as the witness: whoever restores from whomever's snapshot answers
 * as the server did that it is of. Debian's etcd 3.4 and, where it is, etcd 3.7.1.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startWitness, witness } from "../support/etcd-witness.ts";
import {
  ETCD,
  isInstalled,
  type Launcher,
  type ServerProcess,
  startAether,
  startEtcd,
  until,
} from "../support/processes.ts";
import { fill, observe, ROOT } from "./observed.ts";
import { done, program, utl } from "./tools.ts";

const ETCDCTL_34 = "/usr/bin/etcdctl";
const TEST_MS_MAX = 60_000;

const has34 = (await isInstalled(ETCD)) && (await isInstalled(ETCDCTL_34));
const directory = mkdtempSync(join(tmpdir(), "aether-snapshots-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

let count = 0;
const fresh = (name: string): string => join(directory, `${++count}-${name}`);

const asRoot = `--user=${ROOT.name}:${ROOT.password}`;

/** Saves with one of etcd's clients; the file. */
async function save(ctl: string, server: ServerProcess): Promise<string> {
  const file = fresh("saved.db");
  const endpoint = `--endpoints=${server.endpoint}`;
  await done(program(ctl, endpoint, asRoot, "snapshot", "save", file));
  return file;
}

/** Starts a server on a restored directory and compares what it says. */
async function expectRestored(
  launch: Launcher,
  dataDir: string,
  expected: Record<string, unknown>,
): Promise<void> {
  await using server = await launch({ dataDir });
  expect(await observe(server.endpoint)).toEqual(expected);
}

describe.skipIf(!has34 && witness === undefined)("what Aether saves, etcd restores", () => {
  let server: ServerProcess;
  let expected: Record<string, unknown>;
  beforeAll(async () => {
    server = await startAether();
    await fill(server.endpoint);
    expected = await observe(server.endpoint);
  }, TEST_MS_MAX);
  afterAll(() => server[Symbol.asyncDispose]());

  test.skipIf(!has34)(
    "etcd 3.4",
    async () => {
      const file = await save(ETCDCTL_34, server);
      const dataDir = fresh("etcd34");
      await done(program(ETCDCTL_34, "snapshot", "restore", file, "--data-dir", dataDir));
      await using restored = await startEtcd({ dataDir });
      // 3.4 has no tombstone at the compaction point, and so another hash and no event of it.
      const { hash: _, watched: __, ...rest } = await observe(restored.endpoint);
      const { hash: ___, watched: ____, ...same } = expected;
      expect(rest).toEqual(same);
    },
    TEST_MS_MAX,
  );

  test.skipIf(witness === undefined)(
    "etcd 3.7",
    async () => {
      const file = await save(witness?.etcdctl ?? "", server);
      const dataDir = fresh("etcd37");
      const restore = ["snapshot", "restore", file, "--data-dir", dataDir];
      await done(program(witness?.etcdutl ?? "", ...restore));
      await expectRestored(startWitness, dataDir, expected);
    },
    TEST_MS_MAX,
  );

  test(
    "Aether",
    async () => {
      const file = await save(witness?.etcdctl ?? ETCDCTL_34, server);
      const dataDir = fresh("aether");
      await done(utl("snapshot", "restore", file, "--data-dir", dataDir));
      await expectRestored(startAether, dataDir, expected);
    },
    TEST_MS_MAX,
  );
});

describe("what etcd saves, Aether restores", () => {
  const kinds: readonly (readonly [string, boolean, Launcher, string])[] = [
    ["3.4", has34, startEtcd, ETCDCTL_34],
    ["3.7", witness !== undefined, startWitness, witness?.etcdctl ?? ""],
  ];
  for (const [version, isHere, launch, ctl] of kinds) {
    test.skipIf(!isHere)(
      `etcd ${version}`,
      async () => {
        await using old = await launch();
        await fill(old.endpoint);
        const expected = await observe(old.endpoint);
        const file = await save(ctl, old);
        const dataDir = fresh("aether");
        await done(utl("snapshot", "restore", file, "--data-dir", dataDir));
        await expectRestored(startAether, dataDir, expected);
      },
      TEST_MS_MAX,
    );
  }
});

/** Without it etcd 3.6 refuses the file: `version "3.7.0" is not supported`. */
describe.skipIf(witness === undefined)("once a downgrade is begun, what is saved is of 3.6", () => {
  for (const [name, launch] of [
    ["Aether", startAether],
    ["etcd 3.7", startWitness],
  ] as const) {
    test(
      name,
      async () => {
        await using server = await launch();
        const ctl = [witness?.etcdctl ?? "", `--endpoints=${server.endpoint}`] as const;
        await done(program(...ctl, "downgrade", "enable", "3.6"));
        await until(
          "the storage version is 3.6.0",
          async () => {
            const said = await done(program(...ctl, "endpoint", "status", "-w", "json"));
            return said.includes('"storageVersion":"3.6.0"');
          },
          TEST_MS_MAX,
        );
        const file = fresh("downgraded.db");
        expect(await done(program(...ctl, "snapshot", "save", file))).toContain("version 3.6.0");
        const status = await done(utl("snapshot", "status", file, "-w", "json"));
        expect(JSON.parse(status).version).toBe("3.6.0");
      },
      TEST_MS_MAX,
    );
  }
});

describe.skipIf(witness === undefined)("etcdutl's words", () => {
  let files: readonly string[];
  beforeAll(async () => {
    await using ours = await startAether();
    const empty = fresh("empty.db");
    const ctl = witness?.etcdctl ?? "";
    await done(program(ctl, `--endpoints=${ours.endpoint}`, "snapshot", "save", empty));
    await fill(ours.endpoint);
    await using theirs = await startWitness();
    await fill(theirs.endpoint);
    files = [empty, await save(ctl, ours), await save(ctl, theirs)];
  }, TEST_MS_MAX);

  /** Both tools on a copy each: etcdutl's hashkv writes to the file. */
  async function both(words: readonly string[], file: string): Promise<unknown[]> {
    const runs: unknown[] = [];
    for (const run of [utl, (...rest: string[]) => program(witness?.etcdutl ?? "", ...rest)]) {
      const copy = join(directory, "copy.db");
      copyFileSync(file, copy);
      runs.push(await run(...words, copy));
    }
    return runs;
  }

  test(
    "status and hashkv, in every form",
    async () => {
      for (const file of files) {
        for (const format of ["simple", "json", "fields", "table", "protobuf"]) {
          for (const command of [["snapshot", "status"], ["hashkv"], ["hashkv", "--rev=410"]]) {
            // A form that a command does not have is refused before anything is read.
            if (format === "protobuf" && command.length > 1) continue;
            const [ours, theirs] = await both(["-w", format, ...command], file);
            expect(ours).toEqual(theirs);
          }
        }
      }
    },
    TEST_MS_MAX,
  );

  test(
    "what cannot be restored",
    async () => {
      const [, file = ""] = files;
      const cases: readonly (readonly string[])[] = [
        [],
        [file, file],
        [file, "--bump-revision=5"],
        [file, "--mark-compacted"],
        [file, "--name=other"],
        [file, "--initial-cluster=bad"],
        [file, "--data-dir", directory],
        [file, "--wal-dir", directory],
      ];
      for (const words of cases) {
        const ours = await utl("snapshot", "restore", "--data-dir", fresh("x"), ...words);
        const command = ["snapshot", "restore", "--data-dir", fresh("x"), ...words];
        const theirs = await program(witness?.etcdutl ?? "", ...command);
        expect([words, ours.stderr, ours.status]).toEqual([words, theirs.stderr, theirs.status]);
      }
    },
    TEST_MS_MAX,
  );

  test(
    "a revision is bumped and counts as compacted",
    async () => {
      const [, file = ""] = files;
      const bump = ["--bump-revision=1000000", "--mark-compacted", "--data-dir"];
      const [ours, theirs] = [fresh("aether"), fresh("etcd")];
      await done(utl("snapshot", "restore", file, ...bump, ours));
      await done(program(witness?.etcdutl ?? "", "snapshot", "restore", file, ...bump, theirs));
      await using etcd = await startWitness({ dataDir: theirs });
      const { hash: _, ...expected } = await observe(etcd.endpoint);
      await using aether = await startAether({ dataDir: ours });
      const { hash: __, ...found } = await observe(aether.endpoint);
      expect(found).toEqual(expected);
      expect(Number(found["revision"])).toBeGreaterThan(1_000_000);
    },
    TEST_MS_MAX,
  );
});
