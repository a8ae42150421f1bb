/**
 * Settings of TLS: [tls] is for the addresses of clients, [peer_tls] for members, both ways. Each
 * is etcd's flag too. How they are held against each other is in tls-files.ts.
 */
import type { Setting } from "./setting.ts";

const CLIENT = "client-transport-security";
const PEER = "peer-transport-security";

/** A path. In etcd's YAML it stands in a block of its own; a list of revoked ones has no place. */
function file(path: string, etcd: string, yaml: string, help: string): Setting {
  return { path, etcd, yaml, kind: "string", initial: "", help };
}

const CLIENT_TLS: readonly Setting[] = [
  file("tls.cert_file", "cert-file", `${CLIENT}.cert-file`, "Certificate shown to clients (PEM)"),
  file("tls.key_file", "key-file", `${CLIENT}.key-file`, "Its key (PEM)"),
  file(
    ...(["tls.ca_file", "trusted-ca-file", `${CLIENT}.trusted-ca-file`] as const),
    "Who signs clients' certificates (PEM); clients without one are refused then",
  ),
  {
    path: "tls.client_cert_auth",
    etcd: "client-cert-auth",
    yaml: `${CLIENT}.client-cert-auth`,
    kind: "boolean",
    initial: false,
    help: "Clients need a certificate; with users, its common name says who asks",
  },
  file("tls.crl_file", "client-crl-file", "", "Clients' certificates that are good no more (CRL)"),
  {
    path: "tls.allowed_common_names",
    etcd: "client-cert-allowed-cn",
    yaml: `${CLIENT}.allowed-cn`,
    yamlOnly: true,
    kind: "list",
    initial: "",
    help: "Common names that clients' certificates may bear (all if empty)",
  },
  {
    path: "tls.allowed_hostnames",
    etcd: "client-cert-allowed-hostname",
    yaml: `${CLIENT}.allowed-hostname`,
    kind: "list",
    initial: "",
    help: "Host names that clients' certificates may be for (all if empty)",
  },
  {
    path: "tls.auto",
    etcd: "auto-tls",
    yaml: `${CLIENT}.auto-tls`,
    kind: "boolean",
    initial: false,
    help: "Make a certificate for the clients' addresses, and keep it in the data directory",
  },
  {
    path: "tls.self_signed_years",
    etcd: "self-signed-cert-validity",
    kind: "integer",
    initial: 1,
    min: 1,
    max: 100,
    help: "Years that certificates of tls.auto and peer_tls.auto are good",
  },
  {
    path: "tls.min_version",
    etcd: "tls-min-version",
    kind: "choice",
    initial: "TLS1.2",
    choices: ["", "TLS1.2", "TLS1.3"],
    help: "Oldest TLS that is spoken, to members too",
  },
  {
    path: "tls.max_version",
    etcd: "tls-max-version",
    kind: "choice",
    initial: "",
    choices: ["", "TLS1.2", "TLS1.3"],
    help: "Newest TLS that is spoken, to members too",
  },
  {
    path: "tls.cipher_suites",
    etcd: "cipher-suites",
    kind: "list",
    initial: "",
    help: "TLS 1.2 cipher suites, as Go or IANA calls them; empty: the good ones",
  },
];

const PEER_TLS: readonly Setting[] = [
  file(
    ...(["peer_tls.cert_file", "peer-cert-file", `${PEER}.cert-file`] as const),
    "Certificate shown to other members (PEM)",
  ),
  file("peer_tls.key_file", "peer-key-file", `${PEER}.key-file`, "Its key (PEM)"),
  file(
    ...(["peer_tls.ca_file", "peer-trusted-ca-file", `${PEER}.trusted-ca-file`] as const),
    "Who signs members' certificates (PEM); callers without one are refused then",
  ),
  {
    path: "peer_tls.client_cert_auth",
    etcd: "peer-client-cert-auth",
    yaml: `${PEER}.client-cert-auth`,
    kind: "boolean",
    initial: false,
    help: "Members need a certificate when they call",
  },
  file(
    ...([
      "peer_tls.client_cert_file",
      "peer-client-cert-file",
      `${PEER}.client-cert-file`,
    ] as const),
    "Shown when calling other members, if not cert_file (PEM)",
  ),
  file(
    ...(["peer_tls.client_key_file", "peer-client-key-file", `${PEER}.client-key-file`] as const),
    "Its key (PEM)",
  ),
  file("peer_tls.crl_file", "peer-crl-file", "", "Members' certificates that are good no more"),
  {
    path: "peer_tls.allowed_common_names",
    etcd: "peer-cert-allowed-cn",
    yaml: `${PEER}.allowed-cn`,
    kind: "list",
    initial: "",
    help: "Common names that members' certificates may bear (all if empty)",
  },
  {
    path: "peer_tls.allowed_hostnames",
    etcd: "peer-cert-allowed-hostname",
    yaml: `${PEER}.allowed-hostname`,
    kind: "list",
    initial: "",
    help: "Host names that members' certificates may be for (all if empty)",
  },
  {
    path: "peer_tls.skip_address_check",
    etcd: "peer-skip-client-san-verification",
    yaml: `${PEER}.skip-client-san-verification`,
    twins: ["experimental-peer-skip-client-san-verification"],
    kind: "boolean",
    initial: false,
    help: "Take members' certificates whatever address they name",
  },
  {
    path: "peer_tls.auto",
    etcd: "peer-auto-tls",
    yaml: `${PEER}.auto-tls`,
    kind: "boolean",
    initial: false,
    help: "Make a certificate for the members' addresses: nobody reads along, nobody is proved",
  },
];

export const TLS_SETTINGS: readonly Setting[] = [...CLIENT_TLS, ...PEER_TLS];
