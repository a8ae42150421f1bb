/** `snapshot …`: a backup of one server's state, and what can be done with it without a server. */
import { EXIT, ExitError } from "../../exit.ts";
import { humaniseBytes } from "../../sizes.ts";
import type { UtlCommand } from "../../utl/command.ts";
import * as offline from "../../utl/commands/snapshot.ts";
import type { Command } from "../command.ts";
import { downloadSnapshot } from "../snapshot-download.ts";

export const snapshotSave: Command = {
  name: "snapshot save",
  summary: "Saves the state of one server in a file",
  about: [
    "The file is a snapshot as etcd's: etcdutl, etcd and Aether restore from it. It has the whole",
    "history that is not compacted, leases, users and roles. It takes its time, unless",
    "--command-timeout is given.",
  ].join("\n"),
  args: { file: { type: "positional", required: false, description: "The file to make" } },
  examples: ["snapshot save backup.db", "--endpoints=10.0.0.1:2379 snapshot save backup.db"],
  async run(call) {
    const [path] = call.args.positionals;
    if (path === undefined || call.args.positionals.length > 1) {
      throw new ExitError(EXIT.BAD_ARGUMENTS, "snapshot save expects one argument <filename>");
    }
    const endpoints = await call.endpoints();
    if (endpoints.length !== 1) {
      const several = `not multiple [${endpoints.join(" ")}]`;
      const why = `snapshot must be requested to one selected node, ${several}`;
      throw new ExitError(EXIT.INTERRUPTED, why);
    }
    const client = await call.client();
    const isTimed = call.args.given("command-timeout").length > 0;
    const log = (msg: string, more: Record<string, string>): void => {
      call.io.err(`${JSON.stringify({ level: "info", ts: new Date(), msg, ...more })}\n`);
    };
    log("fetching snapshot", { endpoint: endpoints[0] as string });
    const startedMs = performance.now();
    const { bytes, version } = await downloadSnapshot(client, path, {
      timeoutMs: isTimed ? call.globals.commandTimeoutMs : undefined,
      interrupted: call.io.interrupted(),
      onProgress: () => {},
    });
    const took = `${Math.round(performance.now() - startedMs)}ms`;
    log("fetched snapshot", { size: humaniseBytes(bytes), took, "etcd-version": version });
    call.say(`Snapshot saved at ${path}`);
    if (version !== "") call.say(`Server version ${version}`);
  },
};

export const snapshotStatus = offlineCommand(offline.snapshotStatusCommand);
export const snapshotRestore = offlineCommand(offline.snapshotRestore);

/** The same as `utl` has it; etcdctl had these until 3.5. */
function offlineCommand(command: UtlCommand): Command {
  return {
    ...command,
    async run(call) {
      call.requireFormat();
      const print = call.print.bind(call);
      await command.run({ args: call.args, io: call.io, commands: [], print });
    },
  };
}
