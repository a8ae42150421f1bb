/**
 * What the settings say of TLS: which files, how strict. The rules are etcd's: without a
 * certificate an https address cannot be, with http ones a certificate is passed over and named,
 * and who names an authority for callers wants a certificate of each of them. What cannot do what
 * it says is refused: revoked certificates where nobody is asked for one, two kinds of names.
 */

import { join } from "node:path";
import { hostOf } from "./addresses.ts";
import { cipherListOf } from "./ciphers.ts";
import { ConfigError } from "./config-error.ts";
import { type Notice, Notices } from "./notices.ts";
import { partsOf } from "./options.ts";
import type { Gathered } from "./sources.ts";
import { TLS_SETTINGS } from "./tls-settings.ts";
import { hasTls, type TlsTable, type Topology } from "./topology.ts";

export type TlsVersion = "TLS1.2" | "TLS1.3";

/** Paths of PEM files, and what is demanded of the other side. */
export interface TlsFiles {
  readonly certFile: string;
  readonly keyFile: string;
  /** Who signs the other side's certificates; undefined: whom the system trusts. */
  readonly caFile: string | undefined;
  /** Certificates that are good no more, signed by the authority: PEM or DER; undefined: none. */
  readonly crlFile: string | undefined;
  /** One of these has to be the common name of the other side's certificate; all if empty. */
  readonly allowedCommonNames: readonly string[];
  /** One of these (names, addresses) has to be in the other side's certificate; all if empty. */
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
  /** Where it is kept: below the data directory, where etcd keeps its own. */
  readonly directory: string;
  /** The names and addresses that it has to bear; one that stands for every interface too. */
  readonly hosts: readonly string[];
  readonly validYears: number;
}

/** Where etcd keeps what it makes for each of the two tables of settings. */
const DIRECTORIES: Readonly<Record<TlsTable, string>> = { tls: "client", peer_tls: "peer" };

interface Found {
  readonly client: TlsFiles | undefined;
  readonly peer: TlsFiles | undefined;
  readonly notices: readonly Notice[];
}

/** Throws ConfigError where an address asks for TLS and there is none to be had. */
export function tlsFilesOf(settings: Gathered, topology: Topology): Found {
  const notices = new Notices();
  const limits = { versions: versionsOf(settings), ciphers: ciphersOf(settings) };
  const { listenClient, listenClientHttp, listenMetrics, listenPeer } = topology;
  const { clientUrls, peerUrls, founders, dataDir } = topology;
  const forClients = [...listenClient, ...listenClientHttp, ...listenMetrics];
  // Without an address for members there are none, and the clients' address stands for it.
  const isAlone = listenPeer.length === 0;
  const called = isAlone ? [] : founders.flatMap((founder) => founder.peerUrls);
  const filesFor = (table: TlsTable, listening: readonly string[], own: readonly string[]) => {
    const hosts = [...new Set([...listening.filter(isSecure), ...own].map(nameOf))];
    const addresses = table === "tls" ? listening : [...listening, ...called];
    const needed = neededBy(settings, table, addresses, notices);
    if (!needed) return undefined;
    const files = { ...filesOf(settings, table, { hosts, dataDir }), ...limits };
    if (files.clientCertRequired) checkAuthority(settings, table, files, notices);
    return files;
  };
  const client = filesFor("tls", forClients, clientUrls);
  const peer = filesFor("peer_tls", listenPeer, peerUrls);
  tellShared(settings, client, peer, notices);
  return { client, peer, notices: notices.all() };
}

/** An authority that signs clients' certificates too makes each of them a member. */
function tellShared(
  settings: Gathered,
  client: TlsFiles | undefined,
  peer: TlsFiles | undefined,
  notices: Notices,
): void {
  if (peer?.caFile === undefined || peer.caFile !== client?.caFile) return;
  const names = [...peer.allowedCommonNames, ...peer.allowedHostnames];
  if (names.length > 0 || settings.text("cluster.secret") !== "") return;
  const [where, allowed] = ["ca_file", "allowed_common_names"].map((name) => {
    return wordFor(settings, `peer_tls.${name}`);
  });
  const advice = `name another authority, or the members' certificates by ${allowed}`;
  notices.warn("whoever has a client's certificate can be a member: their authority is one", {
    ...{ where, advice },
  });
}

