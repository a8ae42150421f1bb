/**
 * Who is believed to be a member when it calls. In our own words: who has a verified certificate
 * or the cluster's secret, or is on this machine. In etcd's words without a secret: whom etcd would
 * believe, which is whoever its listener lets in. There peer TLS with --peer-client-cert-auth is
 * what keeps strangers out; without it there is a warning at the start (config/topology.ts).
 *
 * Beyond this a caller has to know the cluster's id and its own, and to be known by it (admission).
 */
import { membersOnly } from "../net/peers/admission.ts";
import type { Authorize } from "../net/peers/ports.ts";
import type { Config } from "./config/config.ts";

export function peerTrust({ secret, speaksEtcd }: Config): Authorize {
  return speaksEtcd && secret === undefined ? () => undefined : membersOnly(secret);
}
