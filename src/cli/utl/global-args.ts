/** The flags that every offline command understands. */
import type { ArgsDef } from "citty";
import { FORMATS } from "../ctl/output/answer.ts";

export const UTL_GLOBAL_ARGS: ArgsDef = {
  "write-out": {
    type: "string",
    alias: "w",
    default: "simple",
    valueHint: FORMATS.join("|"),
    description: "Form of the output",
  },
  timeout: {
    type: "string",
    default: "10s",
    valueHint: "duration",
    description: "No effect: a directory in use is refused at once",
  },
  help: { type: "boolean", alias: "h", description: "Show what the command does" },
};