function isSecure(address: string): boolean {
  return /^(https|unixs):/.test(address);
}

/** What a certificate has to call an address. */
function nameOf(address: string): string {
  return hostOf(address)?.host ?? "localhost";
}

/** Whether an address asks for TLS; says so if none does and somebody believes otherwise. */
function neededBy(
  settings: Gathered,
  table: TlsTable,
  addresses: readonly string[],
  notices: Notices,
): boolean {
  const text = (name: string): string => settings.text(`${table}.${name}`);
  if ((text("cert_file") === "") !== (text("key_file") === "")) {
    const given = `${table}.${text("cert_file") === "" ? "key_file" : "cert_file"}`;
    throw new ConfigError(`${settings.where(given)}: a certificate and its key go together`);
  }
  if (settings.on(`${table}.auto`) && text("cert_file") !== "") {
    const [where, instead] = [`${table}.auto`, `${table}.cert_file`].map((path) => {
      return settings.where(path);
    });
    notices.warn("no certificate is made, since one is given", { where, instead });
  }
  const wanted = addresses.find(isSecure);
  if (wanted === undefined) tellUnused(settings, table, notices);
  else if (!hasTls(settings, table)) {
    const words = ["cert_file", "key_file"].map((name) => wordFor(settings, `${table}.${name}`));
    throw new ConfigError(`${wanted}: TLS needs ${words.join(" and ")}`);
  }
  return wanted !== undefined;
}

/** What a setting is called by whoever speaks: where it was set, else by the dialect. */
function wordFor(settings: Gathered, path: string): string {
  const etcd = TLS_SETTINGS.find((setting) => setting.path === path)?.etcd;
  return settings.chosen(path) ?? (settings.speaksEtcd ? `--${etcd}` : path);
}

/** The certificates of one table, which an address asked for. */
function filesOf(
  settings: Gathered,
  table: TlsTable,
  { hosts, dataDir }: { readonly hosts: readonly string[]; readonly dataDir: string },
): Omit<TlsFiles, "versions" | "ciphers"> {
  const text = (name: string): string => settings.text(`${table}.${name}`);
  const caFile = text("ca_file") || undefined;
  const isAuto = text("cert_file") === "";
  const directory = join(dataDir, "fixtures", DIRECTORIES[table]);
  const validYears = settings.number("tls.self_signed_years");
  const clientCertRequired = caFile !== undefined || settings.on(`${table}.client_cert_auth`);
  const isPeer = table === "peer_tls";
  if (isAuto && isPeer) refuseAuthority(settings);
  if (!clientCertRequired) refuseUnasked(settings, table);
  return {
    certFile: isAuto ? join(directory, "cert.pem") : text("cert_file"),
    keyFile: isAuto ? join(directory, "key.pem") : text("key_file"),
    caFile,
    crlFile: text("crl_file") || undefined,
    ...allowedOf(settings, table),
    ...(isPeer ? callerFilesOf(settings) : NO_CALLER),
    clientCertRequired,
    selfSigned: isAuto ? { directory, hosts, validYears } : undefined,
    calledUnverified: isPeer && isAuto,
    addressesChecked: isPeer && !settings.on("peer_tls.skip_address_check"),
  };
}

type CallerFiles = Pick<TlsFiles, "callerCertFile" | "callerKeyFile">;

/** Clients are not called. */
const NO_CALLER: CallerFiles = { callerCertFile: undefined, callerKeyFile: undefined };

function callerFilesOf(settings: Gathered): CallerFiles {
  const [cert, key] = ["peer_tls.client_cert_file", "peer_tls.client_key_file"] as const;
  const callerCertFile = settings.text(cert) || undefined;
  const callerKeyFile = settings.text(key) || undefined;
  if ((callerCertFile === undefined) === (callerKeyFile === undefined)) {
    return { callerCertFile, callerKeyFile };
  }
  const where = settings.where(callerCertFile === undefined ? key : cert);
  throw new ConfigError(`${where}: a certificate and its key go together`);
}

