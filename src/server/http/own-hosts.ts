/** The names under which a node is asked over HTTP without being told so. */
import { AetherError } from "../../base/errors.ts";
import { parseAddress } from "../../net/address.ts";
import type { Config } from "../config/config.ts";

/** Those of a machine that asks itself; browsers resolve them without asking anybody. */
const LOOPBACK_NAMES = ["localhost", "localhost.localdomain", "ip6-localhost"];

type Named = Pick<
  Config,
  "listenClient" | "listenClientHttp" | "listenPeer" | "listenMetrics" | "clientUrls"
>;

/** In lower case: this machine's name, and those in the addresses that it listens on or tells. */
export function ownHosts(config: Named, machine: string): ReadonlySet<string> {
  const { listenClient, listenClientHttp, listenPeer, listenMetrics, clientUrls } = config;
  const names = new Set([...LOOPBACK_NAMES, machine.toLowerCase()]);
  const all = [listenClient, listenClientHttp, listenPeer, listenMetrics, clientUrls].flat();
  for (const text of all) {
    const host = hostOf(text);
    if (host !== undefined) names.add(host.toLowerCase());
  }
  return names;
}

/** What is told to clients may have forms that nobody can listen on. */
function hostOf(text: string): string | undefined {
  try {
    const address = parseAddress(text);
    return address.kind === "tcp" ? address.host : undefined;
  } catch (error) {
    if (!(error instanceof AetherError)) throw error;
    return undefined;
  }
}
