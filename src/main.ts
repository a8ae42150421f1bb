/** The executable. What it is called, or its first word, says which of its programs it is. */
import { basename } from "node:path";
import { hideArguments } from "./cli/hidden-arguments.ts";

// argv0 is how the executable was called; argv[1] is its entry point, compiled or not.
const called = basename(process.argv0);
const words = process.argv.slice(2);
const isClient = called === "aetherctl" || called === "etcdctl";

if (isClient) await client(words);
else if (called === "etcd") await (await import("./cli/serve/serve.ts")).serve(words, "etcd");
else if (called === "etcdutl") await (await import("./cli/utl/utl.ts")).utl(words);
else if (words[0] === "utl") await (await import("./cli/utl/utl.ts")).utl(words.slice(1));
else if (words[0] === "ctl") await client(words.slice(1));
else await (await import("./cli/serve/serve.ts")).serve(words, "aether");

/** Before anything else is loaded: until then everybody can read what is on the command line. */
async function client(given: readonly string[]): Promise<void> {
  const hidden = hideArguments(given);
  await (await import("./cli/ctl/ctl.ts")).ctl(given, hidden);
}
