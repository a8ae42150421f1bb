/** Commands about the client itself: version, options, help. */
import { API_VERSION, VERSION } from "../../../base/version.ts";
import type { Command } from "../command.ts";
import { findCommand } from "../find-command.ts";
import { printCommandHelp, printGroupHelp, printOptionsHelp } from "../help-page.ts";

/** The release of etcd whose client this one is, command by command. */
const ETCDCTL_VERSION = "3.7.1";

export const version: Command = {
  name: "version",
  summary: "Shows the version of the client and of the API it speaks",
  about: "Called as etcdctl, it shows the release of etcd whose commands it has.",
  args: {},
  examples: ["version"],
  async run(call) {
    const asEtcdctl = call.io.program === "etcdctl";
    const name = asEtcdctl ? "etcdctl" : "aetherctl";
    call.say(`${name} version: ${asEtcdctl ? ETCDCTL_VERSION : VERSION}`);
    call.say(`API version: ${API_VERSION}`);
  },
};

export const options: Command = {
  name: "options",
  summary: "Shows the flags that every command understands",
  args: {},
  examples: ["options"],
  run: (call) => printOptionsHelp(call.io),
};

export const help: Command = {
  name: "help",
  summary: "Shows what a command does",
  args: { command: { type: "positional", required: false, description: "The command's words" } },
  examples: ["help lease grant"],
  async run({ args, commands, io }) {
    const found = findCommand(args.positionals, commands, {}, io.program);
    if (found.kind === "command") await printCommandHelp(await found.command.load(), io);
    else await printGroupHelp(found.name, commands, io);
  },
};
