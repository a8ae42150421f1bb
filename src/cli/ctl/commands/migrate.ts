/** `migrate`: from a running etcd of any release to Aether. */
import { EXIT, ExitError } from "../../exit.ts";
import { MEMBER_ARGS, newMember } from "../../utl/restore.ts";
import type { Command } from "../command.ts";
import type { Invocation } from "../invocation.ts";
import { migrateLive } from "../migrate/live.ts";
import { migrateOffline } from "../migrate/offline.ts";
import { openSource, SOURCE_ARGS } from "../migrate/source.ts";

export const migrate: Command = {
  name: "migrate",
  summary: "Brings the data of a running etcd over to Aether",
  about: [
    "With --data-dir: takes a snapshot of the etcd at --from and makes the data directory of a new",
    "member out of it. KEEPS revisions, history, versions, leases and their ids, users with their",
    "passwords, roles. What is written to the old etcd afterwards is not in it: stop the writers",
    "first. For several members run it once, save the snapshot (ctl snapshot save), and restore it",
    "for each of them (ctl snapshot restore).",
    "",
    "With --live: writes everything into the empty cluster at --endpoints and follows what changes",
    "until both are the same. DOES NOT KEEP revisions, versions and history (clients that watch or",
    "compare revisions, Kubernetes among them, must start anew), nor passwords, which etcd tells",
    "nobody: set them with user passwd, then run auth enable.",
    "",
    "Both compare the counts in the end, and the hash of the history or all values.",
  ].join("\n"),
  args: {
    ...SOURCE_ARGS,
    ...MEMBER_ARGS,
    live: { type: "boolean", default: false, description: "Into the cluster at --endpoints" },
  },
  examples: [
    "migrate --from http://old-etcd:2379 --data-dir /var/lib/aether",
    "migrate --from https://old-etcd:2379 --from-cacert ca.pem --from-user root:pw --data-dir d",
    "--endpoints=http://new:2379 migrate --from http://old-etcd:2379 --live",
  ],
  async run(call) {
    const { args } = call;
    if (args.positionals.length > 0) {
      throw new ExitError(EXIT.BAD_ARGUMENTS, "migrate accepts no arguments");
    }
    const isLive = args.on("live");
    if (isLive === (args.text("data-dir") !== "")) {
      const which = "--data-dir (keeps revisions) or --live (into a running cluster)";
      throw new ExitError(EXIT.BAD_ARGUMENTS, `one of these is needed: ${which}`);
    }
    if (isLive) return await live(call);
    const member = newMember(args);
    await migrateOffline(call, await openSource(call), member);
  },
};

async function live(call: Invocation): Promise<void> {
  const source = await openSource(call);
  const { keys, leases, users, roles } = await migrateLive(call, source, await call.client());
  call.say(`Migrated ${keys} keys; their revisions, versions and history are new`);
  call.say(`Migrated ${leases} leases, each with its whole time, and ${roles} roles`);
  call.say(`Migrated ${users.length} users without their passwords`);
  for (const user of users) call.say(`  set one: aether ctl user passwd ${user}`);
}
