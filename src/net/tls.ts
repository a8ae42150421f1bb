/**
 * TLS settings as Bun takes them. Bun wants the ALPN list in wire form (RFC 7301 §3.1: each name
 * after its length); a JavaScript array is refused and a bare "h2" breaks every handshake.
 * Clients are verified by us after the handshake (`rejectUnauthorized: false` and a look at
 * `authorized`), so that the reason can be logged.
 */
import type { TLSSocketOptions } from "node:tls";
import type { TLSOptions } from "bun";

/** Both protocols, HTTP/2 first: Go's gRPC refuses a server that does not answer with h2. */
const SERVER_ALPN = "\x02h2\x08http/1.1";
const CLIENT_ALPN = "\x02h2";

export type TlsVersion = "TLS1.2" | "TLS1.3";

/** What both sides may restrict. */
export interface TlsLimits {
  readonly versionMin?: TlsVersion;
  readonly versionMax?: TlsVersion;
  /** For TLS 1.2, in OpenSSL's notation; undefined: the runtime's. */
  readonly ciphers?: string | undefined;
}

/** What a listener needs; PEM texts. */
export interface ServerTls extends TlsLimits {
  readonly cert: string;
  readonly key: string;
  /** Certificates that sign clients'. */
  readonly ca?: string;
  /** Refuse clients without a certificate signed by `ca`. */
  readonly clientCertRequired?: boolean;
  /** Refuse clients whose certificate names other addresses than the one they call from. */
  readonly callerNamed?: boolean;
}

/** What a dialer needs; PEM texts. */
export interface ClientTls extends TlsLimits {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  /** The name that the server's certificate must bear, when it is not the host dialed. */
  readonly serverName?: string;
  /** Take any certificate. For tests and for a person who asked for it by name. */
  readonly insecureSkipVerify?: boolean;
}

/** The versions' numbers on the wire (RFC 8446 §4.2.1), which Bun takes; its types lack them. */
const WIRE_VERSIONS: Readonly<Record<TlsVersion, number>> = { "TLS1.2": 0x0303, "TLS1.3": 0x0304 };

interface BunVersions {
  readonly minVersion?: number;
  readonly maxVersion?: number;
}

export function serverTlsOptions(tls: ServerTls): TLSOptions {
  return {
    cert: tls.cert,
    key: tls.key,
    ...(tls.ca === undefined ? {} : { ca: tls.ca }),
    requestCert: tls.clientCertRequired === true,
    rejectUnauthorized: false,
    ALPNProtocols: SERVER_ALPN,
    ...limitsOf(tls),
  };
}

export function clientTlsOptions(tls: ClientTls, host: string): TLSOptions {
  return {
    ...(tls.ca === undefined ? {} : { ca: tls.ca }),
    ...(tls.cert === undefined ? {} : { cert: tls.cert }),
    ...(tls.key === undefined ? {} : { key: tls.key }),
    serverName: tls.serverName ?? host,
    rejectUnauthorized: tls.insecureSkipVerify !== true,
    ALPNProtocols: CLIENT_ALPN,
    ...limitsOf(tls),
  };
}

function limitsOf({ versionMin, versionMax, ciphers }: TlsLimits): TLSOptions & BunVersions {
  return {
    ...(versionMin === undefined ? {} : { minVersion: WIRE_VERSIONS[versionMin] }),
    ...(versionMax === undefined ? {} : { maxVersion: WIRE_VERSIONS[versionMax] }),
    ...(ciphers === undefined ? {} : { ciphers }),
  };
}

/** The server's settings for node:tls over a stream (tls-tunnel.ts). */
export function tunnelOptions(tls: ServerTls): TLSSocketOptions {
  const { versionMin, versionMax, ciphers } = tls;
  return {
    isServer: true,
    cert: tls.cert,
    key: tls.key,
    ...(tls.ca === undefined ? {} : { ca: tls.ca }),
    requestCert: tls.clientCertRequired === true,
    rejectUnauthorized: false,
    ALPNProtocols: ["h2", "http/1.1"],
    ...(versionMin === undefined ? {} : { minVersion: NODE_VERSIONS[versionMin] }),
    ...(versionMax === undefined ? {} : { maxVersion: NODE_VERSIONS[versionMax] }),
    ...(ciphers === undefined ? {} : { ciphers }),
  };
}

const NODE_VERSIONS = { "TLS1.2": "TLSv1.2", "TLS1.3": "TLSv1.3" } as const;
