/**
 * What a certificate has to fulfil beyond an authority's signature. The rules are etcd's
 * (client/pkg/transport: allowed names of listeners and dialers, lists of revoked certificates).
 */
import type { DetailedPeerCertificate, PeerCertificate } from "node:tls";
import type { Socket } from "bun";
import { net, nodeCrypto } from "../base/builtin.ts";
import type { Revocations } from "./revocation.ts";

export interface CertificateRules {
  readonly revocations?: Revocations | undefined;
  /** The common name has to be one of these; empty or left out: any. */
  readonly allowedCommonNames?: readonly string[];
  /** One of these names or addresses has to be in it; empty or left out: any. */
  readonly allowedHostnames?: readonly string[];
}

/** A Bun socket as far as its types do not say it (1.4.4): false asks for the issuers, too. */
interface Showing {
  getPeerCertificate(abbreviated: boolean): DetailedPeerCertificate | null;
}

/** What the other side showed, with its issuers if the rules look at them. */
export function shownCertificate<Data>(
  socket: Socket<Data>,
  { revocations }: CertificateRules,
): PeerCertificate | undefined {
  const isBrief = revocations === undefined;
  const shown = (socket as unknown as Showing).getPeerCertificate(isBrief);
  return shown?.raw === undefined ? undefined : shown;
}

/** Why a certificate does not do: one of few kinds, and a text for people. */
export interface CertificateRefusal {
  readonly reason: string;
  readonly detail: string;
}

/** Which rule a verified certificate breaks, or undefined. */
export function brokenRule(
  certificate: PeerCertificate,
  { revocations, allowedCommonNames = [], allowedHostnames = [] }: CertificateRules,
): CertificateRefusal | undefined {
  const title = titleOf(certificate);
  const serial = revocations?.revokedIn(certificate);
  if (serial !== undefined) {
    return { reason: "revoked", detail: `${title} is revoked: serial ${serial}` };
  }
  if (allowedCommonNames.length > 0 && !allowedCommonNames.includes(commonName(certificate))) {
    const detail = `${title} has none of the allowed names: ${allowedCommonNames.join(", ")}`;
    return { reason: "wrong name", detail };
  }
  if (allowedHostnames.length > 0 && !namesOneOf(certificate, allowedHostnames)) {
    const detail = `${title} is for none of the allowed hosts: ${allowedHostnames.join(", ")}`;
    return { reason: "wrong host", detail };
  }
  return undefined;
}

/** How a certificate is called where it is spoken of. */
export function titleOf(certificate: PeerCertificate): string {
  return `the certificate of ${JSON.stringify(commonName(certificate))}`;
}

/** The first, if it has several; "" if it has none. */
function commonName({ subject }: PeerCertificate): string {
  const { CN = "" } = subject ?? {};
  return (Array.isArray(CN) ? CN[0] : CN) ?? "";
}

/** Its subject does not count (RFC 6125 §6.4.4): only the names that were meant as such. */
function namesOneOf({ raw }: PeerCertificate, hosts: readonly string[]): boolean {
  const certificate = new (nodeCrypto().X509Certificate)(raw);
  return hosts.some((host) => {
    if (net().isIP(host) > 0) return certificate.checkIP(host) !== undefined;
    return certificate.checkHost(host, { subject: "never" }) !== undefined;
  });
}
