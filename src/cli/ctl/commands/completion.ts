/** `completion`: scripts that let a shell complete commands and flags. */
import { UsageError } from "../../exit.ts";
import type { Command } from "../command.ts";
import { completionScript, SHELLS, type Shell } from "../completion.ts";
import { GLOBAL_ARGS } from "../globals.ts";

export const completion: Command = {
  name: "completion",
  summary: "Prints a script that lets a shell complete commands and flags",
  about: [
    "Load it with one of",
    "  source <(aether ctl completion bash)",
    "  source <(aether ctl completion zsh)",
    "  aether ctl completion fish | source",
    "  aether ctl completion powershell | Out-String | Invoke-Expression",
  ].join("\n"),
  args: {
    shell: { type: "positional", required: true, description: SHELLS.join(", ") },
  },
  examples: SHELLS.map((shell) => `completion ${shell}`),
  async run({ args, commands, io }) {
    const [shell] = args.positionals;
    const count = args.positionals.length;
    if (count !== 1) throw new UsageError(`accepts 1 arg(s), received ${count}`);
    if (!isShell(shell)) {
      const where = JSON.stringify(`${io.program} completion`);
      throw new UsageError(`invalid argument ${JSON.stringify(shell)} for ${where}`);
    }
    const known = await Promise.all(commands.map((entry) => entry.load()));
    io.out(Buffer.from(completionScript(shell, known, GLOBAL_ARGS, io.program)));
  },
};

function isShell(word: string | undefined): word is Shell {
  return SHELLS.some((shell) => shell === word);
}
