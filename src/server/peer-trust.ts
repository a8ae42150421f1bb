/**
 * Who is believed to be a member when it calls, in both dialects alike. Where there is a cluster
 * secret, who proves that he knows it, and nobody else. Where there is none: who shows a verified
 * certificate at an address that members alone come to, and who calls from this machine: where
 * clients come as well, any of theirs would do. etcd believes whoever reaches
 * a plaintext peer address.
 *
 * Beyond this a caller has to know the cluster's id and its own, and to be known by it (admission).
 */
import { membersOnly } from "../net/peers/admission.ts";
import type { Authorize } from "../net/peers/ports.ts";
import type { Config } from "./config/config.ts";

/** Asked where there is no secret. */
export function peerTrust({ listenPeer }: Pick<Config, "listenPeer">): Authorize {
  // At an address for members the listener itself asks for the certificate, and for its names.
  return membersOnly(listenPeer.length > 0 ? "members" : "anybody");
}
