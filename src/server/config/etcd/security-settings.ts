/** etcd's flags for TLS, users and who may ask over HTTP. */
import type { EtcdSetting } from "../settings.ts";

const NO_AUTO_TLS = "this version makes no certificates; give --cert-file and --key-file";

/** A path of a PEM file; in etcd's YAML it stands in a block of its own. */
function pem(etcd: string, yaml: string, help: string): EtcdSetting {
  return { etcd, yaml, kind: "string", initial: "", help };
}

const CLIENT = "client-transport-security";
const PEER = "peer-transport-security";

export const SECURITY_SETTINGS: readonly EtcdSetting[] = [
  pem("cert-file", `${CLIENT}.cert-file`, "Certificate shown to clients (PEM)"),
  pem("key-file", `${CLIENT}.key-file`, "Its key (PEM)"),
  pem("trusted-ca-file", `${CLIENT}.trusted-ca-file`, "Certificates that sign clients' (PEM)"),
  {
    etcd: "client-cert-auth",
    yaml: `${CLIENT}.client-cert-auth`,
    kind: "boolean",
    initial: false,
    help: "Refuse clients without a certificate signed by --trusted-ca-file",
  },
  {
    ...pem("client-cert-file", `${CLIENT}.client-cert-file`, "For calls of the server to itself"),
    inert: "the JSON gateway calls its handlers without a connection",
  },
  {
    ...pem("client-key-file", `${CLIENT}.client-key-file`, "For calls of the server to itself"),
    inert: "the JSON gateway calls its handlers without a connection",
  },
  pem("client-crl-file", "", "Clients' certificates that are good no more (PEM or DER)"),
  {
    etcd: "client-cert-allowed-hostname",
    yaml: `${CLIENT}.allowed-hostname`,
    kind: "list",
    initial: "",
    help: "Names that a client's certificate may bear",
  },
  {
    etcd: "client-cert-allowed-cn",
    yaml: `${CLIENT}.allowed-cn`,
    yamlOnly: true,
    kind: "list",
    initial: "",
    help: "Common names that a client's certificate may bear",
  },
  {
    etcd: "auto-tls",
    yaml: `${CLIENT}.auto-tls`,
    kind: "boolean",
    initial: false,
    help: "Make certificates for the clients' addresses",
    refused: NO_AUTO_TLS,
  },
  pem("peer-cert-file", `${PEER}.cert-file`, "Certificate shown to other members (PEM)"),
  pem("peer-key-file", `${PEER}.key-file`, "Its key (PEM)"),
  pem("peer-trusted-ca-file", `${PEER}.trusted-ca-file`, "Certificates that sign members' (PEM)"),
  {
    etcd: "peer-client-cert-auth",
    yaml: `${PEER}.client-cert-auth`,
    kind: "boolean",
    initial: false,
    help: "Refuse members without a certificate signed by --peer-trusted-ca-file",
  },
  pem("peer-client-cert-file", `${PEER}.client-cert-file`, "Shown when calling other members"),
  pem("peer-client-key-file", `${PEER}.client-key-file`, "Its key (PEM)"),
  pem("peer-crl-file", "", "Members' certificates that are good no more (PEM or DER)"),
  {
    etcd: "peer-cert-allowed-cn",
    yaml: `${PEER}.allowed-cn`,
    kind: "list",
    initial: "",
    help: "Common names that a member's certificate may bear",
  },
  {
    etcd: "peer-cert-allowed-hostname",
    yaml: `${PEER}.allowed-hostname`,
    kind: "list",
    initial: "",
    help: "Names that a member's certificate may bear",
  },
  {
    etcd: "peer-skip-client-san-verification",
    yaml: `${PEER}.skip-client-san-verification`,
    twins: ["experimental-peer-skip-client-san-verification"],
    kind: "boolean",
    initial: false,
    help: "Take members' certificates whatever address they name",
  },
  {
    etcd: "peer-auto-tls",
    yaml: `${PEER}.auto-tls`,
    kind: "boolean",
    initial: false,
    help: "Make certificates for the members' addresses",
    refused: NO_AUTO_TLS,
  },
  {
    etcd: "self-signed-cert-validity",
    kind: "integer",
    initial: 1,
    help: "Years that certificates of --auto-tls are good",
    inert: NO_AUTO_TLS,
  },
  {
    etcd: "cipher-suites",
    kind: "list",
    initial: "",
    help: "TLS 1.2 cipher suites, as Go or IANA calls them; empty: the good ones",
  },
  {
    etcd: "tls-min-version",
    kind: "choice",
    initial: "TLS1.2",
    choices: ["", "TLS1.2", "TLS1.3"],
    help: "Oldest TLS that is spoken",
  },
  {
    etcd: "tls-max-version",
    kind: "choice",
    initial: "",
    choices: ["", "TLS1.2", "TLS1.3"],
    help: "Newest TLS that is spoken",
  },
  { etcd: "cors", kind: "list", initial: "*", help: "Origins that may ask over HTTP; *: any" },
  {
    etcd: "host-whitelist",
    kind: "list",
    initial: "*",
    help: "Host names that plaintext HTTP may be asked by; *: any",
  },
  {
    etcd: "auth-token",
    kind: "string",
    initial: "simple",
    mayBeEmpty: true, // nobody gets a token: certificates alone tell who asks
    help: "simple, or jwt with its options: jwt,pub-key=…,priv-key=…,sign-method=…,ttl=…",
  },
  {
    etcd: "bcrypt-cost",
    kind: "integer",
    initial: 10,
    help: "Work that a password's hash costs, from 4 to 31",
  },
  {
    etcd: "auth-token-ttl",
    kind: "integer",
    initial: 300,
    help: "Seconds after which an unused simple token is forgotten",
  },
];
