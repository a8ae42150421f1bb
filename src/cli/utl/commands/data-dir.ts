/** `defrag` and `migrate`: the data directory of a member that does not run. */
import { Database } from "bun:sqlite";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { API_VERSION } from "../../../base/version.ts";
import { type DataDir, openDataDir } from "../../../storage/data-dir.ts";
import { EXIT, ExitError, UsageError } from "../../exit.ts";
import type { UtlCommand } from "../command.ts";
import { orExit, requireFile } from "../failures.ts";
import { warnOfNoEffect } from "../no-effect.ts";

const DATA_DIR = {
  "data-dir": { type: "string", valueHint: "dir", description: "Of a member that does not run" },
} as const;

export const defrag: UtlCommand = {
  name: "defrag",
  summary: "Makes the files of a member that does not run as small as they can be",
  about: "A running member does so by itself, and at once with `ctl defrag`.",
  args: DATA_DIR,
  examples: ["defrag --data-dir /var/lib/etcd"],
  async run({ args }) {
    const path = requireDataDir(args.text("data-dir"));
    const describe = (why: string): string => `Failed to defragment etcd data[${path}] (${why})`;
    requireFile(path, describe);
    await orExit(() => {
      const directory = openOurs(path);
      try {
        // The log may be in a directory of its own, and needs no more than it has.
        for (const file of [directory.logPath, directory.statePath(1)]) {
          if (existsSync(file)) vacuum(file);
        }
      } finally {
        directory.release();
      }
    }, describe);
  },
};

/** Rewrites a file of ours without what is free in it. */
function vacuum(path: string): void {
  const db = new Database(path, { readwrite: true, create: false });
  try {
    db.run("VACUUM");
    db.run("PRAGMA wal_checkpoint(TRUNCATE)");
  } finally {
    db.close(true);
  }
}

export const migrate: UtlCommand = {
  name: "migrate",
  summary: "Says whether a data directory can be used as another release's",
  about: [
    "A data directory of Aether has one format, whatever release of etcd its cluster speaks as, so",
    "there is nothing to migrate up to this release. To go back to etcd: `ctl snapshot save`, then",
    "`snapshot restore` by the etcdutl of that release.",
  ].join("\n"),
  args: {
    ...DATA_DIR,
    "target-version": { type: "string", valueHint: "X.Y", description: "Release to migrate to" },
    force: { type: "boolean", default: false, description: "No effect: nothing is forced" },
  },
  examples: ["migrate --data-dir /var/lib/etcd --target-version 3.7"],
  async run({ args, io }) {
    const path = requireDataDir(args.text("data-dir"), args.text("target-version") === "");
    const target = args.text("target-version");
    requireTarget(target);
    warnOfNoEffect(args, ["force"], io);
    requireFile(path);
    await orExit(() => openOurs(path).release());
    if (target === API_VERSION) {
      io.err(`${io.program}: storage version up-to-date: ${target}\n`);
      return;
    }
    const why = `the storage of ${path} is of version ${API_VERSION} and cannot be of ${target}`;
    const instead = "save a snapshot and restore it with the etcdutl of that release";
    throw new ExitError(EXIT.FAILED, `${why}: ${instead}`);
  },
};

/** Throws etcdutl's errors of the format. */
function requireTarget(text: string): void {
  const bad = (why: string): ExitError => new ExitError(EXIT.BAD_ARGUMENTS, why);
  if (text.split(".").length !== 2) {
    throw bad(`wrong target version format, expected "X.Y", got ${JSON.stringify(text)}`);
  }
  const [, major = "", minor = ""] = /^(\d+)\.(\d+)$/.exec(text) ?? [];
  if (major === "")
    throw bad(`failed to parse target version: ${text}.0 is not in dotted-tri format`);
  if (Number(major) > 3 || (Number(major) === 3 && Number(minor) >= 5)) return;
  throw bad(`target version ${JSON.stringify(text)} not supported. Minimal "3.5"`);
}

function requireDataDir(path: string, alsoTarget = false): string {
  const missing = [...(path === "" ? ["data-dir"] : []), ...(alsoTarget ? ["target-version"] : [])];
  if (missing.length === 0) return path;
  const names = missing.map((flag) => JSON.stringify(flag)).join(", ");
  throw new UsageError(`required flag(s) ${names} not set`);
}

/** Locks a directory of ours. Throws ExitError for one of etcd's, StorageError for any other. */
function openOurs(path: string): DataDir {
  if (existsSync(join(path, "member", "snap", "db"))) {
    const db = join(path, "member", "snap", "db");
    const how = `aether utl snapshot restore ${db} --skip-hash-check makes one of Aether's`;
    throw new ExitError(EXIT.FAILED, `${path} is a data directory of etcd: ${how}`);
  }
  if (!existsSync(join(path, "format"))) {
    throw new ExitError(EXIT.FAILED, `${path} is no data directory of Aether`);
  }
  return openDataDir(path);
}
