/** The executable: a node, or the client when it is called aetherctl or with `ctl` first. */
import { basename } from "node:path";

// argv0 is how the executable was called; argv[1] is its entry point, compiled or not.
const words = process.argv.slice(2);
const client = basename(process.argv0) === "aetherctl" ? words : undefined;
const clientWords = words[0] === "ctl" ? words.slice(1) : client;

if (clientWords !== undefined) await (await import("./cli/ctl/ctl.ts")).ctl(clientWords);
else await (await import("./cli/serve/serve.ts")).serve(words);
