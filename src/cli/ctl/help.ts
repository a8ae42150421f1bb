/** The help of the client, of a group of commands and of one command. */
import type { Help } from "../usage.ts";
import type { CommandInfo } from "./command-info.ts";
import { GLOBAL_ARGS } from "./globals.ts";

const PROGRAM = "aether ctl";
const SEE_OPTIONS = `Flags of every command: ${PROGRAM} options`;

/** What a group's commands are about, by the word they share. */
const GROUPS: Readonly<Record<string, string>> = {
  "": "Client of an Aether or etcd cluster",
  completion: "Command completion for a shell",
  endpoint: "Looks at servers one by one",
  lease: "Keys that end with their owner",
  member: "The servers of the cluster",
};

/** Help for the commands whose names start with `group`; "": all of them. */
export function groupHelp(all: readonly CommandInfo[], group: string): Help {
  const prefix = group === "" ? "" : `${group} `;
  const commands = new Map<string, string>();
  for (const { name, summary } of all) {
    if (name.startsWith(prefix)) commands.set(name.slice(prefix.length), summary);
  }
  return {
    name: `${PROGRAM} ${group}`.trimEnd(),
    summary: GROUPS[group] ?? `Commands about ${group}`,
    commands,
    examples: all
      .filter(({ name }) => name.startsWith(prefix))
      .flatMap(({ examples }) => examples.slice(0, 1))
      .slice(0, 6)
      .map((each) => `${PROGRAM} ${each}`),
    more: SEE_OPTIONS,
  };
}

export function commandHelp(command: CommandInfo): Help {
  return {
    name: `${PROGRAM} ${command.name}`,
    summary: command.summary,
    about: command.about,
    args: command.args,
    examples: command.examples.map((each) => `${PROGRAM} ${each}`),
    more: SEE_OPTIONS,
  };
}

/** Help for the flags that all commands share. */
export function optionsHelp(): Help {
  return {
    name: `${PROGRAM} <command>`,
    summary: "Flags that every command understands",
    about:
      "Each can be set in the environment too, as AETHERCTL_<FLAG> or ETCDCTL_<FLAG>\n" +
      "(AETHERCTL_ENDPOINTS, ETCDCTL_WRITE_OUT, …). A flag wins over the environment.",
    args: GLOBAL_ARGS,
    examples: [
      `${PROGRAM} --endpoints=10.0.0.1:2379,10.0.0.2:2379 get greeting`,
      `${PROGRAM} --cacert=ca.pem --cert=me.pem --key=me-key.pem get greeting`,
      `ETCDCTL_ENDPOINTS=10.0.0.1:2379 ${PROGRAM} get greeting -w json`,
    ],
  };
}
