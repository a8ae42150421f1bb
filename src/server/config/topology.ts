/**
 * Who this node is, where it listens, and who founds the cluster with it: from Aether's words
 * (node_id, addr, [[cluster.peers]]) or from etcd's (--name, --listen-client-urls,
 * --initial-cluster, …), into one shape. The ids of members are computed from their peer URLs, so
 * every member has to be told the same URLs, letter by letter.
 */
import { hostPort } from "../../net/address.ts";
import {
  type Founder,
  hostOf,
  isLoopback,
  isWildcard,
  listenAddressOf,
  parseAddress,
  parseMembers,
  parseUrls,
} from "./addresses.ts";
import { ConfigError } from "./config-error.ts";
import type { Peer } from "./file.ts";
import { type Notice, Notices } from "./notices.ts";
import type { Gathered } from "./sources.ts";

export interface Topology {
  readonly name: string;
  readonly dataDir: string;
  /** Where to listen for clients: `host:port` (plaintext) or a URL; at least one. */
  readonly listenClient: readonly string[];
  /** The same for their HTTP; the others are for gRPC alone then. Empty: there are none such. */
  readonly listenClientHttp: readonly string[];
  /** The same for other members; empty: they come to the clients' addresses. */
  readonly listenPeer: readonly string[];
  /** Where to answer /metrics and health besides; empty: nowhere. */
  readonly listenMetrics: readonly string[];
  /** Somebody asked for the metrics addresses: a taken one is an error, not a reason to move. */
  readonly metricsChosen: boolean;
  /** What clients are told. A port 0 stands for the one that the system gives. */
  readonly clientUrls: readonly string[];
  /** What other members are told; those of `name` in `founders`. */
  readonly peerUrls: readonly string[];
  /** The members as configured, this one among them: founders, or whom to ask when joining. */
  readonly founders: readonly Founder[];
  /** To be logged once, when there is a log. */
  readonly notices: readonly Notice[];
}

export function topologyOf(settings: Gathered): Topology {
  const topology = settings.speaksEtcd ? fromEtcdWords(settings) : fromAetherWords(settings);
  checkSecrets(settings);
  if (topology.founders.length <= 1) return topology;
  checkMembers(topology, settings);
  return { ...topology, notices: secretNotices(topology, settings) };
}

function fromAetherWords(settings: Gathered): Topology {
  const nodeId = settings.number("node_id");
  const addr = settings.text("addr");
  const separate = settings.text("cluster.peer_addr");
  const peerAddr = separate === "" ? addr : separate;
  checkPeers(settings.peers);
  const own = settings.peers.find((peer) => peer.nodeId === nodeId);
  const advertised = own === undefined ? peerAddr : ownAddress(own, peerAddr);
  const peers: readonly Pick<Peer, "nodeId" | "addr">[] =
    own === undefined ? [{ nodeId, addr: advertised }, ...settings.peers] : settings.peers;
  const scheme = schemesOf(settings, peerAddr === addr, peers.length);
  const founders = peers.map((peer) => ({
    name: nameOf(peer.nodeId),
    peerUrls: [`${scheme.peers}://${peer.addr}`],
  }));
  return {
    name: nameOf(nodeId),
    dataDir: settings.text("data_dir"),
    listenClient: [inScheme(scheme.clients, addr)],
    listenClientHttp: [],
    listenPeer: peerAddr === addr ? [] : [inScheme(scheme.peers, peerAddr)],
    listenMetrics: [ownMetricsAddress(settings)],
    metricsChosen: settings.chosen("metrics.listen_addr") !== undefined,
    clientUrls: [`${scheme.clients}://${clientAddress(addr, advertised)}`],
    peerUrls: [`${scheme.peers}://${advertised}`],
    ...{ founders, notices: [] },
  };
}

/** The two tables of settings of TLS. */
export type TlsTable = "tls" | "peer_tls";

/** Whether there is a certificate to show: an address without a scheme has TLS then. */
export function hasTls(settings: Gathered, table: TlsTable): boolean {
  return settings.text(`${table}.cert_file`) !== "" || settings.on(`${table}.auto`);
}

type Scheme = "http" | "https";

/** Where to listen: plaintext needs no scheme. */
function inScheme(scheme: Scheme, address: string): string {
  return scheme === "https" ? `https://${address}` : address;
}

/** Who is asked for what certificate is a matter of the address: one has one answer. */
function schemesOf(
  settings: Gathered,
  isShared: boolean,
  memberCount: number,
): { readonly clients: Scheme; readonly peers: Scheme } {
  const [clients, peers] = [hasTls(settings, "tls"), hasTls(settings, "peer_tls")];
  if (isShared && (peers || (clients && memberCount > 1))) {
    const table = peers ? "peer_tls" : "tls";
    const where = settings.chosen(`${table}.cert_file`) ?? settings.where(`${table}.auto`);
    throw new ConfigError(`${where}: members need an address of their own: set cluster.peer_addr`);
  }
  const schemeOf = (secure: boolean): Scheme => (secure ? "https" : "http");
  return { clients: schemeOf(clients), peers: schemeOf(isShared ? clients : peers) };
}

