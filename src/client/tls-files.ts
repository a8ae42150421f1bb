/** The files of a client's TLS, looked at before anything is dialed with them. */
import { nodeCrypto } from "../base/builtin.ts";
import { type PemFile, requireCertificates, requirePair } from "../net/pem.ts";

/** When the certificate ended, if it has. */
export function endOf(cert: string, nowMs: number): string | undefined {
  const { validTo } = new (nodeCrypto().X509Certificate)(cert);
  return Date.parse(validTo) < nowMs ? validTo : undefined;
}

/** Texts with the names of their files. */
export interface ClientTlsFiles {
  readonly cert?: PemFile | undefined;
  readonly key?: PemFile | undefined;
  readonly ca?: PemFile | undefined;
}

/** Throws AetherError invalid_argument that names the file which is of no use, and why. */
export function requireUsable({ cert, key, ca }: ClientTlsFiles): void {
  if (ca !== undefined) requireCertificates(ca);
  if (cert !== undefined && key !== undefined) requirePair(cert, key);
}
