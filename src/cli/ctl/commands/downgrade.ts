/** `downgrade …`: lets the members of a cluster be replaced by those of the release before. */
import {
  DowngradeAction,
  DowngradeResponse,
  Maintenance,
} from "../../../proto/gen/etcdserverpb.ts";
import { EXIT, ExitError } from "../../exit.ts";
import type { Command } from "../command.ts";
import { PLAIN_FORMATS } from "../command-info.ts";
import type { Invocation } from "../invocation.ts";
import { messageForms } from "../output/key-values.ts";

const TARGET = {
  version: { type: "positional", required: true, description: "The release to go to, as 3.6" },
} as const;

export const downgradeValidate: Command = {
  name: "downgrade validate",
  summary: "Tells whether the cluster could go to an older release",
  args: TARGET,
  formats: PLAIN_FORMATS,
  examples: ["downgrade validate 3.6"],
  run: (call) => ask(call, DowngradeAction.VALIDATE, "validate", targetOf(call)),
};

export const downgradeEnable: Command = {
  name: "downgrade enable",
  summary: "Begins to go to an older release",
  about: "Then the members can be stopped and started as that release, one after the other.",
  args: TARGET,
  formats: PLAIN_FORMATS,
  examples: ["downgrade enable 3.6"],
  run: (call) => ask(call, DowngradeAction.ENABLE, "enable", targetOf(call)),
};

export const downgradeCancel: Command = {
  name: "downgrade cancel",
  summary: "Stays at this release after all",
  args: {},
  formats: PLAIN_FORMATS,
  examples: ["downgrade cancel"],
  run: (call) => ask(call, DowngradeAction.CANCEL, "cancel", ""),
};

function targetOf({ args }: Invocation): string {
  const [target, more] = args.positionals;
  const bad = (why: string): ExitError => new ExitError(EXIT.BAD_ARGUMENTS, why);
  if (target === undefined) throw bad("TARGET_VERSION not provided");
  if (more !== undefined) throw bad("too many arguments");
  if (target === "") throw bad("target version not provided");
  return target;
}

async function ask(
  call: Invocation,
  action: DowngradeAction,
  word: string,
  version: string,
): Promise<void> {
  const response = await call.call(Maintenance.Downgrade, { action, version });
  call.print({
    ...messageForms(DowngradeResponse, response),
    simple: (page) => {
      page.line(`Downgrade ${word} success, cluster version ${response.version}`);
    },
  });
}
