/** The help of the client, of a group of commands and of one command. */
import type { Help } from "../usage.ts";
import type { CommandInfo } from "./command-info.ts";
import { GLOBAL_ARGS } from "./globals.ts";

/** What a group's commands are about, by the word they share. */
const GROUPS: Readonly<Record<string, string>> = {
  "": "Client of an Aether or etcd cluster",
  alarm: "What members raise when they cannot go on by themselves",
  auth: "Whether users have to say who they are",
  check: "Tries whether a cluster is up to a load",
  downgrade: "Prepares the members for an older release",
  endpoint: "Looks at servers one by one",
  lease: "Keys that end with their owner",
  member: "The servers of the cluster",
  role: "What users may read and write",
  user: "Who may use the cluster",
};

/** Help for the commands whose names start with `group`; "": all of them. */
export function groupHelp(all: readonly CommandInfo[], group: string, program: string): Help {
  const prefix = group === "" ? "" : `${group} `;
  const commands = new Map<string, string>();
  for (const { name, summary } of all) {
    if (name.startsWith(prefix)) commands.set(name.slice(prefix.length), summary);
  }
  return {
    name: `${program} ${group}`.trimEnd(),
    summary: GROUPS[group] ?? `Commands about ${group}`,
    commands,
    examples: all
      .filter(({ name }) => name.startsWith(prefix))
      .flatMap(({ examples }) => examples.slice(0, 1))
      .slice(0, 6)
      .map((each) => `${program} ${each}`),
    more: `Flags of every command: ${program} options`,
  };
}

export function commandHelp(command: CommandInfo, program: string): Help {
  return {
    name: `${program} ${command.name}`,
    summary: command.summary,
    about: command.about,
    args: command.args,
    examples: command.examples.map((each) => `${program} ${each}`),
    more: `Flags of every command: ${program} options`,
  };
}

/** Help for the flags that all commands share. */
export function optionsHelp(program: string): Help {
  return {
    name: `${program} <command>`,
    summary: "Flags that every command understands",
    about:
      "Each can be set in the environment too, as AETHERCTL_<FLAG> or ETCDCTL_<FLAG>\n" +
      "(AETHERCTL_ENDPOINTS, ETCDCTL_WRITE_OUT, …). A flag wins over the environment.",
    args: GLOBAL_ARGS,
    examples: [
      `${program} --endpoints=10.0.0.1:2379,10.0.0.2:2379 get greeting`,
      `${program} --cacert=ca.pem --cert=me.pem --key=me-key.pem get greeting`,
      `ETCDCTL_ENDPOINTS=10.0.0.1:2379 ${program} get greeting -w json`,
    ],
  };
}
