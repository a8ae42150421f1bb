/**
 * Why TLS did not come about, in words that say whose certificate is wrong and what about it. The
 * runtime has the codes of node:tls for certificates and BoringSSL's texts for the rest, among them
 * the alerts by which the other side says what it has against us (RFC 8446 §6.2).
 */
import type { PeerCertificate } from "node:tls";

const UNTRUSTED = "its certificate is of an unknown authority";

/** What is wrong with the certificate that the other side showed, by the code of node:tls. */
const ITS_CERTIFICATE: Readonly<Record<string, string>> = {
  CERT_REVOKED: "its certificate is revoked",
  CERT_SIGNATURE_FAILURE: "its certificate is forged: the signature is wrong",
  CERT_UNTRUSTED: UNTRUSTED,
  DEPTH_ZERO_SELF_SIGNED_CERT: "its certificate is self-signed and not known here",
  INVALID_PURPOSE: "its certificate is not for servers",
  SELF_SIGNED_CERT_IN_CHAIN: UNTRUSTED,
  UNABLE_TO_GET_ISSUER_CERT: UNTRUSTED,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: UNTRUSTED,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: UNTRUSTED,
};

/** What the other side says, and what BoringSSL finds, by the end of its text. */
const HANDSHAKE: readonly (readonly [ending: string, text: string])[] = [
  ["WRONG_VERSION_NUMBER", "it does not speak TLS"],
  ["HTTP_REQUEST", "it does not speak TLS"],
  ["ALERT_CERTIFICATE_REQUIRED", "it wants a certificate of ours"],
  ["ALERT_UNKNOWN_CA", "it does not know the authority of our certificate"],
  ["ALERT_BAD_CERTIFICATE", "it refuses our certificate"],
  ["ALERT_UNSUPPORTED_CERTIFICATE", "it refuses our certificate: of the wrong kind"],
  ["ALERT_CERTIFICATE_REVOKED", "it refuses our certificate: revoked"],
  ["ALERT_CERTIFICATE_EXPIRED", "it refuses our certificate: expired"],
  ["ALERT_CERTIFICATE_UNKNOWN", "it refuses our certificate"],
  ["ALERT_ACCESS_DENIED", "it lets nobody in with our certificate"],
  ["ALERT_PROTOCOL_VERSION", "it speaks none of our versions of TLS"],
  ["UNSUPPORTED_PROTOCOL", "it speaks none of our versions of TLS"],
  ["ALERT_HANDSHAKE_FAILURE", "it shares no cipher with us, or wants a certificate of ours"],
  ["ALERT_NO_APPLICATION_PROTOCOL", "it does not speak HTTP/2"],
];

/** What else a chain of certificates can have. */
const ITS_CHAIN = new Set([
  ...["CERT_HAS_EXPIRED", "CERT_NOT_YET_VALID", "ERR_TLS_CERT_ALTNAME_INVALID"],
  ...["CERT_CHAIN_TOO_LONG", "CERT_REJECTED", "HOSTNAME_MISMATCH", "INVALID_CA"],
  "PATH_LENGTH_EXCEEDED",
]);

/**
 * Whether the handshake is done and only the certificate is not to be trusted. Bun 1.4.4 calls it a
 * failure when the certificate has another name, and a success when it is of another authority.
 */
export function isAboutCertificate(failure: Error): boolean {
  const { code = "" } = failure as NodeJS.ErrnoException;
  return ITS_CHAIN.has(code) || Object.hasOwn(ITS_CERTIFICATE, code);
}

/** Of a failed handshake with `host`, which showed `shown` if it came so far. */
export function tlsFailureText(
  failure: Error,
  host: string,
  shown: PeerCertificate | undefined,
): string {
  const { code = "", message } = failure as NodeJS.ErrnoException;
  if (code === "CERT_HAS_EXPIRED") return `its certificate has expired${since(shown?.valid_to)}`;
  if (code === "CERT_NOT_YET_VALID") {
    return `its certificate is not yet good${since(shown?.valid_from)}`;
  }
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID") {
    return `its certificate is not for ${host}, but for ${namesIn(shown)}`;
  }
  const known = HANDSHAKE.find(([ending]) => message.endsWith(ending));
  return ITS_CERTIFICATE[code] ?? known?.[1] ?? message;
}

/** Or it is not the end that is wrong but this machine's clock, which the date shows. */
function since(date: string | undefined): string {
  return date === undefined ? "" : ` (${date})`;
}

/** Names without a place in the extension count where there is no other. */
function namesIn(shown: PeerCertificate | undefined): string {
  const names = shown?.subjectaltname ?? "";
  return names === "" ? "no host at all" : names.replaceAll(/(DNS|IP Address):/g, "");
}
