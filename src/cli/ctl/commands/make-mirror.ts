/** `make-mirror`: copies keys to another cluster for as long as it runs. */
import type { ArgsDef } from "citty";
import { keyFromText } from "../../../base/bytes.ts";
import type { Credentials } from "../../../client/credentials.ts";
import type { EtcdClient } from "../../../client/etcd-client.ts";
import { EXIT, ExitError } from "../../exit.ts";
import type { Command } from "../command.ts";
import { clientTls, userOf } from "../globals.ts";
import type { Invocation } from "../invocation.ts";
import { Mirror } from "../recipes/mirror.ts";

const ARGS: ArgsDef = {
  destination: {
    type: "positional",
    required: true,
    description: "A server of the other cluster",
  },
  prefix: { type: "string", default: "", valueHint: "key", description: "Only keys that begin so" },
  rev: {
    type: "string",
    default: "0",
    valueHint: "n",
    description: "Only changes from this revision on",
  },
  "max-txn-ops": {
    type: "string",
    default: "128",
    valueHint: "n",
    description: "Operations in one transaction there, at most",
  },
  "dest-prefix": {
    type: "string",
    default: "",
    valueHint: "key",
    description: "What keys begin with there, in place of --prefix",
  },
  "no-dest-prefix": { type: "boolean", description: "Leave --prefix out there" },
  "dest-cert": { type: "string", valueHint: "file", description: "Our certificate there" },
  "dest-key": { type: "string", valueHint: "file", description: "Private key of --dest-cert" },
  "dest-cacert": {
    type: "string",
    valueHint: "file",
    description: "Verify the servers there with this CA bundle",
  },
  "dest-insecure-transport": {
    type: "boolean",
    default: true,
    description: "No TLS there, unless the endpoint or a TLS file says so",
  },
  "dest-user": { type: "string", valueHint: "name[:password]", description: "Who we are there" },
  "dest-password": { type: "string", valueHint: "text", description: "Password of --dest-user" },
};

/** Between two lines that tell how far it is. */
const PROGRESS_MS = 30_000;

export const makeMirror: Command = {
  name: "make-mirror",
  summary: "Copies keys to another cluster, and every change from then on",
  about: "Prints every 30 seconds how many keys it has written or deleted there.",
  args: ARGS,
  examples: [
    "make-mirror 10.1.0.1:2379",
    "make-mirror --prefix services/ --dest-prefix copy/services/ https://10.1.0.1:2379",
  ],
  async run(call) {
    const [destination, more] = call.args.positionals;
    if (destination === undefined || more !== undefined) {
      throw bad("make-mirror takes one destination argument");
    }
    const prefix = call.args.text("prefix");
    const signal = call.io.interrupted();
    const plan = {
      prefix: keyFromText(prefix),
      destinationPrefix: keyFromText(destinationPrefix(call, prefix)),
      revision: call.args.integer("rev"),
      operationsMax: operationsMax(call),
      signal,
    };
    const mirror = new Mirror(await call.client(), await connectThere(call, destination), plan);
    const progress = setInterval(() => call.say(String(mirror.total)), PROGRESS_MS);
    try {
      await mirror.run();
    } finally {
      clearInterval(progress);
    }
  },
};

function destinationPrefix({ args }: Invocation, prefix: string): string {
  const given = args.text("dest-prefix");
  if (!args.on("no-dest-prefix")) return given === "" ? prefix : given;
  if (given === "") return "";
  const both = "`--dest-prefix` and `--no-dest-prefix` cannot be set at the same time";
  throw bad(`${both}, choose one`);
}

function operationsMax({ args }: Invocation): number {
  const count = args.integer("max-txn-ops");
  if (count > 0) return count;
  throw bad("--max-txn-ops is at least 1");
}

async function connectThere(call: Invocation, endpoint: string): Promise<EtcdClient> {
  const user = userOf(call.args.text("dest-user"), call.args.text("dest-password"));
  let credentials: Credentials | undefined;
  if (user !== undefined) {
    const password = user.password ?? (await call.io.askSecret("Destination Password: "));
    credentials = { name: user.name, password };
  }
  return await call.connect({
    endpoints: [endpoint],
    tls: clientTls(call.args, "dest-"),
    credentials,
  });
}

function bad(message: string): ExitError {
  return new ExitError(EXIT.BAD_ARGUMENTS, message);
}