/** Where metrics are answered in Aether's words. */
function ownMetricsAddress(settings: Gathered): string {
  const address = settings.text("metrics.listen_addr");
  if (!settings.on("metrics.tls")) return address;
  if (hasTls(settings, "tls")) return inScheme("https", address);
  throw new ConfigError(`${settings.where("metrics.tls")}: there is no certificate in [tls]`);
}

function nameOf(nodeId: number): string {
  return `node-${nodeId}`;
}

function checkPeers(peers: readonly Peer[]): void {
  for (const [position, peer] of peers.entries()) {
    for (const earlier of peers.slice(0, position)) {
      if (earlier.nodeId === peer.nodeId) {
        throw new ConfigError(`${peer.where}: node_id ${peer.nodeId} stands there twice`);
      }
      if (earlier.addr === peer.addr) {
        throw new ConfigError(`${peer.where}: addr ${peer.addr} stands there twice`);
      }
    }
  }
}

/**
 * What the others call this node by. Its own entry has to say where it listens, unless that is
 * every interface: then the entry says which of them the others know.
 */
function ownAddress(own: Peer, peerAddr: string): string {
  const listens = parseAddress(peerAddr, own.where);
  const listed = parseAddress(own.addr, own.where);
  const sameHost = listed.host === listens.host || isWildcard(listens.host);
  if (sameHost && listed.port === listens.port) return own.addr;
  throw new ConfigError(
    `${own.where}: node_id ${own.nodeId} is this node, which listens on ${peerAddr}, ` +
      `not on ${own.addr}`,
  );
}

/** Of every interface, the one that other members know is good enough for clients. */
function clientAddress(addr: string, advertised: string): string {
  const { host, port } = parseAddress(addr, "addr");
  if (!isWildcard(host)) return addr;
  return hostPort(parseAddress(advertised, "addr").host, port);
}

function fromEtcdWords(settings: Gathered): Topology {
  const name = settings.text("--name");
  const listenClient = listenAddresses(settings, "--listen-client-urls");
  const listenPeer = listenAddresses(settings, "--listen-peer-urls");
  const isFree = (address: string): boolean => address.endsWith(":0"); // another one each time
  const twice = listenPeer.find((each) => listenClient.includes(each) && !isFree(each));
  if (twice !== undefined) {
    const where = settings.where("--listen-peer-urls");
    throw new ConfigError(`${where}: ${twice} is where clients are listened for`);
  }
  const listening = settings.chosen("--listen-client-urls");
  if (listening !== undefined && settings.chosen("--advertise-client-urls") === undefined) {
    throw new ConfigError(
      `${listening}: --advertise-client-urls is needed too: where clients find this member`,
    );
  }
  const chosenMetrics = settings.chosen("metrics.listen_addr") ?? settings.chosen("metrics.tls");
  const peerUrls = urlsOf(settings, "--initial-advertise-peer-urls");
  const dataDirChosen = settings.chosen("data_dir") !== undefined;
  return {
    name,
    dataDir: dataDirChosen ? settings.text("data_dir") : `${name}.etcd`,
    listenClient,
    listenClientHttp: listenAddresses(settings, "--listen-client-http-urls"),
    listenPeer,
    listenMetrics:
      chosenMetrics !== undefined
        ? [ownMetricsAddress(settings)]
        : listenAddresses(settings, "--listen-metrics-urls"),
    metricsChosen: true,
    clientUrls: urlsOf(settings, "--advertise-client-urls"),
    peerUrls,
    founders: initialCluster(settings, name, peerUrls),
    notices: [],
  };
}

function urlsOf(settings: Gathered, flag: string): readonly string[] {
  return parseUrls(settings.text(flag), settings.where(flag));
}

/** Empty when nothing is asked for. */
function listenAddresses(settings: Gathered, flag: string): readonly string[] {
  return settings.text(flag) === "" ? [] : urlsOf(settings, flag).map(listenAddressOf);
}

function initialCluster(
  settings: Gathered,
  name: string,
  peerUrls: readonly string[],
): readonly Founder[] {
  const text = settings.text("--initial-cluster");
  if (text === "") return [{ name, peerUrls }];
  const where = settings.where("--initial-cluster");
  const founders = parseMembers(text, where);
  const own = founders.find((founder) => founder.name === name);
  if (own === undefined) {
    const names = founders.map((founder) => founder.name).join(", ");
    throw new ConfigError(`${where}: this member, ${name} (--name), is not among ${names}`);
  }
  const same = new Set(own.peerUrls).symmetricDifference(new Set(peerUrls)).size === 0;
  if (!same) {
    throw new ConfigError(
      `${where}: ${name} is at ${own.peerUrls.join(",")} there and at ${peerUrls.join(",")} ` +
        `by ${settings.where("--initial-advertise-peer-urls")}`,
    );
  }
  return founders;
}

