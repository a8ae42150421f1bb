/** `snapshot status` and `snapshot restore`: what a snapshot holds, and a member made of it. */

import { snapshotStatus } from "../../../storage/etcd/inspect.ts";
import { openSnapshot } from "../../../storage/etcd/snapshot-file.ts";
import { EXIT, ExitError } from "../../exit.ts";
import type { UtlCommand } from "../command.ts";
import { orExit, requireFile } from "../failures.ts";
import { warnOfNoEffect } from "../no-effect.ts";
import { snapshotAnswer, UTL_FORMATS } from "../reports.ts";
import { newMember, RESTORE_ARGS, restoreFile, tellRestored } from "../restore.ts";

export const snapshotStatusCommand: UtlCommand = {
  name: "snapshot status",
  summary: "Checks a snapshot and shows what it holds",
  about: "In simple mode: hash, revision, total keys, total size, storage version.",
  args: { file: { type: "positional", required: false, description: "The snapshot" } },
  formats: UTL_FORMATS,
  examples: ["snapshot status backup.db", "snapshot status backup.db -w table"],
  async run({ args, print }) {
    const path = theFile(args.positionals, "snapshot status requires exactly one argument");
    requireFile(path);
    const status = await orExit(() =>
      openSnapshot(path, ({ reader, damaged }) => snapshotStatus(reader, damaged)),
    );
    print(snapshotAnswer(status));
  },
};

export const snapshotRestore: UtlCommand = {
  name: "snapshot restore",
  summary: "Makes the data directory of a new member out of a snapshot",
  about: [
    "Takes snapshots of etcd 3.4 to 3.7 and of Aether: keys with their revisions and history,",
    "leases, users and roles. Restore every member of the new cluster from the same file with the",
    "same --initial-cluster, then start them with the same name and peer URLs.",
  ].join("\n"),
  args: RESTORE_ARGS,
  examples: [
    "snapshot restore backup.db --data-dir /var/lib/etcd",
    "snapshot restore backup.db --name a --initial-cluster a=http://10.0.0.1:2380,b=http://10.0.0.2:2380 --initial-advertise-peer-urls http://10.0.0.1:2380",
  ],
  async run({ args, io }) {
    const path = theFile(args.positionals, "snapshot restore requires exactly one argument");
    const member = newMember(args);
    warnOfNoEffect(args, ["initial-memory-map-size"], io);
    const found = await restoreFile(path, member, { skipHashCheck: args.on("skip-hash-check") });
    tellRestored(found, member, io);
  },
};

/** The only argument there is to be. */
export function theFile(positionals: readonly string[], otherwise: string): string {
  const [path] = positionals;
  if (path === undefined || positionals.length > 1) {
    throw new ExitError(EXIT.BAD_ARGUMENTS, otherwise);
  }
  return path;
}
