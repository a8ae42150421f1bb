/**
 * TLS settings as Bun takes them. Bun wants the ALPN list in wire form (RFC 7301 §3.1: each name
 * after its length); a JavaScript array is refused and a bare "h2" breaks every handshake.
 * Clients are verified by us after the handshake (`rejectUnauthorized: false` and a look at
 * `authorized`), so that the reason can be logged.
 */
import type { TLSOptions } from "bun";

/** Both protocols, HTTP/2 first: Go's gRPC refuses a server that does not answer with h2. */
const SERVER_ALPN = "\x02h2\x08http/1.1";
const CLIENT_ALPN = "\x02h2";

/** What a listener needs; PEM texts. */
export interface ServerTls {
  readonly cert: string;
  readonly key: string;
  /** Certificates that sign clients'. */
  readonly ca?: string;
  /** Refuse clients without a certificate signed by `ca`. */
  readonly clientCertRequired?: boolean;
}

/** What a dialer needs; PEM texts. */
export interface ClientTls {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  /** The name that the server's certificate must bear, when it is not the host dialed. */
  readonly serverName?: string;
  /** Take any certificate. For tests and for a person who asked for it by name. */
  readonly insecureSkipVerify?: boolean;
}

export function serverTlsOptions(tls: ServerTls): TLSOptions {
  return {
    cert: tls.cert,
    key: tls.key,
    ...(tls.ca === undefined ? {} : { ca: tls.ca }),
    requestCert: tls.clientCertRequired === true,
    rejectUnauthorized: false,
    ALPNProtocols: SERVER_ALPN,
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
  };
}