/**
 * What several members need in order to find and believe each other, in both dialects. etcd
 * believes whoever reaches a plaintext peer address, or one that asks for no certificate.
 */
function checkMembers({ founders, peerUrls }: Topology, settings: Gathered): void {
  const where = settings.where(settings.speaksEtcd ? "--initial-cluster" : "cluster.peers");
  const urls = founders.flatMap((founder) => founder.peerUrls);
  if (new Set(urls).size < urls.length) {
    const twice = urls.find((url, position) => urls.indexOf(url) < position);
    throw new ConfigError(`${where}: ${twice} stands there twice`);
  }
  for (const url of urls) checkCallable(url, where);
  const far = urls.find((url) => !isNear(url));
  if (far === undefined) return;
  const near = peerUrls.find(isNear);
  if (near !== undefined) {
    throw new ConfigError(`${where}: a member at ${far} cannot call this one at ${near}`);
  }
  if (settings.text("cluster.secret") !== "") return;
  const open = urls.find((url) => !isNear(url) && url.startsWith("http:"));
  if (open === undefined && isVerified(settings)) return;
  throw new ConfigError(`${where}: ${provingAdvice(settings, open ?? far)}`);
}

/**
 * The secret never travels, but who hears members speak can try guesses at it, billions a second:
 * 16 bytes drawn by chance are beyond that, shorter ones are words.
 */
const SECRET_BYTES_MIN = 16;

/** The secret before means something only beside another one. */
function checkSecrets(settings: Gathered): void {
  const [secret, previous] = ["cluster.secret", "cluster.secret_previous"].map((key) => {
    return settings.text(key);
  });
  if (previous === "" || (secret !== "" && secret !== previous)) return;
  const where = settings.where("cluster.secret_previous");
  throw new ConfigError(`${where}: needs another, newer cluster.secret beside it`);
}

function secretNotices({ founders }: Topology, settings: Gathered): readonly Notice[] {
  const notices = new Notices();
  const urls = founders.flatMap((founder) => founder.peerUrls);
  const open = urls.find((url) => !isNear(url) && url.startsWith("http:"));
  if (open !== undefined) {
    const advice = settings.speaksEtcd ? "https:// peer URLs" : "[peer_tls]";
    const what = "keys and values, hashes of passwords, and the key that tokens are signed with";
    notices.warn("members speak in plaintext over a network: others can read all of it", {
      ...{ url: open, what, advice },
    });
  }
  const bytes = Buffer.byteLength(settings.text("cluster.secret"));
  if (bytes > 0 && bytes < SECRET_BYTES_MIN) {
    const advice = "draw a longer one, as by: openssl rand -base64 32";
    notices.warn("the cluster secret is short enough to be guessed", { bytes, advice });
  }
  if (settings.text("cluster.secret_previous") !== "") {
    const advice = "remove cluster.secret_previous once every member has the new secret";
    notices.warn("the previous cluster secret is still taken", { advice });
  }
  return notices.all();
}

/** Each of two members asks the other for a certificate: those that members make are nobody's. */
function isVerified(settings: Gathered): boolean {
  if (!hasTls(settings, "peer_tls") || settings.text("peer_tls.cert_file") === "") return false;
  return settings.text("peer_tls.ca_file") !== "" || settings.on("peer_tls.client_cert_auth");
}

/** Without a proof each would refuse the others: whoever can reach it could say what they say. */
function provingAdvice(settings: Gathered, url: string): string {
  const secret =
    `members on several machines (${url}) need cluster.secret, the same at each: ` +
    "set AETHER_CLUSTER_SECRET, or the key in the configuration file";
  if (!settings.speaksEtcd) return `${secret}; or [peer_tls] with certificates of one ca_file`;
  return (
    `members on several machines (${url}) have to prove who they are: set the same ` +
    "AETHER_CLUSTER_SECRET at each, or give them https:// URLs with --peer-cert-file, " +
    "--peer-key-file and --peer-trusted-ca-file"
  );
}

/** Whether only this machine can call it. */
function isNear(url: string): boolean {
  const address = hostOf(url);
  return address === undefined || isLoopback(address.host);
}

function checkCallable(url: string, where: string): void {
  const address = hostOf(url);
  if (address === undefined) return;
  if (address.port === 0) {
    throw new ConfigError(`${where}: ${url}: other members cannot know a port that is drawn`);
  }
  if (isWildcard(address.host)) {
    throw new ConfigError(
      `${where}: ${url}: other members cannot call every interface; ` +
        "list this node with the address that they use",
    );
  }
}
