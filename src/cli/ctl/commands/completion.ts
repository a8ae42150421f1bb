/** `completion …`: scripts that let a shell complete commands and flags. */
import type { Command } from "../command.ts";
import { completionScript, type Shell } from "../completion.ts";
import { GLOBAL_ARGS } from "../globals.ts";

const LOADED_BY: Readonly<Record<Shell, string>> = {
  bash: "source <(aether ctl completion bash)",
  zsh: "source <(aether ctl completion zsh)",
  fish: "aether ctl completion fish | source",
};

function completionFor(shell: Shell): Command {
  return {
    name: `completion ${shell}`,
    summary: `Prints the script for ${shell}`,
    about: `Load it with: ${LOADED_BY[shell]}`,
    args: {},
    examples: [`completion ${shell}`],
    async run(call) {
      call.io.out(Buffer.from(completionScript(shell, call.commands, GLOBAL_ARGS)));
    },
  };
}

export const completionBash = completionFor("bash");
export const completionZsh = completionFor("zsh");
export const completionFish = completionFor("fish");
