/**
 * What etcd's flags say of TLS: which files, how strict. The rules are etcd's: without a
 * certificate an https address cannot be, with http ones a certificate is passed over and named,
 * and who names an authority for callers wants a certificate of each of them.
 */

import { cipherListOf } from "./ciphers.ts";
import { ConfigError } from "./config-error.ts";
import { type Notice, Notices } from "./notices.ts";
import { partsOf } from "./options.ts";
import type { Gathered } from "./sources.ts";
import type { Topology } from "./topology.ts";

export type TlsVersion = "TLS1.2" | "TLS1.3";

/** Paths of PEM files, and what is demanded of the other side. */
export interface TlsFiles {
  readonly certFile: string;
  readonly keyFile: string;
  /** Who signs the other side's certificates; undefined: whom the system trusts. */
  readonly caFile: string | undefined;
  /** Certificates that are good no more, signed by the authority: PEM or DER; undefined: none. */
  readonly crlFile: string | undefined;
  /** One of these has to be the common name of the other side's certificate; empty: any. */
  readonly allowedCommonNames: readonly string[];
  /** One of these (names, addresses) has to be in the other side's certificate; empty: any. */
  readonly allowedHostnames: readonly string[];
  /** Callers without a certificate that the authority signed are refused. */
  readonly clientCertRequired: boolean;
  /** Shown when calling, if it is another than when being called. */
  readonly callerCertFile: string | undefined;
  readonly callerKeyFile: string | undefined;
  /** The two files above are made at the start and kept; undefined: somebody else made them. */
  readonly selfSigned: SelfSigned | undefined;
  /** The others' certificates are of their own making: whom we call need not prove who it is. */
  readonly calledUnverified: boolean;
  /** A caller's certificate has to name the address it calls from. */
  readonly addressesChecked: boolean;
  readonly versions: { readonly min: TlsVersion; readonly max: TlsVersion };
  /** Names of OpenSSL with colons, for TLS 1.2; undefined: the runtime's. */
  readonly ciphers: string | undefined;
}

/** A certificate that nobody else signed. */
export interface SelfSigned {
  /** Where it is kept, below the data directory. */
  readonly directory: string;
  /** The names and addresses that it has to bear. */
  readonly hosts: readonly string[];
  readonly validYears: number;
}

interface Found {
  readonly client: TlsFiles | undefined;
  readonly peer: TlsFiles | undefined;
  readonly notices: readonly Notice[];
}

/** Throws ConfigError where an address asks for TLS and there is none to be had. */
export function tlsFilesOf(settings: Gathered, topology: Topology): Found {
  const notices = new Notices();
  const { listenClient, listenClientHttp, listenMetrics, listenPeer } = topology;
  const forClients = [...listenClient, ...listenClientHttp, ...listenMetrics];
  const client = filesOf(settings, "", forClients, notices);
  const peer = filesOf(settings, "peer-", [...listenPeer, ...urlsOf(topology)], notices);
  return { client, peer, notices: notices.all() };
}

function urlsOf({ founders }: Topology): readonly string[] {
  return founders.flatMap(({ peerUrls }) => peerUrls);
}

function isSecure(address: string): boolean {
  return /^(https|unixs):/.test(address);
}

function filesOf(
  settings: Gathered,
  prefix: "" | "peer-",
  addresses: readonly string[],
  notices: Notices,
): TlsFiles | undefined {
  const text = (name: string): string => settings.text(`--${prefix}${name}`);
  const certFile = text("cert-file");
  const keyFile = text("key-file");
  const wanted = addresses.find(isSecure);
  if ((certFile === "") !== (keyFile === "")) {
    const where = settings.where(`--${prefix}${certFile === "" ? "key-file" : "cert-file"}`);
    throw new ConfigError(`${where}: a certificate and its key go together`);
  }
  if (wanted === undefined) {
    tellUnused(settings, prefix, notices);
    return undefined;
  }
  if (certFile === "") {
    throw new ConfigError(`${wanted}: TLS needs --${prefix}cert-file and --${prefix}key-file`);
  }
  const caFile = text("trusted-ca-file") || undefined;
  return {
    ...{ certFile, keyFile, caFile },
    crlFile: text("crl-file") || undefined,
    ...allowedOf(settings, prefix),
    selfSigned: undefined,
    calledUnverified: false,
    clientCertRequired: caFile !== undefined || settings.on(`--${prefix}client-cert-auth`),
    callerCertFile: text("client-cert-file") || undefined,
    callerKeyFile: text("client-key-file") || undefined,
    addressesChecked: prefix !== "" && !settings.on("--peer-skip-client-san-verification"),
    versions: versionsOf(settings),
    ciphers: ciphersOf(settings),
  };
}

/** Whose certificates are believed beyond what the authority says of them; etcd: names or hosts. */
function allowedOf(
  settings: Gathered,
  prefix: "" | "peer-",
): Pick<TlsFiles, "allowedCommonNames" | "allowedHostnames"> {
  const own = prefix === "" ? "client-cert" : "peer-cert";
  const [names, hosts] = [`--${own}-allowed-cn`, `--${own}-allowed-hostname`];
  const allowedCommonNames = partsOf(settings.text(names));
  const allowedHostnames = partsOf(settings.text(hosts));
  if (allowedCommonNames.length > 0 && allowedHostnames.length > 0) {
    const [where, other] = [settings.where(names), settings.where(hosts)];
    throw new ConfigError(`${where} and ${other}: only one of them may say who is let in`);
  }
  return { allowedCommonNames, allowedHostnames };
}

/** Somebody may believe that the plaintext addresses are protected. */
function tellUnused(settings: Gathered, prefix: string, notices: Notices): void {
  const names = ["cert-file", "trusted-ca-file", "client-cert-auth"];
  const given = names.filter((name) => settings.chosen(`--${prefix}${name}`) !== undefined);
  const set = given.filter((name) => {
    const flag = `--${prefix}${name}`;
    return settings.on(flag) || (name !== "client-cert-auth" && settings.text(flag) !== "");
  });
  if (set.length === 0) return;
  const flags = set.map((name) => `--${prefix}${name}`).join(", ");
  notices.warn("all addresses are plaintext: the certificates are not used", { flags });
}

function versionsOf(settings: Gathered): TlsFiles["versions"] {
  const min = (settings.text("--tls-min-version") || "TLS1.2") as TlsVersion;
  const max = (settings.text("--tls-max-version") || "TLS1.3") as TlsVersion;
  if (min <= max) return { min, max };
  const where = settings.where("--tls-max-version");
  throw new ConfigError(`${where}: ${max} is below --tls-min-version ${min}`);
}

function ciphersOf(settings: Gathered): string | undefined {
  const names = partsOf(settings.text("--cipher-suites"));
  if (names.length === 0) return undefined;
  const where = settings.where("--cipher-suites");
  if (settings.text("--tls-min-version") === "TLS1.3") {
    throw new ConfigError(`${where}: the suites of TLS 1.3 cannot be chosen`);
  }
  return cipherListOf(names, where);
}
