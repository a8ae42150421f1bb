/** Commands about the client itself: version, options, help. */
import { API_VERSION, VERSION } from "../../../base/version.ts";
import { renderHelp } from "../../usage.ts";
import type { Command } from "../command.ts";
import { findCommand } from "../find-command.ts";
import { commandHelp, groupHelp, optionsHelp } from "../help.ts";

export const version: Command = {
  name: "version",
  summary: "Shows the version of the client and of the API it speaks",
  args: {},
  examples: ["version"],
  async run(call) {
    call.say(`aetherctl version: ${VERSION}`);
    call.say(`API version: ${API_VERSION}`);
  },
};

export const options: Command = {
  name: "options",
  summary: "Shows the flags that every command understands",
  args: {},
  examples: ["options"],
  async run(call) {
    call.io.out(Buffer.from(await renderHelp(optionsHelp(), call.io.stdoutTerminal)));
  },
};

export const help: Command = {
  name: "help",
  summary: "Shows what a command does",
  args: { command: { type: "positional", required: false, description: "The command's words" } },
  examples: ["help lease grant"],
  async run(call) {
    const found = findCommand(call.args.positionals, call.commands, {});
    const page =
      found.kind === "command" ? commandHelp(found.command) : groupHelp(call.commands, found.name);
    call.io.out(Buffer.from(await renderHelp(page, call.io.stdoutTerminal)));
  },
};
