/**
 * TLS settings as Bun takes them. Bun wants the ALPN list in wire form (RFC 7301 §3.1: each name
 * after its length); a JavaScript array is refused and a bare "h2" breaks every handshake.
 *
 * A listener's sockets are all accepted as plaintext and become TLS ones when their settings are
 * known (Socket.upgradeTLS as a server, with the bytes that were read already): so each handshake
 * takes the certificates of its moment, and one address can take both. Bun 1.4.4 does it as fast as
 * it does for a listener that is born with TLS, which can never change its certificates.
 *
 * `rejectUnauthorized` makes BoringSSL end a handshake without a certificate by its alert (RFC 8446
 * §6.2). One that does not verify is looked at by us, right after the handshake: Bun's verification
 * never fails inside it, so that there is no alert to be had but close_notify.
 */
import type { SecureContext } from "node:tls";
import type { Socket, SocketHandler, TLSOptions, TLSUpgradeOptions } from "bun";
import { nodeTls } from "../base/builtin.ts";
import type { CertificateRules } from "./certificate-rules.ts";

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
export interface ServerTls extends TlsLimits, CertificateRules {
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
export interface ClientTls extends TlsLimits, CertificateRules {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  /** The name that the server's certificate must bear, when it is not the host dialed. */
  readonly serverName?: string;
  /** Take any certificate. For tests and for a person who asked for it by name. */
  readonly insecureSkipVerify?: boolean;
}

/** What holds for the next handshake. A promise while changed files are read; never rejects. */
export type TlsSource<Tls> = () => Tls | Promise<Tls>;

/** The versions' numbers on the wire (RFC 8446 §4.2.1), which Bun takes; its types lack them. */
const WIRE_VERSIONS: Readonly<Record<TlsVersion, number>> = { "TLS1.2": 0x0303, "TLS1.3": 0x0304 };

interface BunVersions {
  readonly minVersion?: number;
  readonly maxVersion?: number;
}

/** Making a context parses PEM and takes a millisecond; each settings object has one. */
const contexts = new WeakMap<ServerTls, SecureContext>();

function contextOf(tls: ServerTls): SecureContext {
  const known = contexts.get(tls);
  if (known !== undefined) return known;
  const { cert, key, ca, ciphers, versionMin = "TLS1.2", versionMax = "TLS1.3" } = tls;
  const options = {
    ...{ cert, key, requestCert: tls.clientCertRequired === true }, // node's types lack the last
    ...{ minVersion: NODE_VERSIONS[versionMin], maxVersion: NODE_VERSIONS[versionMax] },
    ...(ca === undefined ? {} : { ca }),
    ...(ciphers === undefined ? {} : { ciphers }),
  };
  const context = nodeTls().createSecureContext(options);
  contexts.set(tls, context);
  return context;
}

const NODE_VERSIONS = { "TLS1.2": "TLSv1.2", "TLS1.3": "TLSv1.3" } as const;

/** What upgradeTLS takes of a server (Bun 1.4.4); its types know only clients. */
interface ServerUpgrade<Data> extends TLSUpgradeOptions<Data> {
  readonly isServer: true;
  readonly initialData?: Uint8Array;
  readonly tls: TLSOptions & { readonly secureContext: unknown };
}

/**
 * Makes TLS of an accepted socket; `first` is what was read of it. `handlers` belong to the socket
 * inside TLS, whose `open` comes before this returns, and so does its end when `first` is no
 * ClientHello. The accepted socket goes on telling its raw bytes, if somebody listens to its data.
 */
export function beginTls<Data>(
  socket: Socket<Data>,
  tls: ServerTls,
  {
    data,
    handlers,
    first,
  }: {
    readonly data: Data;
    readonly handlers: SocketHandler<Data>;
    readonly first?: Uint8Array | undefined;
  },
): void {
  const isRequired = tls.clientCertRequired === true;
  const options: ServerUpgrade<Data> = {
    isServer: true,
    ...(first === undefined ? {} : { initialData: first }),
    data,
    tls: {
      secureContext: contextOf(tls).context,
      requestCert: isRequired,
      rejectUnauthorized: isRequired,
      ALPNProtocols: SERVER_ALPN,
    },
    socket: handlers,
  };
  socket.upgradeTLS(options);
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
