/** The first steps of somebody who has just started a node by hand (AETHER_HINTS=1). */
import { relative } from "node:path";

export interface Started {
  /** host:port that clients use. */
  readonly clientAddress: string;
  readonly metricsAddress: string;
  readonly dataDir: string;
}

/** The endpoint that the client takes when none is given. */
const DEFAULT_ENDPOINT = "127.0.0.1:2379";

/** Lines to print; `program` is how the executable can be called from here. */
export function hints(started: Started, program: string): string {
  const endpoint = reachable(started.clientAddress);
  const ctl = endpoint === DEFAULT_ENDPOINT ? "ctl" : `ctl --endpoints=${endpoint}`;
  return [
    "",
    `Clients: ${started.clientAddress} (gRPC and HTTP). Data: ${started.dataDir}.`,
    `Metrics and health: http://${reachable(started.metricsAddress)}/metrics`,
    "Try, in another terminal:",
    `  ${program} ${ctl} put greeting hello`,
    `  ${program} ${ctl} get greeting`,
    `  ${program} ${ctl} watch --prefix ""`,
    `  ${program} ${ctl} --help`,
    "Ctrl-C stops the node.",
    "",
    "",
  ].join("\n");
}

/** Where to connect to an address that listens on every interface. */
function reachable(address: string): string {
  return address.replace(/^0\.0\.0\.0:/, "127.0.0.1:").replace(/^\[::\]:/, "[::1]:");
}

/** How a person calls this program from the current directory. */
export function programName(): string {
  const [, entry = ""] = process.argv;
  if (!entry.startsWith("/$bunfs/")) return `bun ${relative(process.cwd(), entry)}`;
  const inPath = Bun.which("aether") === process.execPath;
  const here = relative(process.cwd(), process.execPath);
  if (inPath) return "aether";
  return here.includes("/") ? here : `./${here}`;
}