/** Members that make their own certificates would refuse each other by an authority. */
function refuseAuthority(settings: Gathered): void {
  const given = ["peer_tls.ca_file", "peer_tls.client_cert_auth"].find((path) => {
    return settings.on(path) || (path.endsWith("_file") && settings.text(path) !== "");
  });
  if (given === undefined) return;
  const [auto, where] = [wordFor(settings, "peer_tls.auto"), wordFor(settings, given)];
  throw new ConfigError(`${where}: no authority signs the certificates that ${auto} makes`);
}

/**
 * Without an authority of one's own those that the system trusts are asked, as in etcd: everybody
 * on the internet can have a certificate of one of them, which must not make him a member.
 */
function checkAuthority(
  settings: Gathered,
  table: TlsTable,
  { caFile, allowedCommonNames, allowedHostnames }: Omit<TlsFiles, "versions" | "ciphers">,
  notices: Notices,
): void {
  if (caFile !== undefined || allowedCommonNames.length + allowedHostnames.length > 0) return;
  const [where, ca] = ["client_cert_auth", "ca_file"].map((name) => {
    return wordFor(settings, `${table}.${name}`);
  });
  const why = "every public authority could sign the certificates";
  if (table === "peer_tls") throw new ConfigError(`${where}: ${why}: name yours by ${ca}`);
  notices.warn(why, { where, advice: `name yours by ${ca}` });
}

/** Rules for callers' certificates where no caller is asked for one would be without effect. */
function refuseUnasked(settings: Gathered, table: TlsTable): void {
  const names = ["crl_file", "allowed_common_names", "allowed_hostnames"];
  const given = names.find((name) => settings.text(`${table}.${name}`) !== "");
  if (given === undefined) return;
  const where = wordFor(settings, `${table}.${given}`);
  const ca = wordFor(settings, `${table}.ca_file`);
  throw new ConfigError(`${where}: nobody is asked for a certificate without ${ca}`);
}

/** Whose certificates are believed beyond what the authority says of them; etcd: names or hosts. */
function allowedOf(
  settings: Gathered,
  table: TlsTable,
): Pick<TlsFiles, "allowedCommonNames" | "allowedHostnames"> {
  const [names, hosts] = [`${table}.allowed_common_names`, `${table}.allowed_hostnames`];
  const allowedCommonNames = partsOf(settings.text(names));
  const allowedHostnames = partsOf(settings.text(hosts));
  if (allowedCommonNames.length > 0 && allowedHostnames.length > 0) {
    const [where, other] = [settings.where(names), settings.where(hosts)];
    throw new ConfigError(`${where} and ${other}: only one of them may say who is let in`);
  }
  return { allowedCommonNames, allowedHostnames };
}

/** Somebody may believe that the plaintext addresses are protected. */
function tellUnused(settings: Gathered, table: TlsTable, notices: Notices): void {
  const paths = ["cert_file", "ca_file", "crl_file"].map((name) => `${table}.${name}`);
  const set = [
    ...paths.filter((path) => settings.text(path) !== ""),
    ...[`${table}.client_cert_auth`, `${table}.auto`].filter((path) => settings.on(path)),
  ];
  if (set.length === 0) return;
  const flags = set.map((path) => settings.where(path)).join(", ");
  notices.warn("all addresses are plaintext: the certificates are not used", { flags });
}

/** Of every address: who asks for a contradiction is told before there is one with TLS. */
function versionsOf(settings: Gathered): TlsFiles["versions"] {
  const min = (settings.text("tls.min_version") || "TLS1.2") as TlsVersion;
  const max = (settings.text("tls.max_version") || "TLS1.3") as TlsVersion;
  if (min <= max) return { min, max };
  const [where, other] = ["tls.max_version", "tls.min_version"].map((path) => {
    return wordFor(settings, path);
  });
  throw new ConfigError(`${where}: ${max} is below ${other} ${min}`);
}

function ciphersOf(settings: Gathered): string | undefined {
  const names = partsOf(settings.text("tls.cipher_suites"));
  if (names.length === 0) return undefined;
  const where = settings.where("tls.cipher_suites");
  if (settings.text("tls.min_version") === "TLS1.3") {
    throw new ConfigError(`${where}: the suites of TLS 1.3 cannot be chosen`);
  }
  return cipherListOf(names, where);
}
