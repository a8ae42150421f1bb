/** `completion`: scripts that let a shell complete the commands and flags of `utl`. */
import { UsageError } from "../../exit.ts";
import type { UtlCommand } from "../command.ts";
import { completionScript, SHELLS, type Shell } from "../completion.ts";

export const completion: UtlCommand = {
  name: "completion",
  summary: "Prints a script that lets a shell complete commands and flags",
  about: "Load it with: source <(etcdutl completion bash)",
  args: {
    shell: { type: "positional", required: false, description: SHELLS.join(", ") },
  },
  examples: ["completion bash"],
  async run({ args, commands, io }) {
    const [shell] = args.positionals;
    if (shell === undefined || args.positionals.length > 1) {
      throw new UsageError(`accepts 1 arg(s), received ${args.positionals.length}`);
    }
    if (!(SHELLS as readonly string[]).includes(shell)) {
      throw new UsageError(`invalid argument "${shell}" for "${io.program} completion"`);
    }
    io.out(Buffer.from(completionScript(shell as Shell, commands)));
  },
};
