/**
 * Endpoints from DNS (RFC 2782), as etcd's clients look for them: `_etcd-client-ssl._tcp` for
 * those with TLS, `_etcd-client._tcp` for those without.
 */
import { dns } from "../../base/builtin.ts";
import { EXIT, ExitError } from "../exit.ts";
import type { Discovery } from "./globals.ts";

interface SrvRecord {
  readonly name: string;
  readonly port: number;
}

export type SrvResolver = (name: string) => Promise<readonly SrvRecord[]>;

/** The endpoints of the domain; ExitError when there are none. */
export async function discoverEndpoints(
  discovery: Discovery,
  resolve: SrvResolver = (name) => dns().resolveSrv(name),
): Promise<string[]> {
  const suffix = discovery.name === "" ? "" : `-${discovery.name}`;
  const kinds = [
    ["https", `_etcd-client-ssl${suffix}._tcp.${discovery.domain}`],
    ["http", `_etcd-client${suffix}._tcp.${discovery.domain}`],
  ] as const;
  const endpoints: string[] = [];
  let failure: unknown;
  for (const [scheme, name] of kinds) {
    if (scheme === "http" && !discovery.insecure) continue;
    try {
      const records = await resolve(name);
      for (const record of records) endpoints.push(`${scheme}://${record.name}:${record.port}`);
    } catch (error) {
      failure = error; // one of the two kinds is usually missing
    }
  }
  if (endpoints.length > 0) return endpoints;
  const why = failure instanceof Error ? `: ${failure.message}` : "";
  throw new ExitError(EXIT.FAILED, `no endpoints discovered in ${discovery.domain}${why}`);
}
